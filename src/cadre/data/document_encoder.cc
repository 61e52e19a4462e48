#include "cadre/data/document_encoder.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace cadre {
namespace {

/// What stands for the content of the i-th message while a template is applied: private-use characters, which
/// no template trims or knows.
constexpr std::string_view kOpen = "\uE0CA";
constexpr std::string_view kClose = "\uE0CB";

std::string placeholder(size_t i) { return fmt::format("{}{}{}", kOpen, i, kClose); }

void push(int32_t token, bool learned, EncodedDocument& out) {
  out.tokens.push_back(token);
  out.learned.push_back(learned ? 1 : 0);
}

}  // namespace

Result<DocumentEncoder> DocumentEncoder::create(TextAssets assets, std::string_view origin) {
  if (!assets.tokenizer.eos())
    return invalid("{}: expected an eos_token in tokenizer_config.json: documents end with it", origin);
  return DocumentEncoder(std::move(assets));
}

DocumentEncoder::DocumentEncoder(TextAssets assets) : assets_(std::move(assets)) {
  for (int32_t id = 0; id < assets_.tokenizer.vocab_size(); ++id)
    if (assets_.tokenizer.is_special(id))
      if (const auto bytes = assets_.tokenizer.token_bytes(id); bytes && !bytes->empty())
        begins_control_[static_cast<uint8_t>(bytes->front())] = true;
}

Status DocumentEncoder::append(std::string_view text, bool learned, bool parse_special,
                               EncodedDocument& out) const {
  while (!text.empty()) {
    const std::string_view stretch = take_stretch(text);
    CADRE_TRY(const std::vector<int32_t> ids,
              assets_.tokenizer.encode(stretch, {.parse_special = parse_special}));
    out.tokens.insert(out.tokens.end(), ids.begin(), ids.end());
  }
  out.learned.resize(out.tokens.size(), learned ? 1 : 0);
  return {};
}

Status DocumentEncoder::encode(const Document& document, EncodedDocument& out) {
  const Tokenizer& tokenizer = assets_.tokenizer;
  out.tokens.clear();
  out.learned.clear();
  if (document.is_chat()) return encode_chat(document, out);
  if (tokenizer.bos()) push(*tokenizer.bos(), false, out);
  CADRE_CHECK_OK(append(document.text, true, false, out));
  push(*tokenizer.eos(), true, out);
  return {};
}

Status DocumentEncoder::check_no_control_token(const Document& document) const {
  for (size_t i = 0; i < document.turns.size(); ++i) {
    const std::string& content = document.turns[i].content;
    const bool may_hold = std::any_of(content.begin(), content.end(),
                                      [&](char c) { return begins_control_[static_cast<uint8_t>(c)]; });
    if (!may_hold) continue;
    CADRE_TRY(const std::vector<int32_t> ids, assets_.tokenizer.encode(content));
    for (const int32_t id : ids)
      if (assets_.tokenizer.is_special(id))
        return invalid(
            "{}: field 'messages[{}].content' writes out the control token '{}', which would end or "
            "begin a turn; change or remove it",
            document.origin, i, assets_.tokenizer.token_bytes(id).value_or(""));
  }
  return {};
}

Result<std::string> DocumentEncoder::render(const std::vector<ChatTurn>& turns,
                                            std::string_view origin) const {
  if (!assets_.chat_template) return tl::unexpected(assets_.chat_template.error());
  ChatRequest request;
  for (const ChatTurn& turn : turns)
    request.messages.push_back(Json{{"role", turn.role}, {"content", turn.content}});
  request.options["add_generation_prompt"] = false;
  auto text = assets_.chat_template->render(request, assets_.bos_token, assets_.eos_token);
  if (!text) text.error().message = fmt::format("{}: {}", origin, text.error().message);
  return text;
}

Result<const DocumentEncoder::Frame*> DocumentEncoder::frame(const Document& document) {
  std::string roles;
  for (const ChatTurn& turn : document.turns) roles += turn.role + " ";
  if (const auto known = frames_.find(roles); known != frames_.end()) return &known->second;
  std::vector<ChatTurn> turns = document.turns;
  for (size_t i = 0; i < turns.size(); ++i) turns[i].content = placeholder(i);
  CADRE_TRY(const std::string text, render(turns, document.origin));
  Frame frame;
  std::string_view rest = text;
  for (size_t open = 0; (open = rest.find(kOpen)) != std::string_view::npos;) {
    const size_t close = std::min(rest.find(kClose, open), rest.size() - kClose.size());
    size_t turn = turns.size();  // a template that breaks a placeholder in two is found out by encode_chat
    std::from_chars(rest.data() + open + kOpen.size(), rest.data() + close, turn);
    if (turn < turns.size())
      frame.slots.push_back({.before = std::string(rest.substr(0, open)), .turn = turn});
    rest.remove_prefix(close + kClose.size());
  }
  frame.after = rest;
  for (size_t i = 0; i < turns.size(); ++i) {
    const auto times = std::count_if(frame.slots.begin(), frame.slots.end(),
                                     [i](const Frame::Slot& slot) { return slot.turn == i; });
    if (turns[i].role == "assistant" && times != 1)
      return invalid(
          "{}: the chat template ({}) prints messages[{}], which is to be learned, {} times, not once",
          document.origin, assets_.chat_template->source(), i, times);
  }
  return &frames_.emplace(roles, std::move(frame)).first->second;
}

Status DocumentEncoder::encode_chat(const Document& document, EncodedDocument& out) {
  CADRE_CHECK_OK(check_no_control_token(document));
  CADRE_TRY(const Frame* const frame, this->frame(document));
  std::string prompt;
  std::string assembled;
  size_t skip = 0;  // of the text before a message: the EOS token that belongs to the answer before it
  for (size_t i = 0; i < frame->slots.size(); ++i) {
    const Frame::Slot& slot = frame->slots[i];
    const ChatTurn& turn = document.turns[slot.turn];
    prompt += std::string_view(slot.before).substr(skip);
    skip = 0;
    assembled += slot.before + turn.content;
    if (turn.role != "assistant") {
      prompt += turn.content;
      continue;
    }
    CADRE_CHECK_OK(append(prompt, false, true, out));
    prompt.clear();
    CADRE_CHECK_OK(append(turn.content, true, false, out));
    const std::string& next = i + 1 < frame->slots.size() ? frame->slots[i + 1].before : frame->after;
    if (next.starts_with(assets_.eos_token)) {
      push(*assets_.tokenizer.eos(), true, out);
      skip = assets_.eos_token.size();
    }
  }
  prompt += std::string_view(frame->after).substr(skip);
  CADRE_CHECK_OK(append(prompt, false, true, out));
  CADRE_TRY(const std::string whole, render(document.turns, document.origin));
  if (assembled + frame->after == whole) return {};
  return invalid(
      "{}: the chat template ({}) changes the messages, so which tokens to learn is not known; use a "
      "template that prints them as they are",
      document.origin, assets_.chat_template->source());
}

}  // namespace cadre
