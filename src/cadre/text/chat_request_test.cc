#include "cadre/text/chat_request.h"

#include <gtest/gtest.h>

namespace cadre {
namespace {

Result<ChatRequest> parse(std::string_view text) {
  CADRE_TRY(const Json json, parse_json(text, "stdin"));
  return parse_chat_request(json, "stdin");
}

std::string error_of(std::string_view text) {
  const Result<ChatRequest> request = parse(text);
  return request ? "no error" : request.error().message;
}

TEST(ChatRequest, TakesMessagesAloneOrInAnObject) {
  const auto list = parse(R"([{"role": "user", "content": "Hi"}])");
  ASSERT_TRUE(list) << list.error().message;
  EXPECT_EQ(list->messages.size(), 1u);
  EXPECT_TRUE(list->tools.is_null());
  EXPECT_TRUE(list->options.empty());
  const auto object =
      parse(R"({"model": "x", "temperature": 1, "tools": [{"type": "function", "function": {"name": "f"}}],
      "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]})");
  ASSERT_TRUE(object) << object.error().message;
  EXPECT_EQ(object->tools.size(), 1u);
  EXPECT_TRUE(object->options.empty());
}

TEST(ChatRequest, ThinkingHasManySpellings) {
  for (const std::string_view spelling :
       {R"("thinking": true)", R"("enable_thinking": true)", R"("thinking_mode": "thinking")",
        R"("thinking": {"type": "enabled"})", R"("chat_template_kwargs": {"enable_thinking": true})",
        R"("thinking": true, "enable_thinking": true, "chat_template_kwargs": {"thinking": true})"}) {
    const auto request =
        parse(fmt::format(R"({{"messages": [{{"role": "user", "content": ""}}], {}}})", spelling));
    ASSERT_TRUE(request) << request.error().message;
    EXPECT_EQ(dump_json(request->options),
              R"({"thinking": true, "enable_thinking": true, "thinking_mode": "thinking"})")
        << spelling;
    EXPECT_EQ(read_chat_options(*request)->thinking, true);
  }
  const auto chat = parse(R"({"messages": [{"role": "user", "content": ""}], "thinking_mode": "chat"})");
  EXPECT_EQ(read_chat_options(*chat)->thinking, false);
}

TEST(ChatRequest, OptionsAreReadAndOtherVariablesKept) {
  const auto request = parse(R"({"messages": [{"role": "user", "content": "a"}], "reasoning_effort": "max",
      "add_generation_prompt": false, "drop_thinking": false, "response_format": {"type": "json_object"},
      "task": "action", "chat_template_kwargs": {"colour": [1, 2], "none": null}})");
  ASSERT_TRUE(request) << request.error().message;
  const auto options = read_chat_options(*request);
  ASSERT_TRUE(options);
  EXPECT_EQ(options->thinking, std::nullopt);
  EXPECT_EQ(options->reasoning_effort, "max");
  EXPECT_FALSE(options->add_generation_prompt);
  EXPECT_FALSE(options->drop_thinking);
  EXPECT_EQ(dump_json(*options->response_format), R"({"type": "json_object"})");
  EXPECT_EQ(dump_json(request->options["colour"]), "[1, 2]");
  EXPECT_FALSE(request->options.contains("none"));
  EXPECT_EQ(request->messages.back()["task"], "action");
}

TEST(ChatRequest, PlainTextIsNoResponseFormat) {
  const auto request =
      parse(R"({"messages": [{"role": "user", "content": "a"}], "response_format": {"type": "text"}})");
  EXPECT_EQ(read_chat_options(*request)->response_format, nullptr);
}

TEST(ChatRequest, ErrorsNameThePath) {
  const std::pair<std::string_view, std::string_view> kCases[] = {
      {"5", "stdin: the request: expected an array of messages, or an object with messages, found 5"},
      {"{}", "stdin: messages: expected an array of at least one message, found nothing"},
      {"[]", "stdin: messages: expected an array of at least one message, found an array"},
      {"[3]", "stdin: messages[0]: expected an object, found 3"},
      {"[{}]",
       "stdin: messages[0].role: expected one of system, developer, user, assistant, tool, latest_reminder, "
       "found "
       "nothing"},
      {R"([{"role": "user", "content": "a"}, {"role": "usr"}])",
       "stdin: messages[1].role: expected one of system, developer, user, assistant, tool, latest_reminder, "
       "found "
       "\"usr\""},
      {R"([{"role": "user"}])",
       "stdin: messages[0].content: expected a string or a list of parts, found nothing"},
      {R"([{"role": "user", "content": 5}])",
       "stdin: messages[0].content: expected a string or a list of parts, found 5"},
      {R"([{"role": "user", "content": [{"type": "text"}]}])",
       "stdin: messages[0].content[0].text: expected a string, found nothing"},
      {R"([{"role": "assistant", "tool_calls": [{"function": {"name": 1}}]}])",
       "stdin: messages[0].tool_calls[0].function.name: expected a string, found 1"},
      {R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": []}}]}])",
       "stdin: messages[0].tool_calls[0].function.arguments: expected an object or a string of JSON, found "
       "an array"},
      {R"([{"role": "user", "content": "", "tool_calls": [{}]}])",
       "stdin: messages[0].tool_calls: only an assistant makes tool calls"},
      {R"([{"role": "assistant", "prefix": true}, {"role": "user", "content": ""}])",
       "stdin: messages[0].prefix: only a last message of the assistant can be a prefix"},
      {R"({"messages": [{"role": "user", "content": ""}], "tools": {}})",
       "stdin: tools: expected an array of tools, found an object"},
      {R"({"messages": [{"role": "user", "content": ""}], "tools": [{"function": {}}]})",
       "stdin: tools[0].function.name: expected a string, found nothing"},
      {R"({"messages": [{"role": "user", "content": ""}], "thinking": "yes"})",
       "stdin: thinking: expected true, false or {\"type\": \"enabled\" or \"disabled\"}, found \"yes\""},
      {R"({"messages": [{"role": "user", "content": ""}], "thinking": true, "thinking_mode": "chat"})",
       "stdin: thinking_mode: contradicts what the request says elsewhere (true)"},
      {R"({"messages": [{"role": "user", "content": ""}], "reasoning_effort": 3})",
       "stdin: reasoning_effort: expected a string, found 3"},
      {R"({"messages": [{"role": "user", "content": ""}], "chat_template_kwargs": {"messages": []}})",
       "stdin: chat_template_kwargs.messages: cannot be set here"},
      {R"({"messages": [{"role": "user", "content": "", "task": "query"}], "task": "query"})",
       "stdin: task: the last message has a task of its own"},
  };
  for (const auto& [text, message] : kCases) EXPECT_EQ(error_of(text), message) << text;
}

TEST(ChatRequest, ContentTextJoinsPartsAndRefusesImages) {
  const Json parts = {{{"type", "text"}, {"text", "a"}}, {{"type", "text"}, {"text", "b"}}};
  EXPECT_EQ(*content_text(&parts, "p"), "a\n\nb");
  EXPECT_EQ(*content_text(nullptr, "p"), "");
  const Json image = Json::array({{{"type", "image_url"}}});
  EXPECT_EQ(content_text(&image, "p").error().message,
            "p[0]: this model reads text only, found a part \"image_url\"");
}

}  // namespace
}  // namespace cadre
