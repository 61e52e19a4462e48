#include "cadre/runtime/samplable_tokens.h"

#include <limits>

namespace cadre {

std::vector<bool> samplable_tokens(const Tokenizer& tokenizer, int64_t vocab_size) {
  std::vector<bool> samplable(static_cast<size_t>(vocab_size));
  for (int32_t id = 0; id < vocab_size; ++id) samplable[static_cast<size_t>(id)] = tokenizer.contains(id);
  return samplable;
}

SamplableTokens::SamplableTokens(const std::vector<bool>& samplable, int64_t vocab_size)
    : vocab_size_(vocab_size) {
  for (int32_t id = 0; id < vocab_size; ++id) {
    const auto index = static_cast<size_t>(id);
    if (index >= samplable.size() || !samplable[index]) others_.push_back(id);
  }
}

void SamplableTokens::mask(std::span<float> logits) const {
  for (const int32_t id : others_) logits[static_cast<size_t>(id)] = -std::numeric_limits<float>::infinity();
}

}  // namespace cadre
