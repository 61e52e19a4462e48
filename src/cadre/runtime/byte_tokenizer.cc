#include "cadre/runtime/byte_tokenizer.h"

#include <fmt/format.h>

#include <map>
#include <string>

#include "cadre/runtime/tokenizer_document.h"
#include "cadre/text/bpe.h"

namespace cadre {
namespace {

constexpr int kBytes = 256;
constexpr const char* kBos = "<｜begin▁of▁sentence｜>";
constexpr const char* kEos = "<｜end▁of▁sentence｜>";

/// Texts of the special tokens by id: BOS, EOS, and a name for each further EOS of the model.
std::map<int32_t, std::string> special_tokens(const ModelConfig& config) {
  std::map<int32_t, std::string> tokens;
  if (config.bos_token_id) tokens.emplace(*config.bos_token_id, kBos);
  for (size_t i = 0; i < config.eos_token_ids.size(); ++i)
    tokens.emplace(config.eos_token_ids[i], i == 0 ? kEos : fmt::format("<｜end▁{}｜>", i));
  return tokens;
}

}  // namespace

std::optional<ByteTokenizer> make_byte_tokenizer(const ModelConfig& config) {
  const std::map<int32_t, std::string> specials = special_tokens(config);
  if (config.vocab_size < kBytes + static_cast<int64_t>(specials.size())) return std::nullopt;
  Json added = Json::array();
  for (const auto& [id, text] : specials) added.push_back(added_token(id, text, /*special=*/true));

  Json vocabulary = Json::object();
  int32_t next = 0;
  for (int byte = 0; byte < kBytes; ++byte, ++next) {
    while (specials.contains(next)) ++next;
    vocabulary[std::string(alphabet_character(static_cast<uint8_t>(byte)))] = next;
  }
  ByteTokenizer result;
  result.tokenizer = tokenizer_json(
      {.vocabulary = std::move(vocabulary), .added = std::move(added), .pre_tokenizer = byte_level_stage()});
  result.config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                   {"add_bos_token", config.bos_token_id.has_value()},
                   {"add_eos_token", false},
                   {"model_max_length", config.max_position_embeddings}};
  if (config.bos_token_id) result.config["bos_token"] = specials.at(*config.bos_token_id);
  if (!config.eos_token_ids.empty()) result.config["eos_token"] = specials.at(config.eos_token_ids.front());
  return result;
}

}  // namespace cadre
