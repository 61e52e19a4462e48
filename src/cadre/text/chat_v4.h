#pragma once
/// The prompt format of DeepSeek-V4, which DeepSeek defines by an algorithm (the `encoding` folder of its
/// checkpoints) rather than by a template. In short:
/// - results of tools become parts of user messages, adjacent user messages become one, and the results in
/// one
///   are put in the order of the calls they answer;
/// - when thinking, and unless tools are declared or `drop_thinking` is off, reasoning and developer messages
///   from before the last user message are forgotten;
/// - a user or developer message that is answered, or comes last, is followed by the header of the answer:
///   <｜Assistant｜> and <think> or </think>, or by the token of its task.

#include <string>
#include <string_view>

#include "cadre/text/chat_request.h"

namespace cadre {

enum class V4Release {
  kInitial,
  k0731,  ///< differs in what a reasoning effort adds
};

/// Renders messages, with the header of the next answer after a last user message unless
/// add_generation_prompt is false. Thinking is off unless asked for. `tools` and `response_format` of the
/// request belong to the first message, or to an empty system message put before it where it is neither
/// system nor developer. Errors: roles out of place, unknown tasks and efforts, parts that are not text,
/// arguments of tool calls that are no JSON object.
Result<std::string> render_v4(const ChatRequest& request, V4Release release, std::string_view bos_token,
                              std::string_view eos_token);

}  // namespace cadre
