// The Anthropic API over a scheduler whose answer is known.
#include "cadre/server/anthropic.h"

#include "cadre/server/server_testing.h"

namespace cadre::server {
namespace {

class Anthropic : public ServiceTest {
 protected:
  static Json message(const std::string& more = {}) {
    return json(
        R"({"model": "cadre-xs", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}])" + more +
        "}");
  }
};

Json chat_of(const std::string& text) {
  const Json body = json(text);
  return anthropic_chat(JsonFields(body, "request")).value();
}

TEST_F(Anthropic, AnswersWithAMessage) {
  const Json answer = post_json("/v1/messages", message());
  EXPECT_EQ(answer["type"], "message");
  EXPECT_EQ(answer["role"], "assistant");
  EXPECT_EQ(answer["content"], json(R"([{"type": "text", "text": "Hello there, world."}])"));
  EXPECT_EQ(answer["stop_reason"], "end_turn");
  EXPECT_TRUE(answer["stop_sequence"].is_null());
  const auto requests = scheduler.take_requests();
  EXPECT_EQ(answer["usage"]["input_tokens"], requests[0].prompt.size() - 1);
  EXPECT_EQ(answer["usage"]["cache_read_input_tokens"], 1);
  EXPECT_EQ(answer["usage"]["output_tokens"], scheduler.answer.size());
  EXPECT_EQ(requests[0].max_tokens, 100);
}

TEST_F(Anthropic, StreamsItsEventsInOrder) {
  const auto events = post_stream("/v1/messages", message());
  std::vector<std::string> types;
  std::string text;
  for (const Json& event : events) {
    const auto type = event["type"].get<std::string>();
    if (type == "content_block_delta") text += event["delta"]["text"].get<std::string>();
    if (types.empty() || types.back() != type) types.push_back(type);
  }
  EXPECT_EQ(types, (std::vector<std::string>{"message_start", "content_block_start", "content_block_delta",
                                             "content_block_stop", "message_delta", "message_stop"}));
  EXPECT_EQ(text, kAnswer);
  EXPECT_EQ(events[events.size() - 2]["delta"]["stop_reason"], "end_turn");
  EXPECT_EQ(events[events.size() - 2]["usage"]["output_tokens"], scheduler.answer.size());
}

TEST_F(Anthropic, NamesTheStopSequenceThatEndedIt) {
  const Json answer = post_json("/v1/messages", message(R"(, "stop_sequences": ["zzz", "world"])"));
  EXPECT_EQ(answer["stop_reason"], "stop_sequence");
  EXPECT_EQ(answer["stop_sequence"], "world");
  EXPECT_EQ(answer["content"][0]["text"], "Hello there, ");
}

TEST_F(Anthropic, TheLimitOfTokensIsItsOwnReason) {
  Json body = message();
  body["max_tokens"] = 2;
  EXPECT_EQ(post_json("/v1/messages", body)["stop_reason"], "max_tokens");
}

TEST_F(Anthropic, ErrorsInTheMiddleAreEvents) {
  scheduler.fail_with = Error{ErrorKind::kIo, "something broke"};
  const auto events = post_stream("/v1/messages", message());
  EXPECT_EQ(events.back()["type"], "error");
  EXPECT_EQ(events.back()["error"]["type"], "api_error");
}

TEST_F(Anthropic, CountsTokensOfTheRenderedPrompt) {
  const Json answer =
      post_json("/v1/messages/count_tokens", json(R"({"messages": [{"role": "user", "content": "Hi"}]})"));
  EXPECT_EQ(answer["input_tokens"], tokens_of("<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>").size());
}

TEST(AnthropicChat, TurnsBlocksIntoMessages) {
  const Json chat = chat_of(R"({"system": [{"type": "text", "text": "S"}], "messages": [
      {"role": "user", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]},
      {"role": "assistant", "content": [{"type": "thinking", "thinking": "T", "signature": "x"},
        {"type": "text", "text": "C"}, {"type": "tool_use", "id": "1", "name": "f", "input": {"x": 1}}]},
      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "R"},
        {"type": "text", "text": "D"}]},
      {"role": "user", "content": "E"}]})");
  EXPECT_EQ(chat["messages"], json(R"([
      {"role": "system", "content": "S"},
      {"role": "user", "content": "A\n\nB"},
      {"role": "assistant", "content": "C", "reasoning_content": "T", "tool_calls":
        [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}}]},
      {"role": "tool", "tool_call_id": "1", "content": "R"},
      {"role": "user", "content": "D"},
      {"role": "user", "content": "E"}])"));
}

TEST(AnthropicChat, TurnsToolsAndThinkingIntoTheirOtherForm) {
  const Json chat =
      chat_of(R"({"messages": [{"role": "user", "content": "A"}], "thinking": {"type": "enabled",
      "budget_tokens": 1000}, "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}]})");
  EXPECT_EQ(chat["thinking"], true);
  EXPECT_EQ(chat["tools"], json(R"([{"type": "function", "function":
      {"name": "f", "description": "d", "parameters": {"type": "object"}}}])"));
}

TEST(AnthropicChat, ALastMessageOfTheAssistantIsABeginning) {
  const Json chat =
      chat_of(R"({"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}]})");
  EXPECT_EQ(chat["messages"][1]["prefix"], true);
}

}  // namespace
}  // namespace cadre::server
