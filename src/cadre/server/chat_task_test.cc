// Tools, schemas and reasoning: from the request to the constraint, and from the model's text to the API's
// shapes.
#include "cadre/server/chat_task.h"

#include "cadre/server/server_testing.h"

namespace cadre::server {
namespace {

constexpr const char* kTools = R"("tools": [{"type": "function", "function": {"name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}])";
constexpr const char* kMessages = R"("messages": [{"role": "user", "content": "Hi"}])";

/// A service whose model writes chats as DeepSeek-V4 does: it thinks, and calls tools.
class ChatTask : public ServiceTest {
 protected:
  ChatTask() {
    assets_.chat_template = ChatTemplate::built_in(ChatFormat::kDeepseekV4);
    thinking_model_ = test_model();
    thinking_model_.set_assets(assets_);
    set_model(thinking_model_);
  }

  static std::string call_in(const std::string& city) {
    return "\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"get_weather\">\n<｜DSML｜parameter "
           "name=\"city\" "
           "string=\"true\">" +
           city + "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>";
  }
  static Json chat(const std::string& more) { return json(fmt::format("{{{}, {}}}", kMessages, more)); }

 private:
  TextAssets assets_ = load_text_assets(CADRE_SOURCE_DIR "/tests/data/cadre-xs").value();
  ServedModel thinking_model_;
};

TEST_F(ChatTask, CallsComeAsToolCalls) {
  scheduler.answer = tokens_of("Let me see." + call_in("Rome"));
  const Json answer = post_json("/v1/chat/completions", chat(kTools));
  const Json& choice = answer["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_EQ(choice["message"]["content"], "Let me see.");
  ASSERT_EQ(choice["message"]["tool_calls"].size(), 1u) << dump_json(answer);
  const Json& made = choice["message"]["tool_calls"][0];
  EXPECT_TRUE(made["id"].get<std::string>().starts_with("call_"));
  EXPECT_EQ(made["function"]["name"], "get_weather");
  EXPECT_EQ(json(made["function"]["arguments"].get<std::string>()), json(R"({"city": "Rome"})"));
  EXPECT_NE(scheduler.take_requests()[0].constraint, nullptr);
}

TEST_F(ChatTask, StreamedCallsAddUp) {
  scheduler.answer = tokens_of(call_in("Rome"));
  std::string name, arguments, id;
  for (const Json& event : post_stream("/v1/chat/completions", chat(kTools))) {
    if (!event.is_object() || !event["choices"][0]["delta"].contains("tool_calls")) continue;
    const Json& piece = event["choices"][0]["delta"]["tool_calls"][0];
    EXPECT_EQ(piece["index"], 0);
    id += piece.value("id", "");
    name += piece["function"].value("name", "");
    arguments += piece["function"]["arguments"].get<std::string>();
  }
  EXPECT_EQ(name, "get_weather");
  EXPECT_EQ(id.size(), std::string("call_").size() + 24);
  EXPECT_EQ(json(arguments), json(R"({"city": "Rome"})"));
}

TEST_F(ChatTask, ReasoningIsApartFromContent) {
  scheduler.answer = tokens_of("I think.</think>I say.");
  const Json body = chat(R"("thinking": true)");
  const Json whole = post_json("/v1/chat/completions", body)["choices"][0]["message"];
  EXPECT_EQ(whole["reasoning_content"], "I think.");
  EXPECT_EQ(whole["content"], "I say.");
  std::string reasoning, content;
  for (const Json& event : post_stream("/v1/chat/completions", body)) {
    if (!event.is_object()) continue;
    reasoning += event["choices"][0]["delta"].value("reasoning_content", "");
    content += event["choices"][0]["delta"].value("content", "");
  }
  EXPECT_EQ(reasoning, "I think.");
  EXPECT_EQ(content, "I say.");
}

TEST_F(ChatTask, ResponsesHaveItemsForReasoningAndCalls) {
  scheduler.answer = tokens_of("I think.</think>See:" + call_in("Rome"));
  const Json answer = post_json("/v1/responses", json(R"({"input": "Hi", "reasoning": {"effort": "high"},
      "tools": [{"type": "function", "name": "get_weather", "parameters": {"type": "object",
        "properties": {"city": {"type": "string"}}, "required": ["city"]}}]})"));
  ASSERT_EQ(answer["output"].size(), 3u) << dump_json(answer);
  EXPECT_EQ(answer["output"][0]["type"], "reasoning");
  EXPECT_EQ(answer["output"][0]["content"][0]["text"], "I think.");
  EXPECT_EQ(answer["output"][1]["content"][0]["text"], "See:");
  EXPECT_EQ(answer["output"][2]["type"], "function_call");
  EXPECT_EQ(answer["output"][2]["name"], "get_weather");
  EXPECT_EQ(json(answer["output"][2]["arguments"].get<std::string>()), json(R"({"city": "Rome"})"));
}

TEST_F(ChatTask, AnthropicHasBlocksForThinkingAndToolUse) {
  scheduler.answer = tokens_of("I think.</think>See:" + call_in("Rome"));
  const Json body = json(R"({"max_tokens": 500, "messages": [{"role": "user", "content": "Hi"}],
      "thinking": {"type": "enabled", "budget_tokens": 1024}, "tool_choice": {"type": "auto"},
      "tools": [{"name": "get_weather", "input_schema": {"type": "object",
        "properties": {"city": {"type": "string"}}, "required": ["city"]}}]})");
  const Json answer = post_json("/v1/messages", body);
  EXPECT_EQ(answer["stop_reason"], "tool_use");
  ASSERT_EQ(answer["content"].size(), 3u) << dump_json(answer);
  EXPECT_EQ(answer["content"][0]["thinking"], "I think.");
  EXPECT_EQ(answer["content"][1]["text"], "See:");
  EXPECT_EQ(answer["content"][2]["name"], "get_weather");
  EXPECT_EQ(answer["content"][2]["input"], json(R"({"city": "Rome"})"));

  std::vector<std::string> kinds;
  std::string input;
  for (const Json& event : post_stream("/v1/messages", body)) {
    if (event["type"] == "content_block_start") {
      EXPECT_EQ(event["index"], kinds.size());
      kinds.push_back(event["content_block"]["type"]);
    }
    if (event["type"] == "content_block_delta") {
      EXPECT_EQ(event["index"], kinds.size() - 1);
      input += event["delta"].value("partial_json", "");
    }
  }
  EXPECT_EQ(kinds, (std::vector<std::string>{"thinking", "text", "tool_use"}));
  EXPECT_EQ(json(input), json(R"({"city": "Rome"})"));
}

