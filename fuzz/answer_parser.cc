// Any text as an answer in every format: all of it at once and byte by byte give the same.
#include <string>
#include <vector>

#include "cadre/base/check.h"
#include "cadre/text/answer_parser.h"

namespace {

/// All deltas in one text.
std::string parse(std::string_view text, cadre::ToolCallFormat format, bool in_reasoning, size_t piece) {
  cadre::AnswerParser parser({format}, in_reasoning);
  std::string reasoning;
  std::string content;
  std::vector<std::string> calls;
  const auto add = [&](const cadre::AnswerDelta& delta) {
    reasoning += delta.reasoning;
    content += delta.content;
    for (const cadre::ToolCallDelta& call : delta.tool_calls) {
      if (!call.name.empty()) calls.push_back(call.name + "\1");
      CADRE_CHECK(call.index + 1 == calls.size(), "call {} of {}", call.index, calls.size());
      calls.back() += call.arguments;
    }
  };
  for (size_t at = 0; at < text.size(); at += piece) add(parser.push(text.substr(at, piece)));
  add(parser.finish());
  std::string all = reasoning + '\2' + content;
  for (const std::string& call : calls) all += '\2' + call;
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using cadre::ToolCallFormat;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const ToolCallFormat format : {ToolCallFormat::kNone, ToolCallFormat::kFenced, ToolCallFormat::kPlain,
                                      ToolCallFormat::kDsmlV32, ToolCallFormat::kDsmlV4}) {
    for (const bool in_reasoning : {false, true}) {
      const std::string whole = parse(text, format, in_reasoning, size + 1);
      CADRE_CHECK(parse(text, format, in_reasoning, 1) == whole, "{}", whole);
    }
  }
  return 0;
}
