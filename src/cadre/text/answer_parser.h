#pragma once
/// From the text of an answer to reasoning, content and tool calls, while it is being written.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/json.h"
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
  enum class State { kStart, kReasoning, kAfterReasoning, kContent, kBlock, kName, kArguments, kInvoke, kParameterName, kParameterKind, kText, kJson, kDone };

  AnswerFormat format_;
  State state_;
  std::string held_;
  size_t calls_ = 0;
};

}  // namespace cadre