TEST_F(ChatTask, SchemasBecomeConstraintsOfEveryChoice) {
  scheduler.answer = tokens_of("{}");
  const std::string schema = R"({"type": "object", "properties": {"a": {"type": "integer"}}})";
  const char* formats[][2] = {
      {"/v1/chat/completions",
       R"({{"messages": [{{"role": "user", "content": "Hi"}}],
           "response_format": {{"type": "json_schema", "json_schema": {{"name": "x", "schema": {}}}}}}})"},
      {"/v1/responses",
       R"({{"input": "Hi", "text": {{"format": {{"type": "json_schema", "name": "x", "schema": {}}}}}}})"},
      {"/v1/messages",
       R"({{"max_tokens": 9, "messages": [{{"role": "user", "content": "Hi"}}],
           "output_config": {{"format": {{"type": "json_schema", "schema": {}}}}}}})"},
  };
  for (const auto& [path, body] : formats) {
    post_json(path, json(fmt::format(fmt::runtime(body), schema)));
    const auto requests = scheduler.take_requests();
    ASSERT_EQ(requests.size(), 1u);
    EXPECT_NE(requests[0].constraint, nullptr) << path;
  }
  post_json("/v1/chat/completions", chat(R"("n": 3, "response_format": {"type": "json_object"})"));
  for (const Request& request : scheduler.take_requests()) EXPECT_NE(request.constraint, nullptr);
  post_json("/v1/chat/completions", chat(R"("response_format": {"type": "text"})"));
  EXPECT_EQ(scheduler.take_requests()[0].constraint, nullptr);
}

TEST_F(ChatTask, WhatIsWrongIsNamed) {
  const char* cases[][2] = {
      {R"("response_format": "json")", "response_format"},
      {R"("response_format": {})", "response_format.type"},
      {R"("response_format": {"type": "xml"})", "response_format.type"},
      {R"("response_format": {"type": "json_schema"})", "response_format.json_schema"},
      {R"("response_format": {"type": "json_schema", "json_schema": {}})",
       "response_format.json_schema.schema"},
      {R"("response_format": {"type": "json_schema", "json_schema": {"schema": 5}})",
       "response_format.json_schema.schema"},
      {R"("response_format": {"type": "json_schema", "json_schema": {"schema": {"properties": {"x": {"type": "y"}}}}})",
       "response_format.json_schema.schema.properties.x.type"},
      {R"("tools": 5)", "tools"},
      {R"("tools": [5])", "tools[0]"},
      {R"("tools": [{"type": "web_search"}])", "tools[0].type"},
      {R"("tools": [{"type": "function"}])", "tools[0].function"},
      {R"("tools": [{"type": "function", "function": {}}])", "tools[0].function.name"},
      {R"("tools": [{"type": "function", "function": {"name": "f", "parameters": 5}}])",
       "tools[0].function.parameters"},
      {R"("tool_choice": "required")", "tool_choice"},
      {R"("tool_choice": "sometimes")", "tool_choice"},
      {R"("tool_choice": {"type": "function"})", "tool_choice.function"},
      {R"("parallel_tool_calls": 1)", "parallel_tool_calls"},
  };
  for (const auto& [more, param] : cases) {
    const HttpResponse response = post("/v1/chat/completions", dump_json(chat(more)));
    EXPECT_EQ(response.status, 400) << more << "\n" << response.body;
    EXPECT_EQ(json(response.body)["error"].value("param", Json()), param) << more << "\n" << response.body;
  }
  const HttpResponse unknown =
      post("/v1/chat/completions",
           dump_json(chat(std::string(kTools) +
                          R"(, "tool_choice": {"type": "function", "function": {"name": "g"}})")));
  EXPECT_EQ(unknown.status, 400) << unknown.body;
  EXPECT_TRUE(scheduler.take_requests().empty());
}

TEST_F(ServiceTest, AModelWithoutToolsSaysSo) {
  const HttpResponse response = post("/v1/chat/completions", fmt::format("{{{}, {}}}", kMessages, kTools));
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(json(response.body)["error"]["param"], "tools");
}

}  // namespace
}  // namespace cadre::server
