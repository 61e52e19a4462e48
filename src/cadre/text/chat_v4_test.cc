#include "cadre/text/chat_v4.h"

#include <gtest/gtest.h>

#include "cadre/base/file.h"
#include "cadre/text/tokenizer_testing.h"

namespace cadre {
namespace {

/// `text` is a request; special tokens are shown in ASCII so that the cases below can be read.
std::string shown(std::string_view text, V4Release release = V4Release::kInitial) {
  const auto json = parse_json(text, "test");
  if (!json) return json.error().message;
  const auto request = parse_chat_request(*json, "test");
  if (!request) return request.error().message;
  const auto prompt = render_v4(*request, release, "[B]", "[E]");
  if (!prompt) return "error: " + prompt.error().message;
  std::string out = *prompt;
  for (const auto& [from, to] : {std::pair("<｜User｜>", "[U]"), {"<｜Assistant｜>", "[A]"}, {"｜", "|"}})
    for (size_t at = out.find(from); at != out.npos; at = out.find(from))
      out.replace(at, std::strlen(from), to);
  return out;
}

TEST(ChatV4, RendersThePublishedCases) {
  const auto folder = shared_folder() / "data" / "chat" / "dsv4-encoding";
  CADRE_REQUIRE_SHARED(folder);
  for (const int number : {1, 3}) {
    const auto input = read_json_file(folder / fmt::format("test_input_{}.json", number));
    const auto expected = read_text_file(folder / fmt::format("test_output_{}.txt", number));
    ASSERT_TRUE(input && expected);
    auto request = parse_chat_request(*input, "input");
    ASSERT_TRUE(request) << request.error().message;
    request->options["thinking"] = true;
    const auto prompt =
        render_v4(*request, V4Release::kInitial, "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>");
    ASSERT_TRUE(prompt) << prompt.error().message;
    EXPECT_EQ(*prompt, *expected) << number;
  }
}

TEST(ChatV4, EndsWithTheHeaderOfTheAnswer) {
  EXPECT_EQ(shown(R"([{"role": "user", "content": "Hi"}])"), "[B][U]Hi[A]</think>");
  EXPECT_EQ(shown(R"({"messages": [{"role": "user", "content": "Hi"}], "thinking": true})"),
            "[B][U]Hi[A]<think>");
  EXPECT_EQ(shown(R"({"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": false})"),
            "[B][U]Hi");
  EXPECT_EQ(shown(R"([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}])"),
            "[B][U]Hi[A]</think>Yo[E]");
  EXPECT_EQ(
      shown(R"([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo", "prefix": true}])"),
      "[B][U]Hi[A]</think>Yo");
}

TEST(ChatV4, EarlierThinkingIsDropped) {
  constexpr std::string_view kRequest = R"({{"messages": [
      {{"role": "system", "content": "S"}},
      {{"role": "user", "content": "Hello"}},
      {{"role": "assistant", "content": "Hi there!", "reasoning_content": "R1"}},
      {{"role": "user", "content": "Capital?"}},
      {{"role": "assistant", "content": "Paris.", "reasoning_content": "R2"}}], {}}})";
  EXPECT_EQ(shown(fmt::format(kRequest, R"("thinking": true)")),
            "[B]S[U]Hello[A]</think>Hi there![E][U]Capital?[A]<think>R2</think>Paris.[E]");
  EXPECT_EQ(shown(fmt::format(kRequest, R"("thinking": true, "drop_thinking": false)")),
            "[B]S[U]Hello[A]<think>R1</think>Hi there![E][U]Capital?[A]<think>R2</think>Paris.[E]");
  EXPECT_EQ(shown(fmt::format(kRequest, R"("thinking": false)")),
            "[B]S[U]Hello[A]</think>Hi there![E][U]Capital?[A]</think>Paris.[E]");
}

TEST(ChatV4, EarlierDeveloperMessagesAreDroppedWithIt) {
  constexpr std::string_view kRequest = R"({{"messages": [
      {{"role": "developer", "content": "D"}}, {{"role": "assistant", "content": "a"}},
      {{"role": "developer", "content": "E"}}], {}}})";
  EXPECT_EQ(shown(fmt::format(kRequest, R"("thinking": true)")), "[B]a[E][U]E[A]<think>");
  EXPECT_EQ(shown(fmt::format(kRequest, R"("thinking": false)")), "[B][U]D[A]</think>a[E][U]E[A]</think>");
}

TEST(ChatV4, TasksReplaceTheHeader) {
  EXPECT_EQ(shown(R"([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
                      {"role": "user", "content": "世界著名温泉有哪些", "task": "action"},
                      {"role": "assistant", "content": "Search"}])"),
            "[B][U]a[A]</think>b[E][U]世界著名温泉有哪些[A]</think><|action|>Search[E]");
  EXPECT_EQ(shown(R"({"messages": [{"role": "user", "content": "a", "task": "action"},
                                   {"role": "assistant", "content": "Search"}], "thinking": true})"),
            "[B][U]a[A]<think><|action|>Search[E]");
  EXPECT_EQ(shown(R"({"messages": [{"role": "user", "content": "a"}], "task": "query"})"),
            "[B][U]a<|query|>");
  EXPECT_EQ(
      shown(R"({"messages": [{"role": "user", "content": "a"}], "task": "dance"})"),
      "error: messages[0].task: expected one of action, query, authority, domain, title, read_url, found "
      "\"dance\"");
}

