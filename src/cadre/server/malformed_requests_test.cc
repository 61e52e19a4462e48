// What is wrong with a request, and what the answer says about it: status, and the field in `param`.
#include "cadre/server/server_testing.h"

namespace cadre::server {
namespace {

struct Case {
  const char* path;
  const char* body;
  int status;
  const char* param;  ///< of OpenAI's shape; "": null. Under /v1/messages: a part of the message
};

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kText = "/v1/completions";
constexpr const char* kResponses = "/v1/responses";
constexpr const char* kEmbed = "/v1/embeddings";
constexpr const char* kMessagesPath = "/v1/messages";
constexpr const char* kCount = "/v1/messages/count_tokens";

/// Fields that several endpoints share are put beside what each of them needs.
constexpr const char* kSharedFields[][2] = {
    {R"("model": 5)", "model"},
    {R"("model": ["cadre-xs"])", "model"},
    {R"("stream": "yes")", "stream"},
    {R"("stream": 1)", "stream"},
    {R"("temperature": "hot")", "temperature"},
    {R"("temperature": -0.1)", "temperature"},
    {R"("temperature": 101)", "temperature"},
    {R"("temperature": [])", "temperature"},
    {R"("top_p": -0.5)", "top_p"},
    {R"("top_p": 1.5)", "top_p"},
    {R"("top_p": true)", "top_p"},
    {R"("min_p": 2)", "min_p"},
    {R"("min_p": "0.5")", "min_p"},
    {R"("top_k": -2)", "top_k"},
    {R"("top_k": 1.5)", "top_k"},
    {R"("top_k": "all")", "top_k"},
    {R"("presence_penalty": 3)", "presence_penalty"},
    {R"("presence_penalty": {})", "presence_penalty"},
    {R"("frequency_penalty": -2.5)", "frequency_penalty"},
    {R"("frequency_penalty": "a")", "frequency_penalty"},
    {R"("repetition_penalty": 0)", "repetition_penalty"},
    {R"("repetition_penalty": -1)", "repetition_penalty"},
    {R"("seed": 1.5)", "seed"},
    {R"("seed": "1")", "seed"},
    {R"("logit_bias": [])", "logit_bias"},
    {R"("logit_bias": {"a": 1})", "logit_bias"},
    {R"("logit_bias": {"-1": 1})", "logit_bias"},
    {R"("logit_bias": {"4096": 1})", "logit_bias"},
    {R"("logit_bias": {"99999999999": 1})", "logit_bias"},
    {R"("logit_bias": {"1": "x"})", "logit_bias.1"},
    {R"("logit_bias": {"1": 101})", "logit_bias.1"},
    {R"("cadre": 1)", "cadre"},
    {R"("cadre": [])", "cadre"},
    {R"("cadre": {"expert": 2})", "cadre.expert"},
    {R"("cadre": {"experts": 0})", "cadre.experts"},
    {R"("cadre": {"experts": 17})", "cadre.experts"},
    {R"("cadre": {"experts": "2"})", "cadre.experts"},
    {R"("cadre": {"routing": 1})", "cadre.routing"},
    {R"("cadre": {"priority": 1000})", "cadre.priority"},
    {R"("cadre": {"prefix_cache": "no"})", "cadre.prefix_cache"},
};

/// What must stand beside a shared field for the rest of the request to be right.
constexpr const char* kRest[][2] = {
    {kChat, R"("messages": [{"role": "user", "content": "Hi"}])"},
    {kText, R"("prompt": "Hi")"},
    {kResponses, R"("input": "Hi")"},
    {kEmbed, R"("input": "Hi")"},
};

constexpr Case kCases[] = {
    // Not JSON, or not an object.
    {kChat, "", 400, ""},
    {kChat, "{", 400, ""},
    {kChat, "[]", 400, ""},
    {kChat, "null", 400, ""},
    {kChat, "5", 400, ""},
    {kChat, "\"text\"", 400, ""},
    {kChat, R"({"messages": [}])", 400, ""},
    {kChat, R"({"a": 1, "a": 2})", 400, ""},
    {kChat, R"({"a": 1} {})", 400, ""},
    {kChat, R"({"a": 1e999})", 400, ""},
    {kChat, R"({"a": "\ud800"})", 400, ""},
    {kChat, "{\"a\": \"\xff\"}", 400, ""},
    {kText, "{]", 400, ""},
    {kResponses, "nothing", 400, ""},
    {kEmbed, "", 400, ""},
    {"/tokenize", "[1]", 400, ""},
    {"/detokenize", "{", 400, ""},
    {"/apply-template", "\"a\"", 400, ""},

    // Chat: messages.
    {kChat, "{}", 400, "messages"},
    {kChat, R"({"messages": null})", 400, "messages"},
    {kChat, R"({"messages": []})", 400, "messages"},
    {kChat, R"({"messages": {}})", 400, "messages"},
    {kChat, R"({"messages": "Hi"})", 400, "messages"},
    {kChat, R"({"messages": [5]})", 400, "messages[0]"},
    {kChat, R"({"messages": [{}]})", 400, "messages[0].role"},
    {kChat, R"({"messages": [{"role": 1, "content": "a"}]})", 400, "messages[0].role"},
    {kChat, R"({"messages": [{"role": "robot", "content": "a"}]})", 400, "messages[0].role"},
    {kChat, R"({"messages": [{"role": "user"}]})", 400, "messages[0].content"},
    {kChat, R"({"messages": [{"role": "user", "content": 5}]})", 400, "messages[0].content"},
    {kChat, R"({"messages": [{"role": "user", "content": {}}]})", 400, "messages[0].content"},
    {kChat, R"({"messages": [{"role": "user", "content": [5]}]})", 400, "messages[0].content[0]"},
    {kChat, R"({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})", 400,
     "messages[0].content[0]"},
    {kChat, R"({"messages": [{"role": "user", "content": [{"type": "text"}]}]})", 400,
     "messages[0].content[0]"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": 1}]})", 400,
     "messages[1].content"},
    {kChat, R"({"messages": [{"role": "user", "content": "a", "tool_calls": [{}]}]})", 400,
     "messages[0].tool_calls"},
    {kChat, R"({"messages": [{"role": "assistant", "content": "a", "prefix": true}]})", 400,
     "messages[0].prefix"},
    {kChat, R"({"messages": [{"role": "assistant", "content": "a", "prefix": 1}]})", 400,
     "messages[0].prefix"},

    // Chat: the rest.
    {kChat, R"({"model": "gpt-9", "messages": [{"role": "user", "content": "a"}]})", 404, "model"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "max_tokens": 0})", 400, "max_tokens"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "max_tokens": -1})", 400, "max_tokens"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "max_tokens": "5"})", 400, "max_tokens"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "max_tokens": 1.5})", 400, "max_tokens"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "max_tokens": 1e30})", 400, "max_tokens"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "max_completion_tokens": 0})", 400,
     "max_completion_tokens"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "n": 0})", 400, "n"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "n": 65})", 400, "n"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "n": "1"})", 400, "n"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "stop": 5})", 400, "stop"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "stop": ""})", 400, "stop"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "stop": ["a", 5]})", 400, "stop"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "stop": ["a", ""]})", 400, "stop"},
    {kChat,
     R"({"messages": [{"role": "user", "content": "a"}],
         "stop": ["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"]})",
     400, "stop"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "logprobs": 1})", 400, "logprobs"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "top_logprobs": 2})", 400, "top_logprobs"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "logprobs": true, "top_logprobs": 21})", 400,
     "top_logprobs"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "logprobs": true, "top_logprobs": -1})", 400,
     "top_logprobs"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "stream_options": {}})", 400,
     "stream_options"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "stream": true, "stream_options": 1})", 400,
     "stream_options"},
    {kChat,
     R"({"messages": [{"role": "user", "content": "a"}], "stream": true, "stream_options": {"include_usage": 1}})",
     400, "stream_options.include_usage"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "functions": [{"name": "f"}]})", 400,
     "functions"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "function_call": "auto"})", 400,
     "function_call"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "modalities": ["audio"]})", 400,
     "modalities"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "enable_thinking": 1})", 400,
     "enable_thinking"},
    {kChat, R"({"messages": [{"role": "user", "content": "a"}], "chat_template_kwargs": 1})", 400,
     "chat_template_kwargs"},

    // Completions.
    {kText, "{}", 400, "prompt"},
    {kText, R"({"prompt": null})", 400, "prompt"},
    {kText, R"({"prompt": 5})", 400, "prompt"},
    {kText, R"({"prompt": {}})", 400, "prompt"},
    {kText, R"({"prompt": []})", 400, "prompt"},
    {kText, R"({"prompt": [[]]})", 400, "prompt[0]"},
    {kText, R"({"prompt": [{}]})", 400, "prompt[0]"},
    {kText, R"({"prompt": ["a", 5]})", 400, "prompt[1]"},
    {kText, R"({"prompt": ["a", null]})", 400, "prompt[1]"},
    {kText, R"({"prompt": [4096]})", 400, "prompt"},
    {kText, R"({"prompt": [-1]})", 400, "prompt"},
    {kText, R"({"prompt": [1, "a"]})", 400, "prompt"},
    {kText, R"({"prompt": [1.5]})", 400, "prompt"},
    {kText, R"({"prompt": [[1], [99999]]})", 400, "prompt[1]"},
    {kText, R"({"prompt": "a", "max_tokens": 0})", 400, "max_tokens"},
    {kText, R"({"prompt": "a", "max_tokens": []})", 400, "max_tokens"},
    {kText, R"({"prompt": "a", "suffix": "b"})", 400, "suffix"},
    {kText, R"({"prompt": "a", "logprobs": true})", 400, "logprobs"},
    {kText, R"({"prompt": "a", "logprobs": 21})", 400, "logprobs"},
    {kText, R"({"prompt": "a", "echo": "yes"})", 400, "echo"},
    {kText, R"({"prompt": "a", "echo": true, "logprobs": 1})", 400, "echo"},
    {kText, R"({"prompt": "a", "best_of": 3})", 400, "best_of"},
    {kText, R"({"prompt": "a", "best_of": "x"})", 400, "best_of"},
    {kText, R"({"prompt": ["a", "b", "c"], "n": 30})", 400, "n"},
    {kText, R"({"prompt": "a", "n": -1})", 400, "n"},
    {kText, R"({"prompt": "a", "stop": {}})", 400, "stop"},
    {kText, R"({"prompt": "a", "stop": [""]})", 400, "stop"},
    {kText, R"({"prompt": "a", "stream_options": {"include_usage": true}})", 400, "stream_options"},
    {kText, R"({"prompt": "a", "model": "other"})", 404, "model"},
    {kText, R"({"prompt": "a", "response_format": {"type": "json_object"}})", 400, "response_format"},

    // Responses.
    {kResponses, "{}", 400, "input"},
    {kResponses, R"({"input": 5})", 400, "input"},
    {kResponses, R"({"input": []})", 400, "input"},
    {kResponses, R"({"input": {}})", 400, "input"},
    {kResponses, R"({"input": [5]})", 400, "input[0]"},
    {kResponses, R"({"input": [{}]})", 400, "input[0].role"},
    {kResponses, R"({"input": [{"role": "user"}]})", 400, "input[0].content"},
    {kResponses, R"({"input": [{"role": "user", "content": 1}]})", 400, "input[0].content"},
    {kResponses, R"({"input": [{"role": "user", "content": [{}]}]})", 400, "input[0].content[0].type"},
    {kResponses, R"({"input": [{"role": "user", "content": [{"type": "input_image"}]}]})", 400,
     "input[0].content[0].type"},
    {kResponses, R"({"input": [{"role": "user", "content": [{"type": "input_text"}]}]})", 400,
     "input[0].content[0].text"},
    {kResponses, R"({"input": [{"type": "web_search_call"}]})", 400, "input[0].type"},
    {kResponses, R"({"input": [{"type": "function_call"}]})", 400, "input[0].call_id"},
    {kResponses, R"({"input": [{"type": "function_call", "call_id": "a"}]})", 400, "input[0].name"},
    {kResponses, R"({"input": [{"type": "function_call", "call_id": "a", "name": "f"}]})", 400,
     "input[0].arguments"},
    {kResponses, R"({"input": [{"type": "function_call_output"}]})", 400, "input[0].call_id"},
    {kResponses, R"({"input": [{"type": "function_call_output", "call_id": "a"}]})", 400, "input[0].output"},
    {kResponses, R"({"input": "a", "instructions": 5})", 400, "instructions"},
    {kResponses, R"({"input": "a", "max_output_tokens": 0})", 400, "max_output_tokens"},
    {kResponses, R"({"input": "a", "max_output_tokens": "x"})", 400, "max_output_tokens"},
    {kResponses, R"({"input": "a", "previous_response_id": "resp_1"})", 400, "previous_response_id"},
    {kResponses, R"({"input": "a", "conversation": "c"})", 400, "conversation"},
    {kResponses, R"({"input": "a", "background": true})", 400, "background"},
    {kResponses, R"({"input": "a", "truncation": "auto"})", 400, "truncation"},
    {kResponses, R"({"input": "a", "reasoning": 1})", 400, "reasoning"},
    {kResponses, R"({"input": "a", "reasoning": {"effort": 1}})", 400, "reasoning.effort"},
    {kResponses, R"({"input": "a", "model": "nobody"})", 404, "model"},

    // Embeddings.
    {kEmbed, "{}", 400, "input"},
    {kEmbed, R"({"input": 5})", 400, "input"},
    {kEmbed, R"({"input": []})", 400, "input"},
    {kEmbed, R"({"input": [[]]})", 400, "input[0]"},
    {kEmbed, R"({"input": [null]})", 400, "input[0]"},
    {kEmbed, R"({"input": "a", "encoding_format": "int8"})", 400, "encoding_format"},
    {kEmbed, R"({"input": "a", "encoding_format": 5})", 400, "encoding_format"},
    {kEmbed, R"({"input": "a", "dimensions": 1})", 400, "dimensions"},
    {kEmbed, R"({"input": "a", "model": "ada"})", 404, "model"},

    // Helpers.
    {"/tokenize", "{}", 400, "prompt"},
    {"/tokenize", R"({"prompt": 5})", 400, "prompt"},
    {"/tokenize", R"({"content": []})", 400, "content"},
    {"/tokenize", R"({"prompt": "a", "add_special_tokens": 1})", 400, "add_special_tokens"},
    {"/tokenize", R"({"prompt": "a", "return_token_strs": "x"})", 400, "return_token_strs"},
    {"/tokenize", R"({"messages": [{}]})", 400, "messages[0].role"},
    {"/detokenize", "{}", 400, "tokens"},
    {"/detokenize", R"({"tokens": 5})", 400, "tokens"},
    {"/detokenize", R"({"tokens": ["a"]})", 400, "tokens"},
    {"/detokenize", R"({"tokens": [-1]})", 400, "tokens"},
    {"/detokenize", R"({"tokens": [1000000]})", 400, "tokens"},
    {"/detokenize", R"({"tokens": [99999999999999]})", 400, "tokens"},
    {"/apply-template", "{}", 400, "messages"},
    {"/apply-template", R"({"messages": [{"role": "user", "content": 1}]})", 400, "messages[0].content"},
};

