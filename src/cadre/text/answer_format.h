#pragma once
/// How the answers of a model mark their reasoning and their tool calls.

#include <string_view>

#include "cadre/text/chat_template.h"

namespace cadre {

enum class ToolCallFormat {
  kNone,    ///< the model knows no calls, or writes them in a way that is not known here
  kFenced,  ///< V3, R1: <｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME, then JSON in a fenced block
  kPlain,   ///< V3.1: <｜tool▁call▁begin｜>NAME<｜tool▁sep｜>JSON<｜tool▁call▁end｜>
  kDsmlV32,  ///< <｜DSML｜function_calls>: see chat_dsml.h
  kDsmlV4,   ///< <｜DSML｜tool_calls>
};

struct AnswerFormat {
  ToolCallFormat tool_calls = ToolCallFormat::kNone;
};

/// Tells the format from what the template makes of a conversation with a call. A template that cannot render
/// one has kNone.
AnswerFormat answer_format(const ChatTemplate& chat_template);

/// Whether the answer to `prompt` begins inside of reasoning: it ends with <think>, and blanks.
bool ends_in_reasoning(std::string_view prompt);

/// Where reasoning begins and ends, in all formats.
inline constexpr std::string_view kThinkBegin = "<think>";
inline constexpr std::string_view kThinkEnd = "</think>";

/// The fixed text of a format's calls. In order: block_begin, then per call call_begin NAME name_end
/// ARGUMENTS call_end with `between` between calls, then block_end.
struct ToolCallMarkers {
  std::string_view lead;  ///< before the block, where the format sets it off from the content
  std::string_view block_begin;
  std::string_view call_begin;
  std::string_view name_end;
  std::string_view call_end;
  std::string_view between;
  std::string_view block_end;
};

/// `format` must not be kNone.
ToolCallMarkers tool_call_markers(ToolCallFormat format);

}  // namespace cadre
