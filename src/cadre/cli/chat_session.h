#pragma once
/// A conversation over one engine: messages in, answers out, with the cache kept between turns.

#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/function_ref.h"
#include "cadre/base/json.h"
#include "cadre/runtime/generator.h"
#include "cadre/runtime/text_assets.h"

namespace cadre::cli {

struct SessionOptions {
  std::string system;
  bool think = false;
};

/// Gets text as it comes; returns false to stop the answer.
using ShowText = FunctionRef<bool(std::string_view)>;

class ChatSession {
 public:
  /// Engine and assets must outlive the session.
  ChatSession(Engine& engine, const TextAssets& assets, GenerationOptions generation, SessionOptions options);

  /// Adds a user message and answers it with the chat template. A message that fails is taken back.
  Result<Generation> ask(const std::string& message, ShowText show);
  /// Continues `text` as it is; the conversation is not touched.
  Result<Generation> complete(const std::string& text, ShowText show);

  /// Forgets the conversation; the system message stays.
  void clear();
  void set_system(std::string system);
  void set_thinking(bool think) { options_.think = think; }
  GenerationOptions& generation() { return generation_; }
  const Json& messages() const { return messages_; }
  const Engine& engine() const { return engine_; }
  int64_t tokens() const { return engine_.length(sequence_); }

 private:
  Result<std::string> render() const;
  /// Keeps what the cache and `prompt` have in common, and generates from there.
  Result<Generation> continue_from(const std::vector<int32_t>& prompt, ShowText show);

  Engine& engine_;
  const TextAssets& assets_;
  GenerationOptions generation_;
  SessionOptions options_;
  Json messages_ = Json::array();
  SequenceId sequence_;
  std::vector<int32_t> cached_;  ///< tokens of the sequence, as many as it has in the cache
};

/// "12 tokens in 0.5 s (24.0 tokens/s); prompt of 40 tokens in 0.1 s (400 tokens/s)"
std::string describe_speed(const Generation& answer);

}  // namespace cadre::cli
