#include "cadre/text/answer_format.h"

#include "cadre/base/check.h"

namespace cadre {

AnswerFormat answer_format(const ChatTemplate& chat_template) {
  ChatRequest request;
  // Some templates want arguments as an object, some as text.
  for (const Json& arguments : {Json{{"x", 1}}, Json("{\"x\": 1}")}) {
    const Json call = {
        {"id", "1"}, {"type", "function"}, {"function", {{"name", "f"}, {"arguments", arguments}}}};
    request.messages =
        Json::array({{{"role", "user"}, {"content", "a"}},
                     {{"role", "assistant"}, {"content", ""}, {"tool_calls", Json::array({call})}}});
    const auto text = chat_template.render(request, "", "");
    if (!text) continue;
    for (const ToolCallFormat format : {ToolCallFormat::kDsmlV4, ToolCallFormat::kDsmlV32,
                                        ToolCallFormat::kFenced, ToolCallFormat::kPlain}) {
      const ToolCallMarkers markers = tool_call_markers(format);
      const std::string begin =
          fmt::format("{}{}f{}", markers.block_begin, markers.call_begin, markers.name_end);
      if (text->find(begin) != text->npos) return {.tool_calls = format};
    }
  }
  return {};
}

bool ends_in_reasoning(std::string_view prompt) {
  const size_t last = prompt.find_last_not_of(" \n");
  return last != prompt.npos && prompt.substr(0, last + 1).ends_with(kThinkBegin);
}

ToolCallMarkers tool_call_markers(ToolCallFormat format) {
  constexpr std::string_view kCallsBegin = "<｜tool▁calls▁begin｜>";
  constexpr std::string_view kCallsEnd = "<｜tool▁calls▁end｜>";
  constexpr std::string_view kCallEnd = "<｜tool▁call▁end｜>";
  switch (format) {
    case ToolCallFormat::kNone:
      break;
    case ToolCallFormat::kFenced:
      return {.lead = "",
              .block_begin = kCallsBegin,
              .call_begin = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
              .name_end = "\n```json\n",
              .call_end = "\n```<｜tool▁call▁end｜>",
              .between = "\n",
              .block_end = kCallsEnd};
    case ToolCallFormat::kPlain:
      return {.lead = "",
              .block_begin = kCallsBegin,
              .call_begin = "<｜tool▁call▁begin｜>",
              .name_end = "<｜tool▁sep｜>",
              .call_end = kCallEnd,
              .between = "",
              .block_end = kCallsEnd};
    case ToolCallFormat::kDsmlV32:
    case ToolCallFormat::kDsmlV4: {
      const bool v4 = format == ToolCallFormat::kDsmlV4;
      return {.lead = "\n\n",
              .block_begin = v4 ? "<｜DSML｜tool_calls>\n" : "<｜DSML｜function_calls>\n",
              .call_begin = "<｜DSML｜invoke name=\"",
              .name_end = "\">\n",
              .call_end = "</｜DSML｜invoke>\n",
              .between = "",
              .block_end = v4 ? "</｜DSML｜tool_calls>" : "</｜DSML｜function_calls>"};
    }
  }
  CADRE_CHECK(false, "a model without tool calls has no markers");
}

}  // namespace cadre
