#include "cadre/server/openai.h"

#include <chrono>

#include "cadre/text/utf8.h"

namespace cadre::server {
namespace {

Json logprob_json(const TokenText& token) {
  Json bytes = Json::array();
  for (const char byte : token.bytes) bytes.push_back(static_cast<int>(static_cast<unsigned char>(byte)));
  // JSON has no minus infinity; OpenAI uses this number for what is too unlikely.
  const double logprob = token.logprob < -9999 ? -9999.0 : token.logprob;
  return {{"token", replace_invalid_utf8(token.bytes)}, {"logprob", logprob}, {"bytes", std::move(bytes)}};
}

}  // namespace

std::string openai_finish_reason(const Answer& answer) {
  const FinishReason reason = answer.reason.value_or(FinishReason::kStopToken);
  if (reason == FinishReason::kStopToken && !answer.tool_calls.empty()) return "tool_calls";
  return name(reason);
}

Json openai_usage(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.generated_tokens},
          {"total_tokens", usage.prompt_tokens + usage.generated_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

Json openai_chat_logprobs(const std::vector<AnswerToken>& tokens) {
  Json content = Json::array();
  for (const AnswerToken& token : tokens) {
    Json entry = logprob_json(token.token);
    entry["top_logprobs"] = Json::array();
    for (const TokenText& top : token.top) entry["top_logprobs"].push_back(logprob_json(top));
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

Json openai_tool_call(const ToolCall& call) {
  return {{"id", call.id},
          {"type", "function"},
          {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
}

Result<bool> read_include_usage(const JsonFields& fields, bool stream) {
  CADRE_TRY(const std::optional<JsonFields> options, fields.object("stream_options"));
  if (!options) return false;
  if (!stream) return fields.error("stream_options", "expected only together with stream, found it without");
  return options->boolean_or("include_usage", false);
}

Status refuse_field(const JsonFields& fields, std::string_view key, const Json& harmless) {
  const Json* value = fields.find(key);
  if (value == nullptr || *value == harmless) return {};
  return fields.error(key, "not supported here");
}

Json OpenAiHead::document(std::string_view object_name) const {
  return {{"id", id}, {"object", object_name}, {"created", created}, {"model", model}};
}

std::string OpenAiHead::chunk(std::string_view object_name, Json choices) const {
  Json chunk = document(object_name);
  chunk["choices"] = std::move(choices);
  if (include_usage) chunk["usage"] = nullptr;
  return sse_event(chunk);
}

std::string OpenAiHead::end(std::string_view object_name, const Usage& usage) const {
  std::string text;
  if (include_usage) {
    Json chunk = document(object_name);
    chunk["choices"] = Json::array();
    chunk["usage"] = openai_usage(usage);
    text = sse_event(chunk);
  }
  return text + "data: [DONE]\n\n";
}

int64_t now_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace cadre::server
