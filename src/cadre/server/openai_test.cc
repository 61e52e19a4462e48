// The endpoints of the OpenAI API over a scheduler whose answer is known.
#include "cadre/server/server_testing.h"
#include "cadre/text/utf8.h"

namespace cadre::server {
namespace {

class OpenAi : public ServiceTest {
 protected:
  static Json chat(const std::string& more = {}) {
    return json(R"({"messages": [{"role": "user", "content": "Hi"}])" + more + "}");
  }
  static std::string content_of(const std::vector<Json>& events, int choice = 0) {
    std::string text;
    for (const Json& event : events)
      if (event.is_object() && !event["choices"].empty() && event["choices"][0]["index"] == choice)
        text += event["choices"][0]["delta"].value("content", "");
    return text;
  }
};

TEST_F(OpenAi, ChatAnswersWithMessageAndUsage) {
  const Json answer = post_json("/v1/chat/completions", chat());
  EXPECT_TRUE(answer["id"].get<std::string>().starts_with("chatcmpl-"));
  EXPECT_EQ(answer["object"], "chat.completion");
  EXPECT_EQ(answer["model"], "cadre-xs");
  const Json& choice = answer["choices"][0];
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(choice["message"]["content"], kAnswer);
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_TRUE(choice["logprobs"].is_null());
  const auto prompt = tokens_of("<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>");
  EXPECT_EQ(answer["usage"]["prompt_tokens"], prompt.size());
  EXPECT_EQ(answer["usage"]["completion_tokens"], scheduler.answer.size());
  EXPECT_EQ(answer["usage"]["total_tokens"], prompt.size() + scheduler.answer.size());
  EXPECT_EQ(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 1);
  const auto requests = scheduler.take_requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].prompt, prompt);
}

