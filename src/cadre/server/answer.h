#pragma once
/// An answer as it comes, and the interface of what turns it into the events and bodies of one API.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cadre/base/json.h"
#include "cadre/runtime/scheduler.h"

namespace cadre::server {

struct TokenText {
  int32_t id = 0;
  std::string bytes;
  double logprob = 0;
};

/// One sampled token, for clients that ask for log-probabilities or routing.
struct AnswerToken {
  TokenText token;
  std::vector<TokenText> top;         ///< best first
  std::vector<ExpertChoice> routing;  ///< empty unless asked for
};

/// A call of a tool, or a piece of one: id and name come with the first piece.
struct ToolCall {
  int index = 0;
  std::string id;
  std::string name;
  std::string arguments;  ///< JSON; of a piece, the next part of it
};

/// What is new in an answer.
struct AnswerPiece {
  std::string reasoning;
  std::string content;
  std::vector<ToolCall> tool_calls;
  std::vector<AnswerToken> tokens;  ///< those that the text came from; empty unless asked for

  bool empty() const { return reasoning.empty() && content.empty() && tool_calls.empty() && tokens.empty(); }
  /// About how many bytes its event will have.
  size_t size() const;
  /// Takes `next` in as if both had come at once; false, and nothing done, where that would change their
  /// order: text after a call, say.
  bool append(AnswerPiece& next);
};

/// All of an answer so far; complete once `reason` is set.
struct Answer {
  std::string reasoning;
  std::string content;
  std::vector<ToolCall> tool_calls;
  std::vector<AnswerToken> tokens;
  std::optional<FinishReason> reason;
  std::string stop_string;  ///< the one that ended it; empty: none did
  RequestStats stats;

  void append(const AnswerPiece& piece);
};

/// Tokens of all answers to one request.
struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  ///< of them
  int64_t generated_tokens = 0;
};

/// Writes answers in the shape of one API: as events of a stream, each a text that is sent as it is, or as
/// one body. One per request; its calls come one after another.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;

  /// Before anything else.
  virtual std::string start() { return {}; }
  virtual std::string piece(int choice, const AnswerPiece& piece) = 0;
  /// An answer is complete.
  virtual std::string finish(int choice, const Answer& answer) = 0;
  /// All are.
  virtual std::string end(const std::vector<Answer>& answers, const Usage& usage) = 0;
  /// The stream breaks off here.
  virtual std::string failure(const Error& error) = 0;

  virtual Json body(const std::vector<Answer>& answers, const Usage& usage) = 0;
};

/// "data: {...}\n\n", with "event: NAME" before it where the API names its events.
std::string sse_event(const Json& data, std::string_view name = {});

/// One entry a token: {"id", "token", "layers": [{"layer", "experts", "weights"}, ...]}.
Json routing_json(const std::vector<AnswerToken>& tokens);

}  // namespace cadre::server
