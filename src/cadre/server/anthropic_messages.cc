// POST /v1/messages and /v1/messages/count_tokens: the Anthropic API.
#include "cadre/server/anthropic.h"
#include "cadre/server/chat_task.h"
#include "cadre/server/endpoints.h"
#include "cadre/server/request_fields.h"

namespace cadre::server {
namespace {

enum class Block : uint8_t { kNone, kThinking, kText, kToolUse };

/// Blocks are numbered, so each event is made in a statement of its own.
class MessageWriter final : public AnswerWriter {
 public:
  MessageWriter(std::string id, std::string model, int64_t prompt_tokens)
      : id_(std::move(id)), model_(std::move(model)), prompt_tokens_(prompt_tokens) {}

  std::string start() override {
    Json message = head();
    message["content"] = Json::array();
    message["stop_reason"] = nullptr;
    message["stop_sequence"] = nullptr;
    message["usage"] = {{"input_tokens", prompt_tokens_}, {"output_tokens", 0}};
    return event("message_start", {{"message", std::move(message)}});
  }

  std::string piece(int, const AnswerPiece& piece) override {
    std::string text;
    if (!piece.reasoning.empty()) {
      text += enter(Block::kThinking, {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}});
      text += delta({{"type", "thinking_delta"}, {"thinking", piece.reasoning}});
    }
    if (!piece.content.empty()) {
      text += enter(Block::kText, {{"type", "text"}, {"text", ""}});
      text += delta({{"type", "text_delta"}, {"text", piece.content}});
    }
    for (const ToolCall& call : piece.tool_calls) {
      if (!call.id.empty()) {
        text += leave();
        text +=
            enter(Block::kToolUse,
                  {{"type", "tool_use"}, {"id", call.id}, {"name", call.name}, {"input", Json::object()}});
      }
      if (!call.arguments.empty())
        text += delta({{"type", "input_json_delta"}, {"partial_json", call.arguments}});
    }
    return text;
  }

  std::string finish(int, const Answer& answer) override {
    std::string text = leave();
    const Usage usage{.prompt_tokens = answer.stats.prompt_tokens,
                      .cached_tokens = answer.stats.cached_tokens,
                      .generated_tokens = answer.stats.generated_tokens};
    return text +
           event("message_delta",
                 {{"delta", {{"stop_reason", stop_reason(answer)}, {"stop_sequence", stop_sequence(answer)}}},
                  {"usage", usage_json(usage)}});
  }
  std::string end(const std::vector<Answer>&, const Usage&) override {
    return event("message_stop", Json::object());
  }
  std::string failure(const Error& error) override {
    return sse_event(error_body(ApiStyle::kAnthropic, error), "error");
  }

  Json body(const std::vector<Answer>& answers, const Usage& usage) override {
    const Answer& answer = answers.front();
    Json content = Json::array();
    if (!answer.reasoning.empty())
      content.push_back({{"type", "thinking"}, {"thinking", answer.reasoning}, {"signature", ""}});
    if (!answer.content.empty() || answer.tool_calls.empty())
      content.push_back({{"type", "text"}, {"text", answer.content}});
    for (const ToolCall& call : answer.tool_calls) {
      const auto input = parse_json(call.arguments, "arguments");
      // Arguments that break off at the limit of tokens are no JSON.
      content.push_back({{"type", "tool_use"},
                         {"id", call.id},
                         {"name", call.name},
                         {"input", input && input->is_object() ? *input : Json::object()}});
    }
    Json message = head();
    message["content"] = std::move(content);
    message["stop_reason"] = stop_reason(answer);
    message["stop_sequence"] = stop_sequence(answer);
    message["usage"] = usage_json(usage);
    return message;
  }

 private:
  static std::string event(std::string_view type, const Json& fields) {
    Json data = {{"type", type}};
    data.update(fields);
    return sse_event(data, type);
  }
  Json head() const { return {{"id", id_}, {"type", "message"}, {"role", "assistant"}, {"model", model_}}; }
  static Json usage_json(const Usage& usage) {
    // Anthropic counts what came from a cache apart from the rest of the input.
    return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
            {"cache_creation_input_tokens", 0},
            {"cache_read_input_tokens", usage.cached_tokens},
            {"output_tokens", usage.generated_tokens}};
  }
  static Json stop_sequence(const Answer& answer) {
    return answer.stop_string.empty() ? Json() : Json(answer.stop_string);
  }
  static std::string_view stop_reason(const Answer& answer) {
    switch (answer.reason.value_or(FinishReason::kStopToken)) {
      case FinishReason::kMaxTokens:
        return "max_tokens";
      case FinishReason::kContextFull:
        return "model_context_window_exceeded";
      case FinishReason::kStopString:
        return "stop_sequence";
      case FinishReason::kStopToken:
      case FinishReason::kCancelled:
        break;
    }
    return answer.tool_calls.empty() ? "end_turn" : "tool_use";
  }

  std::string enter(Block block, const Json& content) {
    if (block_ == block) return {};
    std::string text = leave();
    block_ = block;
    return text + event("content_block_start", {{"index", index_}, {"content_block", content}});
  }
  std::string leave() {
    if (block_ == Block::kNone) return {};
    block_ = Block::kNone;
    return event("content_block_stop", {{"index", index_++}});
  }
  std::string delta(const Json& delta) const {
    return event("content_block_delta", {{"index", index_}, {"delta", delta}});
  }

  std::string id_;
  std::string model_;
  int64_t prompt_tokens_;
  Block block_ = Block::kNone;
  int64_t index_ = 0;
};

}  // namespace

Status post_messages(Service& service, const std::shared_ptr<HttpExchange>& exchange) {
  CADRE_TRY(const Json body, parse_body(exchange->request()));
  const JsonFields fields = request_fields(body);
  CADRE_CHECK_OK(check_model(fields, service.model()));
  GenerationTask task{.style = ApiStyle::kAnthropic};
  CADRE_TRY(task.settings, read_settings(fields, service));
  CADRE_TRY(task.settings.max_tokens, fields.integer("max_tokens", 1, int64_t{1} << 30));
  CADRE_TRY(task.settings.stop_strings, read_stop_strings(fields, "stop_sequences"));
  CADRE_TRY(const Json chat, anthropic_chat(fields));
  CADRE_CHECK_OK(plan_chat(chat, service.model(), task));
  const auto prompt_tokens = static_cast<int64_t>(task.prompts.front().size());
  task.writer =
      std::make_unique<MessageWriter>(service.ids().next("msg_"), service.model().name(), prompt_tokens);
  return start_generation(service, exchange, std::move(task));
}

Result<HttpResponse> post_count_tokens(Service& service, const HttpRequest& request) {
  CADRE_TRY(const Json body, parse_body(request));
  const JsonFields fields = request_fields(body);
  CADRE_CHECK_OK(check_model(fields, service.model()));
  CADRE_TRY(const Json chat, anthropic_chat(fields));
  CADRE_TRY(const std::vector<int32_t> prompt, chat_prompt(chat, service.model()));
  return json_response({{"input_tokens", prompt.size()}});
}

}  // namespace cadre::server