constexpr Case kAnthropicCases[] = {
    {kMessagesPath, "", 400, "not valid JSON"},
    {kMessagesPath, "[]", 400, "an object"},
    {kMessagesPath, R"({"max_tokens": 5})", 400, "'messages'"},
    {kMessagesPath, R"({"max_tokens": 5, "messages": []})", 400, "'messages'"},
    {kMessagesPath, R"({"max_tokens": 5, "messages": "Hi"})", 400, "'messages'"},
    {kMessagesPath, R"({"messages": [{"role": "user", "content": "a"}]})", 400, "'max_tokens'"},
    {kMessagesPath, R"({"max_tokens": 0, "messages": [{"role": "user", "content": "a"}]})", 400,
     "'max_tokens'"},
    {kMessagesPath, R"({"max_tokens": "5", "messages": [{"role": "user", "content": "a"}]})", 400,
     "'max_tokens'"},
    {kMessagesPath, R"({"max_tokens": 5, "messages": [5]})", 400, "'messages[0]'"},
    {kMessagesPath, R"({"max_tokens": 5, "messages": [{"content": "a"}]})", 400, "'messages[0].role'"},
    {kMessagesPath, R"({"max_tokens": 5, "messages": [{"role": "system", "content": "a"}]})", 400,
     "'messages[0].role'"},
    {kMessagesPath, R"({"max_tokens": 5, "messages": [{"role": "user"}]})", 400, "'messages[0].content'"},
    {kMessagesPath, R"({"max_tokens": 5, "messages": [{"role": "user", "content": []}]})", 400, "'messages'"},
    {kMessagesPath, R"({"max_tokens": 5, "messages": [{"role": "user", "content": [5]}]})", 400,
     "'messages[0].content[0]'"},
    {kMessagesPath, R"({"max_tokens": 5, "messages": [{"role": "user", "content": [{}]}]})", 400,
     "'messages[0].content[0].type'"},
    {kMessagesPath, R"({"max_tokens": 5, "messages": [{"role": "user", "content": [{"type": "image"}]}]})",
     400, "'messages[0].content[0].type'"},
    {kMessagesPath, R"({"max_tokens": 5, "messages": [{"role": "user", "content": [{"type": "text"}]}]})",
     400, "'messages[0].content[0].text'"},
    {kMessagesPath,
     R"({"max_tokens": 5, "messages": [{"role": "user", "content": [{"type": "tool_result"}]}]})", 400,
     "'messages[0].content[0].tool_use_id'"},
    {kMessagesPath,
     R"({"max_tokens": 5, "messages": [{"role": "user", "content":
         [{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "image"}]}]}]})",
     400, "'messages[0].content[0].content[0].type'"},
    {kMessagesPath,
     R"({"max_tokens": 5, "messages": [{"role": "assistant", "content": [{"type": "tool_use"}]}]})", 400,
     "'messages[0].content[0].id'"},
    {kMessagesPath,
     R"({"max_tokens": 5, "messages": [{"role": "assistant", "content":
         [{"type": "tool_use", "id": "a", "name": "f", "input": "x"}]}]})",
     400, "'messages[0].content[0].input'"},
    {kMessagesPath, R"({"max_tokens": 5, "system": 5, "messages": [{"role": "user", "content": "a"}]})", 400,
     "'system'"},
    {kMessagesPath,
     R"({"max_tokens": 5, "system": [{"type": "image"}], "messages": [{"role": "user", "content": "a"}]})",
     400, "'system[0].type'"},
    {kMessagesPath,
     R"({"max_tokens": 5, "stop_sequences": [1], "messages": [{"role": "user", "content": "a"}]})", 400,
     "'stop_sequences'"},
    {kMessagesPath, R"({"max_tokens": 5, "thinking": true, "messages": [{"role": "user", "content": "a"}]})",
     400, "'thinking'"},
    {kMessagesPath,
     R"({"max_tokens": 5, "thinking": {"type": "x"}, "messages": [{"role": "user", "content": "a"}]})", 400,
     "'thinking.type'"},
    {kMessagesPath, R"({"max_tokens": 5, "tools": 5, "messages": [{"role": "user", "content": "a"}]})", 400,
     "'tools'"},
    {kMessagesPath, R"({"max_tokens": 5, "tools": [{}], "messages": [{"role": "user", "content": "a"}]})",
     400, "'tools[0].name'"},
    {kMessagesPath, R"({"max_tokens": 5, "model": "claude", "messages": [{"role": "user", "content": "a"}]})",
     404, "'claude'"},
    {kMessagesPath,
     R"({"max_tokens": 5, "temperature": "x", "messages": [{"role": "user", "content": "a"}]})", 400,
     "'temperature'"},
    {kMessagesPath,
     R"({"max_tokens": 5, "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})",
     400, "cannot go on"},
    {kCount, "{}", 400, "'messages'"},
    {kCount, R"({"messages": [{"role": "user", "content": 1}]})", 400, "'messages[0].content'"},
};

