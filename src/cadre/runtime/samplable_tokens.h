#pragma once
/// Which rows of the head may be sampled. Some stand for no text: checkpoints pad the vocabulary, and
/// vocabularies leave ids out.

#include <cstdint>
#include <span>
#include <vector>

#include "cadre/text/tokenizer.h"

namespace cadre {

/// [vocab_size]: whether the tokenizer has a token for each row of a head.
std::vector<bool> samplable_tokens(const Tokenizer& tokenizer, int64_t vocab_size);

/// Thread-safe.
class SamplableTokens {
 public:
  /// `samplable[t]` says whether id t may be sampled; ids beyond its end may not.
  SamplableTokens(const std::vector<bool>& samplable, int64_t vocab_size);

  /// Makes all others impossible.   logits: [V]
  void mask(std::span<float> logits) const;
  /// Whether there is one at all.
  bool any() const { return static_cast<int64_t>(others_.size()) < vocab_size_; }

 private:
  int64_t vocab_size_;
  std::vector<int32_t> others_;
};

}  // namespace cadre