TEST(ChatV4, AdjacentUserMessagesAreJoinedUnlessATaskStandsBetween) {
  EXPECT_EQ(shown(R"([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])"),
            "[B][U]a\n\nb[A]</think>");
  EXPECT_EQ(shown(R"([{"role": "user", "content": "a", "task": "title"}, {"role": "user", "content": "b"}])"),
            "[B][U]a[U]b[A]</think>");
  EXPECT_EQ(shown(R"([{"role": "user", "content": "a"}, {"role": "user", "content": "b", "task": "title"}])"),
            "[B][U]a\n\nb<|title|>");
}

TEST(ChatV4, RemindersStandBetweenMessages) {
  EXPECT_EQ(
      shown(R"([{"role": "system", "content": "s"}, {"role": "latest_reminder", "content": "2026-02-21"},
                      {"role": "user", "content": "a"}])"),
      "[B]s<|latest_reminder|>2026-02-21[U]a[A]</think>");
}

TEST(ChatV4, ToolResultsTakeTheOrderOfTheCalls) {
  EXPECT_EQ(shown(R"([{"role": "user", "content": "q"},
      {"role": "assistant", "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": "{\"a\": 1, \"s\": \"t\"}"}},
                                           {"id": "y", "function": {"name": "g", "arguments": {}}}]},
      {"role": "tool", "tool_call_id": "y", "content": "ry"}, {"role": "user", "content": "and"},
      {"role": "tool", "tool_call_id": "x", "content": [{"type": "text", "text": "rx"}, {"type": "text", "text": "2"}]}])"),
            "[B][U]q[A]</think>\n\n<|DSML|tool_calls>\n<|DSML|invoke name=\"f\">\n"
            "<|DSML|parameter name=\"a\" string=\"false\">1</|DSML|parameter>\n"
            "<|DSML|parameter name=\"s\" string=\"true\">t</|DSML|parameter>\n</|DSML|invoke>\n"
            "<|DSML|invoke name=\"g\">\n\n</|DSML|invoke>\n</|DSML|tool_calls>[E]"
            "[U]<tool_result>rx\n\n2</tool_result>\n\nand\n\n<tool_result>ry</tool_result>[A]</think>");
}

TEST(ChatV4, ToolsAndResponseFormatJoinTheSystemMessage) {
  const std::string with =
      shown(R"({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "q"}],
      "tools": [{"type": "function", "function": {"name": "f", "x": 1.0}}], "response_format": {"type": "json_object"}})");
  EXPECT_TRUE(with.starts_with("[B]S\n\n## Tools\n\nYou have access"));
  EXPECT_NE(with.find("### Available Tool Schemas\n\n{\"name\": \"f\", \"x\": 1.0}\n\nYou MUST"),
            std::string::npos);
  EXPECT_TRUE(with.ends_with(
      "tool calls.\n\n\n## Response Format:\n\nYou MUST strictly adhere to the following schema "
      "to reply:\n{\"type\": \"json_object\"}[U]q[A]</think>"));
  const std::string without =
      shown(R"({"messages": [{"role": "user", "content": "q"}], "tools": [{"function": {"name": "f"}}]})");
  EXPECT_TRUE(without.starts_with("[B]\n\n## Tools\n\n"));
  EXPECT_EQ(shown(R"({"messages": [{"role": "user", "content": "q"}], "tools": []})"), "[B][U]q[A]</think>");
}

TEST(ChatV4, EffortDependsOnTheRelease) {
  constexpr std::string_view kRequest =
      R"({{"messages": [{{"role": "user", "content": "q"}}], "thinking": {}, "reasoning_effort": "{}"}})";
  const auto prefix = [&](std::string_view thinking, std::string_view effort, V4Release release) {
    return shown(fmt::format(kRequest, thinking, effort), release).substr(3, 27);
  };
  const std::string none = shown(fmt::format(kRequest, "true", "low")).substr(3, 27);
  EXPECT_EQ(none, "[U]q[A]<think>");
  EXPECT_EQ(prefix("true", "max", V4Release::kInitial), "Reasoning Effort: Absolute ");
  EXPECT_EQ(prefix("true", "high", V4Release::kInitial), none);
  EXPECT_EQ(prefix("false", "max", V4Release::kInitial), "[U]q[A]</think>");
  EXPECT_EQ(prefix("true", "max", V4Release::k0731), "Reasoning Effort: Beyond ma");
  EXPECT_EQ(prefix("true", "high", V4Release::k0731), "Reasoning Effort: Absolute ");
  EXPECT_EQ(prefix("true", "low", V4Release::k0731), none);
  EXPECT_EQ(shown(fmt::format(kRequest, "true", "huge")),
            "error: reasoning_effort: expected none, minimal, low, medium, high or max, found \"huge\"");
}

TEST(ChatV4, RefusesWhatItCannotSay) {
  EXPECT_EQ(shown(R"([{"role": "user", "content": [{"type": "image_url"}]}])"),
            "error: messages[0].content[0]: this model reads text only, found a part \"image_url\"");
  EXPECT_EQ(
      shown(R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}])"),
      "error: messages[0].tool_calls[0].function.arguments: expected a JSON object, found an array");
  EXPECT_EQ(shown(R"([{"role": "user", "content": "", "tools": [{"function": {"name": "f"}}]}])"),
            "error: messages[0].tools: only a system or developer message declares tools");
  EXPECT_EQ(shown(R"({"messages": [{"role": "user", "content": ""}], "tools": [{"name": "f"}]})"),
            "error: tools[0].function: expected an object (this model knows tools of type function only)");
}

}  // namespace
}  // namespace cadre