class MalformedRequests : public ServiceTest {
 protected:
  void expect_openai(const Case& test) {
    const HttpResponse response = post(test.path, test.body);
    EXPECT_EQ(response.status, test.status) << test.path << " " << test.body << "\n" << response.body;
    const Json document = parse_json(response.body, "answer").value_or(Json::object());
    ASSERT_TRUE(document.contains("error")) << response.body;
    const Json& error = document["error"];
    EXPECT_EQ(error["type"], "invalid_request_error");
    EXPECT_FALSE(error["message"].get<std::string>().empty());
    const Json param = *test.param == '\0' ? Json() : Json(test.param);
    EXPECT_EQ(error["param"], param) << test.path << " " << test.body << "\n" << response.body;
  }
};

TEST_F(MalformedRequests, GetTheStatusAndNameTheField) {
  for (const Case& test : kCases) expect_openai(test);
  EXPECT_TRUE(scheduler.take_requests().empty());
}

TEST_F(MalformedRequests, SharedFieldsAreCheckedByEveryEndpoint) {
  for (const auto& [path, rest] : kRest)
    for (const auto& [field, param] : kSharedFields) {
      const std::string body = fmt::format("{{{}, {}}}", rest, field);
      expect_openai({path, body.c_str(), 400, param});
    }
  EXPECT_TRUE(scheduler.take_requests().empty());
}