TEST_F(OpenAi, ChatStreamsChunksThatAddUpToTheAnswer) {
  const auto events = post_stream("/v1/chat/completions", chat());
  ASSERT_GE(events.size(), 4u);
  EXPECT_EQ(events.front()["object"], "chat.completion.chunk");
  EXPECT_EQ(events.front()["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(content_of(events), kAnswer);
  EXPECT_EQ(events.back(), "[DONE]");
  const Json& last = events[events.size() - 2];
  EXPECT_EQ(last["choices"][0]["finish_reason"], "stop");
  EXPECT_FALSE(last.contains("usage"));
  for (size_t i = 0; i + 2 < events.size(); ++i)
    EXPECT_TRUE(events[i]["choices"][0]["finish_reason"].is_null());
}

TEST_F(OpenAi, AStreamEndsWithTheUsageWhereItIsAskedFor) {
  const auto events =
      post_stream("/v1/chat/completions", chat(R"(, "stream_options": {"include_usage": true})"));
  const Json& last = events[events.size() - 2];
  EXPECT_TRUE(last["choices"].empty());
  EXPECT_EQ(last["usage"]["completion_tokens"], scheduler.answer.size());
  EXPECT_TRUE(events.front()["usage"].is_null());
}

TEST_F(OpenAi, SamplingComesFromTheRequestElseFromTheModel) {
  post_json("/v1/chat/completions", chat());
  auto requests = scheduler.take_requests();
  EXPECT_DOUBLE_EQ(requests[0].sampling.temperature, 0.7);  // generation_config.json
  EXPECT_DOUBLE_EQ(requests[0].sampling.top_p, 0.9);
  EXPECT_EQ(requests[0].max_tokens, 0);
  EXPECT_EQ(requests[0].stop_tokens, test_model().assets->stop_tokens);

  post_json("/v1/chat/completions",
            chat(R"(, "temperature": 0, "top_p": 0.5, "top_k": 7, "min_p": 0.1, "presence_penalty": 1,
                    "frequency_penalty": -1, "repetition_penalty": 1.5, "seed": -3, "max_tokens": 9,
                    "max_completion_tokens": 8, "logit_bias": {"5": -100, "6": 2.5},
                    "cadre": {"experts": 2, "priority": 3, "prefix_cache": false})"));
  requests = scheduler.take_requests();
  const SamplingParams& sampling = requests[0].sampling;
  EXPECT_EQ(sampling.temperature, 0);
  EXPECT_EQ(sampling.top_p, 0.5);
  EXPECT_EQ(sampling.top_k, 7);
  EXPECT_EQ(sampling.min_p, 0.1);
  EXPECT_EQ(sampling.presence_penalty, 1);
  EXPECT_EQ(sampling.frequency_penalty, -1);
  EXPECT_EQ(sampling.repetition_penalty, 1.5);
  EXPECT_EQ(sampling.seed, static_cast<uint64_t>(-3));
  EXPECT_EQ(requests[0].max_tokens, 8);
  EXPECT_EQ(sampling.logit_bias, (std::vector<std::pair<int32_t, float>>{{5, -100.f}, {6, 2.5f}}));
  EXPECT_EQ(requests[0].experts, 2);
  EXPECT_EQ(requests[0].priority, 3);
  EXPECT_FALSE(requests[0].use_prefix_cache);
}

TEST_F(OpenAi, SeveralChoicesHaveSeedsOfTheirOwnAndCountThePromptOnce) {
  const Json answer = post_json("/v1/chat/completions", chat(R"(, "n": 3, "seed": 10)"));
  ASSERT_EQ(answer["choices"].size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(answer["choices"][static_cast<size_t>(i)]["index"], i);
  const auto requests = scheduler.take_requests();
  ASSERT_EQ(requests.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(requests[i].sampling.seed, 10 + i);
  EXPECT_EQ(answer["usage"]["prompt_tokens"], requests[0].prompt.size());
  EXPECT_EQ(answer["usage"]["completion_tokens"], 3 * scheduler.answer.size());

  const auto events = post_stream("/v1/chat/completions", chat(R"(, "n": 2)"));
  EXPECT_EQ(content_of(events, 0), kAnswer);
  EXPECT_EQ(content_of(events, 1), kAnswer);
  EXPECT_EQ(std::count(events.begin(), events.end(), Json("[DONE]")), 1);
}

TEST_F(OpenAi, AStopStringEndsTheAnswerAndIsNotPartOfIt) {
  const Json answer = post_json("/v1/chat/completions", chat(R"(, "stop": ["world", "re, w"])"));
  EXPECT_EQ(answer["choices"][0]["message"]["content"], "Hello the");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
  // Nothing is generated behind it.
  EXPECT_LT(answer["usage"]["completion_tokens"], scheduler.answer.size());
  const auto events = post_stream("/v1/chat/completions", chat(R"(, "stop": "re, w")"));
  EXPECT_EQ(content_of(events), "Hello the");
}

TEST_F(OpenAi, TheLimitOfTokensIsTheReasonLength) {
  const Json answer = post_json("/v1/chat/completions", chat(R"(, "max_tokens": 2)"));
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(answer["usage"]["completion_tokens"], 2);
}

TEST_F(OpenAi, ChatLogprobsSpellOutTheAnswer) {
  const Json answer = post_json("/v1/chat/completions", chat(R"(, "logprobs": true, "top_logprobs": 2)"));
  std::string text, bytes;
  for (const Json& token : answer["choices"][0]["logprobs"]["content"]) {
    text += token["token"].get<std::string>();
    for (const Json& byte : token["bytes"]) bytes += static_cast<char>(byte.get<int>());
    EXPECT_EQ(token["logprob"], -0.5);
    EXPECT_EQ(token["top_logprobs"].size(), 2u);
  }
  EXPECT_EQ(text, kAnswer);
  EXPECT_EQ(bytes, kAnswer);

  text.clear();
  for (const Json& event : post_stream("/v1/chat/completions", chat(R"(, "logprobs": true)")))
    if (event.is_object() && event["choices"][0]["logprobs"].is_object())
      for (const Json& token : event["choices"][0]["logprobs"]["content"])
        text += token["token"].get<std::string>();
  EXPECT_EQ(text, kAnswer);
}

TEST_F(OpenAi, TokensBehindAStopStringHaveNoLogprobs) {
  const Json answer = post_json("/v1/chat/completions", chat(R"(, "logprobs": true, "stop": " there")"));
  std::string text;
  for (const Json& token : answer["choices"][0]["logprobs"]["content"])
    text += token["token"].get<std::string>();
  EXPECT_EQ(text, "Hello");
}

TEST_F(OpenAi, CharactersOfSeveralTokensStreamWhole) {
  const std::string text = "naïve 你好 🦀 fin";
  scheduler.answer = tokens_of(text);
  ASSERT_GT(scheduler.answer.size(), 6u);
  const auto events = post_stream("/v1/chat/completions", chat());
  EXPECT_EQ(content_of(events), text);
  for (const Json& event : events) EXPECT_TRUE(is_valid_utf8(dump_json(event)));
}

TEST_F(OpenAi, RoutingComesWithEachToken) {
  scheduler.routing = {{1, 3, 0.75f}, {1, 7, 0.25f}, {2, 0, 1.f}};
  const Json answer = post_json("/v1/chat/completions", chat(R"(, "cadre": {"routing": true})"));
  const Json& routing = answer["choices"][0]["cadre"]["routing"];
  ASSERT_EQ(routing.size(), scheduler.answer.size());
  EXPECT_EQ(routing[0]["id"], scheduler.answer[0]);
  EXPECT_EQ(routing[0]["layers"], json(R"([{"layer": 1, "experts": [3, 7], "weights": [0.75, 0.25]},
                                           {"layer": 2, "experts": [0], "weights": [1.0]}])"));
  size_t count = 0;
  for (const Json& event : post_stream("/v1/chat/completions", chat(R"(, "cadre": {"routing": true})")))
    if (event.is_object() && event["choices"][0].contains("cadre"))
      count += event["choices"][0]["cadre"]["routing"].size();
  EXPECT_EQ(count, scheduler.answer.size());
}

TEST_F(OpenAi, CompletionsContinueEveryPrompt) {
  const Json answer = post_json(
      "/v1/completions", json(R"({"prompt": ["One", "Two"], "n": 2, "echo": true, "max_tokens": 100})"));
  EXPECT_EQ(answer["object"], "text_completion");
  ASSERT_EQ(answer["choices"].size(), 4u);
  EXPECT_EQ(answer["choices"][0]["text"], std::string("One") + kAnswer);
  EXPECT_EQ(answer["choices"][3]["text"], std::string("Two") + kAnswer);
  EXPECT_EQ(answer["choices"][3]["index"], 3);
  const auto requests = scheduler.take_requests();
  ASSERT_EQ(requests.size(), 4u);
  EXPECT_EQ(requests[0].prompt, tokens_of("One"));
  EXPECT_EQ(requests[2].prompt, tokens_of("Two"));
}

TEST_F(OpenAi, CompletionsTakeTokenIdsAndDefaultToSixteenTokens) {
  post_json("/v1/completions", json(R"({"prompt": [5, 6, 7]})"));
  const auto requests = scheduler.take_requests();
  EXPECT_EQ(requests[0].prompt, (std::vector<int32_t>{5, 6, 7}));
  EXPECT_EQ(requests[0].max_tokens, 16);
}

TEST_F(OpenAi, CompletionLogprobsAreFourListsWithOffsets) {
  const Json answer = post_json("/v1/completions", json(R"({"prompt": "a", "logprobs": 1})"));
  const Json& logprobs = answer["choices"][0]["logprobs"];
  size_t offset = 0;
  for (size_t i = 0; i < logprobs["tokens"].size(); ++i) {
    EXPECT_EQ(logprobs["text_offset"][i], offset);
    offset += logprobs["tokens"][i].get<std::string>().size();
  }
  EXPECT_EQ(offset, std::string(kAnswer).size());
  EXPECT_EQ(logprobs["top_logprobs"].size(), logprobs["tokens"].size());
  EXPECT_EQ(logprobs["token_logprobs"][0], -0.5);
}

TEST_F(OpenAi, CompletionsStream) {
  std::string text;
  const auto events = post_stream("/v1/completions", json(R"({"prompt": "a", "echo": true})"));
  for (const Json& event : events)
    if (event.is_object()) text += event["choices"][0]["text"].get<std::string>();
  EXPECT_EQ(text, std::string("a") + kAnswer);
  EXPECT_EQ(events.back(), "[DONE]");
}

TEST_F(OpenAi, EmbeddingsComeAsNumbersOrBase64) {
  const Json answer = post_json("/v1/embeddings", json(R"({"input": ["a", "b"]})"));
  ASSERT_EQ(answer["data"].size(), 2u);
  EXPECT_EQ(answer["data"][1]["index"], 1);
  EXPECT_FLOAT_EQ(answer["data"][0]["embedding"][1].get<float>(), 0.8f);
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 2);
  EXPECT_EQ(scheduler.take_requests()[0].kind, RequestKind::kEmbed);
  const Json coded = post_json("/v1/embeddings", json(R"({"input": "a", "encoding_format": "base64"})"));
  EXPECT_EQ(coded["data"][0]["embedding"], "mpkZP83MTD8=");  // 0.6f, 0.8f
}

TEST_F(OpenAi, ResponsesAnswerWithItems) {
  const Json answer = post_json("/v1/responses", json(R"({"input": "Hi", "instructions": "Be short."})"));
  EXPECT_EQ(answer["object"], "response");
  EXPECT_EQ(answer["status"], "completed");
  ASSERT_EQ(answer["output"].size(), 1u);
  EXPECT_EQ(answer["output"][0]["type"], "message");
  EXPECT_EQ(answer["output"][0]["status"], "completed");
  EXPECT_EQ(answer["output"][0]["content"][0]["text"], kAnswer);
  EXPECT_EQ(answer["usage"]["output_tokens"], scheduler.answer.size());
  EXPECT_EQ(scheduler.take_requests()[0].prompt,
            tokens_of("<｜begin▁of▁sentence｜>Be short.<｜User｜>Hi<｜Assistant｜>"));
}

TEST_F(OpenAi, ResponsesTakeAConversation) {
  post_json("/v1/responses", json(R"({"input": [
      {"role": "developer", "content": "Rules."},
      {"role": "user", "content": [{"type": "input_text", "text": "A"}, {"type": "input_text", "text": "B"}]},
      {"type": "reasoning", "summary": []},
      {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "C"}]},
      {"role": "user", "content": "D"}]})"));
  EXPECT_EQ(scheduler.take_requests()[0].prompt,
            tokens_of("<｜begin▁of▁sentence｜>Rules.<｜User｜>A\n\nB<｜Assistant｜>C<｜end▁of▁sentence｜>"
                      "<｜User｜>D<｜Assistant｜>"));
}

TEST_F(OpenAi, ResponsesStreamInTheOrderThatClientsExpect) {
  const auto events = post_stream("/v1/responses", json(R"({"input": "Hi", "max_output_tokens": 3})"));
  std::vector<std::string> types;
  std::string text;
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i]["sequence_number"], i);
    const auto type = events[i]["type"].get<std::string>();
    if (type == "response.output_text.delta") text += events[i]["delta"].get<std::string>();
    if (types.empty() || types.back() != type) types.push_back(type);
  }
  EXPECT_EQ(types,
            (std::vector<std::string>{
                "response.created", "response.in_progress", "response.output_item.added",
                "response.content_part.added", "response.output_text.delta", "response.output_text.done",
                "response.content_part.done", "response.output_item.done", "response.incomplete"}));
  const Json& response = events.back()["response"];
  EXPECT_EQ(response["output"][0]["content"][0]["text"], text);
  EXPECT_EQ(response["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(response["id"], events.front()["response"]["id"]);
}

TEST_F(OpenAi, ModelsAreListedWithTheirLimits) {
  const Json list = parse_json(ask("GET", "/v1/models").body, "answer").value();
  ASSERT_EQ(list["data"].size(), 2u);
  EXPECT_EQ(list["data"][0]["id"], "cadre-xs");
  EXPECT_EQ(list["data"][0]["max_model_len"], 256);
  EXPECT_EQ(list["data"][0]["cadre"]["experts"], 16);
  EXPECT_EQ(parse_json(ask("GET", "/v1/models/other-name").body, "answer").value()["id"], "other-name");
  EXPECT_EQ(ask("GET", "/v1/models/gpt-4").status, 404);
}

TEST_F(OpenAi, TokenizeAndDetokenizeAreInverse) {
  const Json tokens =
      post_json("/tokenize", json(R"({"prompt": "Hello, world", "return_token_strs": true})"));
  EXPECT_EQ(tokens["count"], tokens["tokens"].size());
  EXPECT_EQ(tokens["token_strs"].size(), tokens["tokens"].size());
  EXPECT_EQ(post_json("/detokenize", {{"tokens", tokens["tokens"]}})["prompt"], "Hello, world");
  const Json prompt = post_json("/apply-template", chat());
  EXPECT_EQ(prompt["prompt"], "<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>");
  EXPECT_EQ(post_json("/tokenize", chat())["tokens"].size(), tokens_of(prompt["prompt"]).size());
}

TEST_F(OpenAi, TheSchedulersRefusalIsTheAnswer) {
  scheduler.refuse = Error{ErrorKind::kBusy, "the queue is full"};
  HttpResponse response = post("/v1/chat/completions", dump_json(chat()));
  EXPECT_EQ(response.status, 429);
  const auto has_retry = [](const HttpHeader& header) { return header.name == "Retry-After"; };
  EXPECT_TRUE(std::any_of(response.headers.begin(), response.headers.end(), has_retry));
  response = post("/v1/chat/completions", dump_json(chat(R"(, "stream": true)")));
  EXPECT_EQ(response.status, 429) << response.body;  // no stream has begun

  scheduler.refuse = Error{ErrorKind::kTooLarge, "the prompt's 300 tokens exceed the context of 256"};
  response = post("/v1/chat/completions", dump_json(chat()));
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(json(response.body)["error"]["code"], "context_length_exceeded");
}

TEST_F(OpenAi, ARefusedChoiceCancelsTheOthers) {
  scheduler.endless = true;
  scheduler.pause = std::chrono::milliseconds(1);
  scheduler.refuse = Error{ErrorKind::kBusy, "the queue is full"};
  scheduler.refuse_from = 1;
  EXPECT_EQ(post("/v1/chat/completions", dump_json(chat(R"(, "n": 2, "stream": true)"))).status, 429);
  EXPECT_EQ(scheduler.cancelled(), 1);
}

TEST_F(OpenAi, AnErrorInTheMiddleEndsTheStreamWithAnEvent) {
  scheduler.fail_with = Error{ErrorKind::kIo, "something broke"};
  const auto events = post_stream("/v1/chat/completions", chat());
  ASSERT_GE(events.size(), 2u);
  EXPECT_EQ(events[events.size() - 2]["error"]["message"], "something broke");
  EXPECT_EQ(events.back(), "[DONE]");
  EXPECT_EQ(post("/v1/chat/completions", dump_json(chat())).status, 500);
}

TEST_F(OpenAi, AClientThatLeavesCancelsItsRequests) {
  scheduler.endless = true;
  scheduler.pause = std::chrono::milliseconds(1);
  const auto exchange = start("POST", "/v1/chat/completions", dump_json(chat(R"(, "stream": true)")));
  exchange->leave();
  exchange->wait();
  EXPECT_EQ(scheduler.cancelled(), 1);
  ASSERT_EQ(records().size(), 1u);
  EXPECT_EQ(records()[0].status, 499);
  EXPECT_EQ(records()[0].finish_reason, "cancelled");
}

}  // namespace
}  // namespace cadre::server
