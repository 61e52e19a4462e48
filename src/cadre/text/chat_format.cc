#include "cadre/text/chat_format.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace cadre {
namespace {

constexpr std::pair<ChatFormat, std::string_view> kNames[] = {
    {ChatFormat::kDeepseekV2, "deepseek-v2"},
    {ChatFormat::kDeepseekV3, "deepseek-v3"},
    {ChatFormat::kDeepseekR1, "deepseek-r1"},
    {ChatFormat::kDeepseekV31, "deepseek-v3.1"},
    {ChatFormat::kDeepseekV32, "deepseek-v3.2"},
    {ChatFormat::kDeepseekV4, "deepseek-v4"},
    {ChatFormat::kDeepseekV4Flash0731, "deepseek-v4-flash-0731"},
};

bool is_alphanumeric(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

/// Whether `word` stands in `name`, not inside a longer word; "V3_1" and "v3.1" are one.
bool has_word(std::string_view name, std::string_view word) {
  std::string plain(name);
  std::transform(plain.begin(), plain.end(), plain.begin(), [](char c) {
    return c == '_' ? '.' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  for (size_t at = plain.find(word); at != plain.npos; at = plain.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || !is_alphanumeric(plain[at - 1])) && (end == plain.size() || !is_alphanumeric(plain[end])))
      return true;
  }
  return false;
}

/// V3 and its descendants with the same model type.
ChatFormat detect_v3(const ModelTraits& model) {
  if (has_word(model.name, "r1")) return ChatFormat::kDeepseekR1;
  if (has_word(model.name, "v3.1")) return ChatFormat::kDeepseekV31;
  if (has_word(model.name, "v3.2")) return ChatFormat::kDeepseekV32;
  if (has_word(model.name, "v3") || !model.has_token("</think>")) return ChatFormat::kDeepseekV3;
  // R1 added the tokens of thinking to V3, and V3.1 those of searching.
  return model.has_token("<｜search▁begin｜>") ? ChatFormat::kDeepseekV31 : ChatFormat::kDeepseekR1;
}

}  // namespace

std::string_view chat_format_name(ChatFormat format) {
  const auto found = std::find_if(std::begin(kNames), std::end(kNames),
                                  [&](const auto& entry) { return entry.first == format; });
  return found->second;
}

Result<ChatFormat> chat_format_named(std::string_view name) {
  std::string names;
  for (const auto& [format, known] : kNames) {
    if (known == name) return format;
    names.append(names.empty() ? "" : ", ").append(known);
  }
  return fail(ErrorKind::kNotFound, "no built-in chat format '{}'; there are {}", name, names);
}

Result<ChatFormat> detect_chat_format(const ModelTraits& model) {
  if (model.has_token("<｜System｜>") || model.model_type == "deepseek_v41")
    return fail(ErrorKind::kNotFound,
                "the chat format of DeepSeek-V4.1 is not built in: give the model's chat template");
  if ((model.has_token("｜DSML｜") && model.has_token("<｜latest_reminder｜>")) ||
      model.model_type == "deepseek_v4")
    return has_word(model.name, "0731") ? ChatFormat::kDeepseekV4Flash0731 : ChatFormat::kDeepseekV4;
  if (model.model_type == "deepseek_v32") return ChatFormat::kDeepseekV32;
  if (model.has_token("<｜User｜>") && model.has_token("<｜Assistant｜>")) return detect_v3(model);
  if (model.model_type == "deepseek_v2" || model.has_token("<｜begin▁of▁sentence｜>"))
    return ChatFormat::kDeepseekV2;
  return fail(
      ErrorKind::kNotFound,
      "the model has no chat template, and its tokens are those of no built-in chat format: give a template");
}

}  // namespace cadre
