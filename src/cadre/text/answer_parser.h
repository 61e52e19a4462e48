#pragma once
/// From the text of an answer to reasoning, content and tool calls, while it is being written.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/text/answer_format.h"

namespace cadre {

struct ToolCallDelta {
  size_t index = 0;
  std::string name;       ///< of the function, whole, in the first delta of a call; "" afterwards
  std::string arguments;  ///< more of the text of a JSON object
};

/// What a piece of text adds to an answer.
struct AnswerDelta {
  std::string reasoning;
  std::string content;
  std::vector<ToolCallDelta> tool_calls;
};

/// One per answer; not thread-safe. All deltas together are the same however the text was cut, also inside a
/// character. Text that could still become a marker is held back until that is settled; text that only looks
/// like one is passed on as what it is part of.
///
/// Arguments are passed on as the model writes them, and are JSON if it writes JSON: a constraint sees to
/// that. What breaks off inside a call ends with arguments that break off.
class AnswerParser {
 public:
  /// `in_reasoning`: the answer begins inside of reasoning (see ends_in_reasoning). An answer that begins
  /// with <think> itself is understood as well.
  AnswerParser(AnswerFormat format, bool in_reasoning);

  AnswerDelta push(std::string_view text);
  /// What was held back, at the end of the answer.
  AnswerDelta finish();

  /// Calls begun so far. The finish reason is "tool_calls" where there are any.
  size_t tool_calls() const { return calls_; }

 private:
  enum class State {
    kStart,
    kReasoning,
    kAfterReasoning,
    kContent,
    kArguments,    // JSON, up to the end of the call
    kMembers,      // in DSML: between the arguments of a call
    kMemberText,   // inside of one that is a string
    kMemberValue,  // inside of one that is JSON
    kBetweenCalls,
  };
  enum class Found { kNo, kYes, kPerhaps };  // kPerhaps: more text is needed

  // Each takes from held_ what is settled and says whether to go on.
  bool parse_start(AnswerDelta& out);
  bool parse_reasoning(AnswerDelta& out);
  bool parse_after_reasoning();
  bool parse_content(AnswerDelta& out);
  bool parse_arguments(AnswerDelta& out);
  bool parse_members(AnswerDelta& out);
  bool parse_member_text(AnswerDelta& out);
  bool parse_between_calls(AnswerDelta& out);

  struct Match {
    Found found = Found::kNo;
    size_t length = 0;
    std::string_view name;
    bool is_string = false;
  };
  Match match_call(std::string_view text) const;
  static Match match_member(std::string_view text);
  /// Length of the text at the beginning of held_ that is JSON, up to one of `ends`; sets in_string_.
  size_t scan_json(std::initializer_list<std::string_view> ends, Match& end);
  bool is_dsml() const;
  void begin_call(std::string_view name, AnswerDelta& out);
  void add_arguments(std::string_view text, AnswerDelta& out) const;
  void take(size_t bytes) { held_.erase(0, bytes); }

  ToolCallFormat format_;
  ToolCallMarkers markers_;
  std::string_view block_begin_;  // without the line break after it
  State state_;
  std::string held_;
  bool ended_ = false;  // no more text will come
  bool in_string_ = false;
  bool escaped_ = false;
  bool first_member_ = true;
  size_t breaks_ = 0;  // after reasoning
  size_t calls_ = 0;
};

}  // namespace cadre
