#include "cadre/cli/chat_session.h"

#include <algorithm>

namespace cadre::cli {

ChatSession::ChatSession(Engine& engine, const TextAssets& assets, GenerationOptions generation,
                         SessionOptions options)
    : engine_(engine),
      assets_(assets),
      generation_(std::move(generation)),
      options_(std::move(options)),
      sequence_(engine.open_sequence()) {}

Result<std::string> ChatSession::render() const {
  if (!assets_.chat_template) return tl::unexpected(assets_.chat_template.error());
  Json messages = Json::array();
  if (!options_.system.empty()) messages.push_back({{"role", "system"}, {"content", options_.system}});
  for (const Json& message : messages_) messages.push_back(message);
  CADRE_TRY(const ChatRequest request,
            parse_chat_request({{"messages", messages}, {"thinking", options_.think}}, "conversation"));
  return assets_.chat_template->render(request, assets_.bos_token, assets_.eos_token);
}

Result<Generation> ChatSession::continue_from(const std::vector<int32_t>& prompt, ShowText show) {
  // At least the last token runs again, since its logits are what the answer starts from.
  const auto limit = std::min(cached_.size(), prompt.size() - 1);
  size_t common = 0;
  while (common < limit && cached_[common] == prompt[common]) ++common;
  engine_.truncate(sequence_, static_cast<int64_t>(common));
  cached_.resize(common);

  auto answer =
      generate(engine_, sequence_, std::span(prompt).subspan(common), assets_.tokenizer, generation_, show);
  cached_ = prompt;
  if (answer) cached_.insert(cached_.end(), answer->tokens.begin(), answer->tokens.end());
  cached_.resize(static_cast<size_t>(engine_.length(sequence_)));
  return answer;
}

Result<Generation> ChatSession::ask(const std::string& message, ShowText show) {
  messages_.push_back({{"role", "user"}, {"content", message}});
  const auto answer = [&]() -> Result<Generation> {
    CADRE_TRY(const std::string prompt, render());
    CADRE_TRY(const std::vector<int32_t> ids, assets_.tokenizer.encode(prompt));
    if (ids.empty()) return invalid("the prompt has no tokens");
    return continue_from(ids, show);
  }();
  if (!answer) {
    messages_.erase(messages_.size() - 1);
    return answer;
  }
  messages_.push_back({{"role", "assistant"}, {"content", answer->text}});
  return answer;
}

Result<Generation> ChatSession::complete(const std::string& text, ShowText show) {
  const Tokenizer& tokenizer = assets_.tokenizer;
  const bool add_bos = tokenizer.bos().has_value() && (tokenizer.adds_bos() || text.empty());
  CADRE_TRY(const std::vector<int32_t> ids, tokenizer.encode(text, {.add_bos = add_bos}));
  if (ids.empty()) return invalid("the prompt has no tokens");
  return continue_from(ids, show);
}

void ChatSession::clear() {
  messages_ = Json::array();
  engine_.truncate(sequence_, 0);
  cached_.clear();
}

void ChatSession::set_system(std::string system) { options_.system = std::move(system); }

std::string describe_speed(const Generation& answer) {
  const auto generated = static_cast<double>(answer.tokens.size());
  std::string text = fmt::format("{} tokens", answer.tokens.size());
  if (answer.tokens.size() > 1 && answer.decode_seconds > 0)
    text += fmt::format(", {:.1f} tokens/s", (generated - 1) / answer.decode_seconds);
  text += fmt::format("; prompt of {} tokens in {:.2f} s", answer.prompt_tokens, answer.prefill_seconds);
  if (answer.reason == FinishReason::kContextFull) text += "; the context is full (/clear starts anew)";
  if (answer.reason == FinishReason::kMaxTokens) text += "; stopped at the limit of tokens";
  return text;
}

}  // namespace cadre::cli
