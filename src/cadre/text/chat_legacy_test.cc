#include "cadre/text/chat_legacy.h"

#include <gtest/gtest.h>

namespace cadre {
namespace {

std::string shown(LegacyFormat format, std::string_view text) {
  const auto json = parse_json(text, "test");
  if (!json) return json.error().message;
  const auto request = parse_chat_request(*json, "test");
  if (!request) return request.error().message;
  const auto prompt = render_legacy(*request, format, "[B]", "[E]");
  if (!prompt) return "error: " + prompt.error().message;
  std::string out = *prompt;
  for (const auto& [from, to] :
       {std::pair("<｜User｜>", "[U]"), {"<｜Assistant｜>", "[A]"}, {"｜", "|"}, {"▁", "_"}})
    for (size_t at = out.find(from); at != out.npos; at = out.find(from))
      out.replace(at, std::strlen(from), to);
  return out;
}

constexpr std::string_view kTurns = R"([{"role": "system", "content": "S"}, {"role": "user", "content": "a"},
    {"role": "assistant", "content": "<think>t</think>b"}, {"role": "system", "content": "T"},
    {"role": "user", "content": "c"}])";

constexpr std::string_view kToolCalls = R"([{"role": "user", "content": "a"},
    {"role": "assistant", "content": "look", "tool_calls": [
        {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}},
        {"type": "function", "function": {"name": "g", "arguments": "{}"}}]},
    {"role": "tool", "content": "rf"}, {"role": "tool", "content": "rg"}, {"role": "assistant", "content": "done"}])";

TEST(ChatLegacy, V2) {
  EXPECT_EQ(shown(LegacyFormat::kV2, R"([{"role": "system", "content": "S"}, {"role": "user", "content": "a"},
                {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}])"),
            "[B]S\n\nUser: a\n\nAssistant: b[E]User: c\n\nAssistant:");
  EXPECT_EQ(shown(LegacyFormat::kV2, R"([{"role": "tool", "content": "r"}])"),
            "error: messages[0].role: 'tool' is not known to deepseek-v2");
}

TEST(ChatLegacy, V3) {
  EXPECT_EQ(shown(LegacyFormat::kV3, kTurns), "[B]S\n\nT[U]a[A]<think>t</think>b[E][U]c[A]");
  EXPECT_EQ(
      shown(LegacyFormat::kV3, kToolCalls),
      "[B][U]a[A]look<|tool_calls_begin|><|tool_call_begin|>function<|tool_sep|>f\n```json\n{\"x\": 1}\n```"
      "<|tool_call_end|>\n<|tool_call_begin|>function<|tool_sep|>g\n```json\n{}\n```<|tool_call_end|>"
      "<|tool_calls_end|>[E]<|tool_outputs_begin|><|tool_output_begin|>rf<|tool_output_end|>\n"
      "<|tool_output_begin|>rg<|tool_output_end|><|tool_outputs_end|>done[E]");
}

TEST(ChatLegacy, R1) {
  EXPECT_EQ(shown(LegacyFormat::kR1, R"([{"role": "user", "content": "1+1?"}])"), "[B][U]1+1?[A]<think>\n");
  EXPECT_EQ(shown(LegacyFormat::kR1, kTurns), "[B]S\n\nT[U]a[A]b[E][U]c[A]<think>\n");
}

TEST(ChatLegacy, V31) {
  EXPECT_EQ(shown(LegacyFormat::kV31, R"([{"role": "user", "content": "1+1?"}])"), "[B][U]1+1?[A]</think>");
  EXPECT_EQ(
      shown(LegacyFormat::kV31, R"({"messages": [{"role": "user", "content": "1+1?"}], "thinking": true})"),
      "[B][U]1+1?[A]<think>");
  EXPECT_EQ(shown(LegacyFormat::kV31, kTurns), "[B]S\n\nT[U]a[A]</think>b[E][U]c[A]</think>");
  EXPECT_EQ(
      shown(LegacyFormat::kV31, kToolCalls),
      "[B][U]a[A]</think>look<|tool_calls_begin|><|tool_call_begin|>f<|tool_sep|>{\"x\": 1}<|tool_call_end|>"
      "<|tool_call_begin|>g<|tool_sep|>{}<|tool_call_end|><|tool_calls_end|>[E]"
      "<|tool_output_begin|>rf<|tool_output_end|><|tool_output_begin|>rg<|tool_output_end|>done[E]");
}

TEST(ChatLegacy, V32) {
  EXPECT_EQ(shown(LegacyFormat::kV32, kToolCalls),
            "[B][U]a[A]</think>look\n\n<|DSML|function_calls>\n<|DSML|invoke name=\"f\">\n"
            "<|DSML|parameter name=\"x\" string=\"false\">1</|DSML|parameter>\n</|DSML|invoke>\n"
            "<|DSML|invoke name=\"g\">\n</|DSML|invoke>\n</|DSML|function_calls>[E]\n\n<function_results>\n"
            "<result>rf</result>\n<result>rg</result>\n</function_results>\n\n</think>done[E]");
}

TEST(ChatLegacy, PrefixAndPlainHistoryEndWithoutHeader) {
  EXPECT_EQ(
      shown(LegacyFormat::kV3,
            R"([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "prefix": true}])"),
      "[B][U]a[A]b");
  EXPECT_EQ(shown(LegacyFormat::kV3,
                  R"({"messages": [{"role": "user", "content": "a"}], "add_generation_prompt": false})"),
            "[B][U]a");
}

TEST(ChatLegacy, RefusesWhatAFormatDoesNotHave) {
  EXPECT_EQ(shown(LegacyFormat::kV3, R"([{"role": "latest_reminder", "content": "x"}])"),
            "error: messages[0].role: 'latest_reminder' is not known to deepseek-v3");
  EXPECT_EQ(shown(LegacyFormat::kV3, R"({"messages": [{"role": "user", "content": "a"}], "thinking": true})"),
            "error: thinking: deepseek-v3 has no thinking mode");
  EXPECT_EQ(
      shown(LegacyFormat::kR1, R"({"messages": [{"role": "user", "content": "a"}], "thinking": false})"),
      "error: thinking: deepseek-r1 always thinks");
  EXPECT_NE(
      shown(LegacyFormat::kV31,
            R"({"messages": [{"role": "user", "content": "a"}], "tools": [{"function": {"name": "f"}}]})")
          .find("has no words to declare tools"),
      std::string::npos);
  EXPECT_EQ(
      shown(LegacyFormat::kV31, R"([{"role": "user", "content": "a"}, {"role": "tool", "content": "r"}])"),
      "error: messages[1]: a result without a tool call before it");
  EXPECT_EQ(
      shown(
          LegacyFormat::kV3,
          R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}, {"function": {"name": "g"}}]},
                                         {"role": "tool", "content": "r"}, {"role": "user", "content": "?"}])"),
      "error: messages[2]: 1 results of tools up to here, 2 are expected");
}

}  // namespace
}  // namespace cadre