TEST_F(MalformedRequests, AnthropicsEndpointAnswersInItsOwnShape) {
  for (const Case& test : kAnthropicCases) {
    const HttpResponse response = post(test.path, test.body);
    EXPECT_EQ(response.status, test.status) << test.body << "\n" << response.body;
    const Json document = parse_json(response.body, "answer").value_or(Json::object());
    EXPECT_EQ(document["type"], "error");
    EXPECT_EQ(document["error"]["type"], test.status == 404 ? "not_found_error" : "invalid_request_error");
    EXPECT_NE(document["error"]["message"].get<std::string>().find(test.param), std::string::npos)
        << test.body << "\n"
        << response.body;
  }
  EXPECT_TRUE(scheduler.take_requests().empty());
}

TEST_F(MalformedRequests, NestingHasALimit) {
  const std::string deep = R"({"a": )" + std::string(200, '[') + std::string(200, ']') + "}";
  expect_openai({kChat, deep.c_str(), 400, ""});
}

TEST_F(MalformedRequests, FieldsThatNobodyKnowsAreIgnored) {
  const Json answer =
      post_json(kChat, json(R"({"messages": [{"role": "user", "content": "Hi"}], "frobnicate": 5,
                                                "user": "someone", "service_tier": "auto"})"));
  EXPECT_EQ(answer["choices"][0]["message"]["content"], kAnswer);
}

}  // namespace
}  // namespace cadre::server
