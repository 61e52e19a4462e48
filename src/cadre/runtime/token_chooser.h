#pragma once
/// From a row of logits to the next token of a request's answer.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cadre/runtime/job.h"
#include "cadre/runtime/samplable_tokens.h"

namespace cadre {

/// Keeps its memory from token to token. Thread-compatible.
class TokenChooser {
 public:
  /// `max_sequence_tokens`: see Engine.
  TokenChooser(SamplableTokens samplable, int64_t vocab_size, int64_t max_sequence_tokens);

  /// Samples the job's next token, appends it and tells the listener. -> why the answer is over, if it is.
  /// The rules of an end are those of generate().   logits: [V], changed
  /// Errors: kInvalid, when the constraint allows nothing that may be sampled.
  Result<std::optional<FinishReason>> choose(Job& job, std::span<float> logits,
                                             std::span<const ExpertChoice> routing);

 private:
  Status constrain(const Job& job, std::span<float> logits);
  /// Sets `top_` to the most likely tokens of `plain_`.
  void find_top(const LogSoftmax& logprobs, int64_t count);

  SamplableTokens samplable_;
  int64_t max_sequence_tokens_;
  std::vector<uint64_t> allowed_;  ///< a bit for each id
  std::vector<float> plain_;       ///< the logits before constraint and sampling
  std::vector<int32_t> ids_;
  std::vector<TokenLogprob> top_;
};

}  // namespace cadre
