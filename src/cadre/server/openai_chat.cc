// POST /v1/chat/completions
#include "cadre/server/chat_task.h"
#include "cadre/server/endpoints.h"
#include "cadre/server/openai.h"

namespace cadre::server {
namespace {

constexpr std::string_view kChunk = "chat.completion.chunk";

class ChatWriter final : public AnswerWriter {
 public:
  ChatWriter(OpenAiHead head, const GenerationSettings& settings)
      : head_(std::move(head)),
        choices_(settings.choices),
        logprobs_(settings.top_logprobs >= 0),
        routing_(settings.routing) {}

  std::string start() override {
    std::string text;
    for (int64_t i = 0; i < choices_; ++i)
      text += chunk(static_cast<int>(i), {{"role", "assistant"}, {"content", ""}}, {}, nullptr);
    return text;
  }

  std::string piece(int choice, const AnswerPiece& piece) override {
    Json delta = Json::object();
    if (!piece.reasoning.empty()) delta["reasoning_content"] = piece.reasoning;
    if (!piece.content.empty()) delta["content"] = piece.content;
    for (const ToolCall& call : piece.tool_calls) {
      Json part = {{"index", call.index}, {"function", {{"arguments", call.arguments}}}};
      if (!call.id.empty()) {
        part = openai_tool_call(call);
        part["index"] = call.index;
      }
      delta["tool_calls"].push_back(std::move(part));
    }
    return chunk(choice, std::move(delta), piece.tokens, nullptr);
  }

  std::string finish(int choice, const Answer& answer) override {
    return chunk(choice, Json::object(), {}, openai_finish_reason(answer));
  }
  std::string end(const std::vector<Answer>&, const Usage& usage) override {
    return head_.end(kChunk, usage);
  }
  std::string failure(const Error& error) override {
    return sse_event(error_body(ApiStyle::kOpenAi, error)) + "data: [DONE]\n\n";
  }

  Json body(const std::vector<Answer>& answers, const Usage& usage) override {
    Json choices = Json::array();
    for (size_t i = 0; i < answers.size(); ++i) choices.push_back(whole_choice(i, answers[i]));
    Json document = head_.document(head_.object);
    document["choices"] = std::move(choices);
    document["usage"] = openai_usage(usage);
    return document;
  }

 private:
  std::string chunk(int index, Json delta, const std::vector<AnswerToken>& tokens, Json finish_reason) const {
    Json choice = {{"index", index}, {"delta", std::move(delta)}};
    choice["logprobs"] = logprobs_ && !tokens.empty() ? openai_chat_logprobs(tokens) : Json();
    choice["finish_reason"] = std::move(finish_reason);
    if (routing_ && !tokens.empty()) choice["cadre"] = {{"routing", routing_json(tokens)}};
    return head_.chunk(kChunk, Json::array({std::move(choice)}));
  }

  Json whole_choice(size_t index, const Answer& answer) const {
    Json message = {{"role", "assistant"}, {"content", answer.content}, {"refusal", nullptr}};
    if (!answer.reasoning.empty()) message["reasoning_content"] = answer.reasoning;
    if (!answer.tool_calls.empty() && answer.content.empty()) message["content"] = nullptr;
    for (const ToolCall& call : answer.tool_calls) message["tool_calls"].push_back(openai_tool_call(call));
    Json choice = {{"index", index}, {"message", std::move(message)}};
    choice["logprobs"] = logprobs_ ? openai_chat_logprobs(answer.tokens) : Json();
    choice["finish_reason"] = openai_finish_reason(answer);
    if (routing_) choice["cadre"] = {{"routing", routing_json(answer.tokens)}};
    return choice;
  }

  OpenAiHead head_;
  int64_t choices_;
  bool logprobs_;
  bool routing_;
};

Result<int> read_top_logprobs(const JsonFields& fields) {
  constexpr int64_t kMost = 20;
  CADRE_TRY(const bool wanted, fields.boolean_or("logprobs", false));
  CADRE_TRY(const int64_t top, fields.integer_or("top_logprobs", 0, 0, kMost));
  if (!wanted && top > 0) return fields.error("top_logprobs", "expected logprobs true beside it");
  return wanted ? static_cast<int>(top) : -1;
}

}  // namespace

Status post_chat_completions(Service& service, const std::shared_ptr<HttpExchange>& exchange) {
  CADRE_TRY(const Json body, parse_body(exchange->request()));
  const JsonFields fields = request_fields(body);
  CADRE_CHECK_OK(check_model(fields, service.model()));
  CADRE_CHECK_OK(refuse_field(fields, "functions", Json::array()));
  CADRE_CHECK_OK(refuse_field(fields, "function_call", "none"));
  CADRE_CHECK_OK(refuse_field(fields, "modalities", Json::array({"text"})));

  GenerationTask task;
  CADRE_TRY(task.settings, read_settings(fields, service));
  CADRE_TRY(const int64_t max_tokens, read_max_tokens(fields, "max_tokens"));
  CADRE_TRY(task.settings.max_tokens, read_max_tokens(fields, "max_completion_tokens"));
  if (task.settings.max_tokens == 0) task.settings.max_tokens = max_tokens;
  CADRE_TRY(task.settings.stop_strings, read_stop_strings(fields, "stop"));
  CADRE_TRY(task.settings.choices, read_choices(fields, 1, service.options()));
  CADRE_TRY(task.settings.top_logprobs, read_top_logprobs(fields));
  CADRE_TRY(const bool include_usage, read_include_usage(fields, task.settings.stream));
  CADRE_CHECK_OK(plan_chat(body, service.model(), task));
  OpenAiHead head{.id = service.ids().next("chatcmpl-"),
                  .object = "chat.completion",
                  .model = service.model().name(),
                  .created = now_seconds(),
                  .include_usage = include_usage};
  task.writer = std::make_unique<ChatWriter>(std::move(head), task.settings);
  return start_generation(service, exchange, std::move(task));
}

}  // namespace cadre::server
