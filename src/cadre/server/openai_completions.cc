// POST /v1/completions
#include "cadre/server/endpoints.h"
#include "cadre/server/openai.h"
#include "cadre/text/utf8.h"

namespace cadre::server {
namespace {

constexpr std::string_view kObject = "text_completion";

class CompletionWriter final : public AnswerWriter {
 public:
  /// `echoes`: what each answer begins with, one per prompt; empty: nothing.
  CompletionWriter(OpenAiHead head, const GenerationSettings& settings, std::vector<std::string> echoes)
      : head_(std::move(head)),
        choices_(static_cast<size_t>(settings.choices)),
        logprobs_(settings.top_logprobs >= 0),
        routing_(settings.routing),
        echoes_(std::move(echoes)) {}

  std::string start() override {
    std::string text;
    for (size_t i = 0; i < echoes_.size() * choices_; ++i)
      text += head_.chunk(kObject, Json::array({choice(i, echo(i), {}, 0, nullptr)}));
    return text;
  }
  std::string piece(int index, const AnswerPiece& piece) override {
    const auto i = static_cast<size_t>(index);
    if (offsets_.size() <= i) offsets_.resize(i + 1, 0);
    const size_t offset = offsets_[i];
    offsets_[i] += piece.content.size();
    return head_.chunk(kObject, Json::array({choice(i, piece.content, piece.tokens, offset, nullptr)}));
  }
  std::string finish(int index, const Answer& answer) override {
    return head_.chunk(
        kObject, Json::array({choice(static_cast<size_t>(index), "", {}, 0, openai_finish_reason(answer))}));
  }
  std::string end(const std::vector<Answer>&, const Usage& usage) override {
    return head_.end(kObject, usage);
  }
  std::string failure(const Error& error) override {
    return sse_event(error_body(ApiStyle::kOpenAi, error)) + "data: [DONE]\n\n";
  }

  Json body(const std::vector<Answer>& answers, const Usage& usage) override {
    Json choices = Json::array();
    for (size_t i = 0; i < answers.size(); ++i)
      choices.push_back(choice(i, echo(i) + answers[i].content, answers[i].tokens, echo(i).size(),
                               openai_finish_reason(answers[i])));
    Json document = head_.document(kObject);
    document["choices"] = std::move(choices);
    document["usage"] = openai_usage(usage);
    return document;
  }

 private:
  std::string echo(size_t choice) const {
    return echoes_.empty() ? std::string() : echoes_[choice / choices_];
  }

  Json choice(size_t index, const std::string& text, const std::vector<AnswerToken>& tokens, size_t offset,
              Json finish_reason) const {
    Json choice = {{"index", index}, {"text", text}};
    choice["logprobs"] =
        logprobs_ && (!tokens.empty() || !finish_reason.is_null()) ? logprobs(tokens, offset) : Json();
    choice["finish_reason"] = std::move(finish_reason);
    if (routing_ && !tokens.empty()) choice["cadre"] = {{"routing", routing_json(tokens)}};
    return choice;
  }

  /// Four lists side by side, as this older API has them.
  static Json logprobs(const std::vector<AnswerToken>& tokens, size_t offset) {
    Json texts = Json::array(), values = Json::array(), tops = Json::array(), offsets = Json::array();
    for (const AnswerToken& token : tokens) {
      texts.push_back(replace_invalid_utf8(token.token.bytes));
      values.push_back(token.token.logprob);
      Json top = Json::object();
      for (const TokenText& other : token.top) top[replace_invalid_utf8(other.bytes)] = other.logprob;
      tops.push_back(std::move(top));
      offsets.push_back(offset);
      offset += token.token.bytes.size();
    }
    return {{"tokens", std::move(texts)},
            {"token_logprobs", std::move(values)},
            {"top_logprobs", std::move(tops)},
            {"text_offset", std::move(offsets)}};
  }

  OpenAiHead head_;
  size_t choices_;
  bool logprobs_;
  bool routing_;
  std::vector<std::string> echoes_;
  std::vector<size_t> offsets_;  ///< bytes of each answer so far
};

}  // namespace

Status post_completions(Service& service, const std::shared_ptr<HttpExchange>& exchange) {
  constexpr int64_t kDefaultTokens = 16;  // OpenAI's default of this endpoint
  CADRE_TRY(const Json body, parse_body(exchange->request()));
  const JsonFields fields = request_fields(body);
  CADRE_CHECK_OK(check_model(fields, service.model()));
  CADRE_CHECK_OK(refuse_field(fields, "suffix", ""));
  CADRE_CHECK_OK(refuse_field(fields, "response_format", {{"type", "text"}}));

  GenerationTask task;
  CADRE_TRY(task.settings, read_settings(fields, service));
  CADRE_TRY(task.settings.max_tokens, read_max_tokens(fields, "max_tokens"));
  if (task.settings.max_tokens == 0) task.settings.max_tokens = kDefaultTokens;
  CADRE_TRY(task.settings.stop_strings, read_stop_strings(fields, "stop"));
  CADRE_TRY(const int64_t top_logprobs, fields.integer_or("logprobs", -1, 0, 20));
  task.settings.top_logprobs = static_cast<int>(top_logprobs);
  CADRE_TRY(const bool include_usage, read_include_usage(fields, task.settings.stream));
  CADRE_TRY(const bool echo, fields.boolean_or("echo", false));
  if (echo && task.settings.top_logprobs >= 0)
    return fields.error("echo", "not supported together with logprobs: prompts get none");

  CADRE_TRY(std::vector<TextInput> inputs, read_inputs(fields, "prompt", service.model()));
  CADRE_TRY(task.settings.choices,
            read_choices(fields, static_cast<int64_t>(inputs.size()), service.options()));
  CADRE_CHECK_OK(refuse_field(fields, "best_of", task.settings.choices));
  std::vector<std::string> echoes;
  for (TextInput& input : inputs) {
    if (echo) {
      CADRE_TRY(const std::string bytes, service.model().assets->tokenizer.decode(input.ids));
      echoes.push_back(input.text.empty() ? replace_invalid_utf8(bytes) : std::move(input.text));
    }
    task.prompts.push_back(std::move(input.ids));
  }
  OpenAiHead head{.id = service.ids().next("cmpl-"),
                  .object = std::string(kObject),
                  .model = service.model().name(),
                  .created = now_seconds(),
                  .include_usage = include_usage};
  task.writer = std::make_unique<CompletionWriter>(std::move(head), task.settings, std::move(echoes));
  return start_generation(service, exchange, std::move(task));
}

}  // namespace cadre::server
