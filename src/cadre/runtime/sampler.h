#pragma once
/// From logits to the next token.

#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cadre/base/random.h"
#include "cadre/base/result.h"

namespace cadre {

/// Applied in this order: penalties and bias on the logits, temperature, then top-k, top-p and min-p each on
/// what the one before left. The meanings are those of the OpenAI API and of llama.cpp.
struct SamplingParams {
  double temperature = 1;         ///< 0: greedy, the most likely token; ties go to the lower id
  int64_t top_k = 0;              ///< keep the k most likely; 0: all
  double top_p = 1;               ///< keep the most likely whose probabilities reach p
  double min_p = 0;               ///< keep those of at least min_p times the best probability
  double repetition_penalty = 1;  ///< divides positive and multiplies negative logits of tokens seen (CTRL)
  double presence_penalty = 0;    ///< subtracted once from the logits of generated tokens
  double frequency_penalty = 0;   ///< subtracted per occurrence among the generated tokens
  std::vector<std::pair<int32_t, float>> logit_bias;
  uint64_t seed = 0;
};

/// Errors: kUsage, naming the parameter and its range.
Status validate(const SamplingParams& params, int64_t vocab_size);

/// The state of one sequence's sampling. Draw i of a seed is always the same number, whatever else runs.
class Sampler {
 public:
  explicit Sampler(SamplingParams params) : params_(std::move(params)), random_(params_.seed, kPurpose) {}

  /// Counts a prompt token (for the repetition penalty).
  void observe_prompt(int32_t token) { seen_.try_emplace(token, 0); }
  /// Chooses from logits [V], which it changes, and counts the choice.
  int32_t sample(std::span<float> logits);

 private:
  static constexpr uint64_t kPurpose = 1;
  void apply_penalties(std::span<float> logits) const;
  int32_t draw(std::span<const float> logits);

  SamplingParams params_;
  RandomStream random_;
  uint64_t draws_ = 0;
  std::unordered_map<int32_t, int64_t> seen_;  ///< how often each was generated; 0: in the prompt only
  std::vector<std::pair<float, int32_t>> candidates_;
  std::vector<double> probabilities_;
};

/// The most likely token; ties and NaN go to the lower id.
int32_t argmax(std::span<const float> logits);

/// log softmax of a row of logits, in f64.
class LogSoftmax {
 public:
  /// The view must outlive this.
  explicit LogSoftmax(std::span<const float> logits);
  double operator[](int32_t token) const {
    return static_cast<double>(logits_[static_cast<size_t>(token)]) - largest_ - log_sum_;
  }

 private:
  std::span<const float> logits_;
  double largest_ = 0;
  double log_sum_ = 0;
};

/// That of one token.
double log_probability(std::span<const float> logits, int32_t token);

}  // namespace cadre
