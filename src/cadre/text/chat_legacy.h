#pragma once
/// The prompt formats of DeepSeek-V2, V3, R1, V3.1 and V3.2. They exist for model directories that come
/// without a chat template; one that is there wins.

#include <string>
#include <string_view>

#include "cadre/text/chat_request.h"

namespace cadre {

enum class LegacyFormat { kV2, kV3, kR1, kV31, kV32 };

/// Renders messages, then (unless add_generation_prompt is false) the header of the next answer where the
/// format has one: V3, R1 and V3.1 go on directly after results of tools. Where users say nothing, V3.1 and
/// V3.2 do not think, R1 does. `reasoning_effort` and `response_format` have no words in these formats and
/// change nothing. Errors: roles, tools, and thinking that the format does not have; parts that are not text.
Result<std::string> render_legacy(const ChatRequest& request, LegacyFormat format, std::string_view bos_token,
                                  std::string_view eos_token);

}  // namespace cadre
