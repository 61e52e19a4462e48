#include "cadre/runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cadre {
namespace {

Status out_of_range(const char* name, const char* range, double value) {
  return fail(ErrorKind::kUsage, "{}: expected {}, found {}", name, range, value);
}

/// Best first; ties go to the lower id.
bool more_likely(const std::pair<float, int32_t>& a, const std::pair<float, int32_t>& b) {
  return a.first != b.first ? a.first > b.first : a.second < b.second;
}

/// How many of the sorted probabilities top-p and min-p keep, at least one. `total` is their sum.
size_t nucleus(std::span<const double> probabilities, double total, double top_p, double min_p) {
  size_t kept = 0;
  double sum = 0;
  while (kept < probabilities.size() && (kept == 0 || (sum < top_p * total))) sum += probabilities[kept++];
  if (top_p >= 1) kept = probabilities.size();
  while (kept > 1 && probabilities[kept - 1] < min_p * probabilities[0]) --kept;
  return kept;
}

}  // namespace

Status validate(const SamplingParams& params, int64_t vocab_size) {
  if (!(params.temperature >= 0) || std::isinf(params.temperature))
    return out_of_range("temperature", "a number of at least 0", params.temperature);
  if (params.top_k < 0)
    return out_of_range("top-k", "an integer of at least 0", static_cast<double>(params.top_k));
  if (!(params.top_p > 0 && params.top_p <= 1))
    return out_of_range("top-p", "above 0 and at most 1", params.top_p);
  if (!(params.min_p >= 0 && params.min_p <= 1)) return out_of_range("min-p", "from 0 to 1", params.min_p);
  if (!(params.repetition_penalty > 0) || std::isinf(params.repetition_penalty))
    return out_of_range("repetition penalty", "a number above 0", params.repetition_penalty);
  if (!std::isfinite(params.presence_penalty))
    return out_of_range("presence penalty", "a finite number", params.presence_penalty);
  if (!std::isfinite(params.frequency_penalty))
    return out_of_range("frequency penalty", "a finite number", params.frequency_penalty);
  for (const auto& [token, bias] : params.logit_bias) {
    if (token < 0 || token >= vocab_size)
      return out_of_range("logit bias", "token ids inside the vocabulary", static_cast<double>(token));
    if (std::isnan(bias)) return out_of_range("logit bias", "a number", static_cast<double>(bias));
  }
  return {};
}

int32_t argmax(std::span<const float> logits) {
  size_t best = 0;
  for (size_t i = 1; i < logits.size(); ++i)
    if (logits[i] > logits[best] || std::isnan(logits[best])) best = std::isnan(logits[i]) ? best : i;
  return static_cast<int32_t>(best);
}

LogSoftmax::LogSoftmax(std::span<const float> logits) : logits_(logits) {
  largest_ = -std::numeric_limits<double>::infinity();
  for (const float logit : logits) largest_ = std::max(largest_, static_cast<double>(logit));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest_);
  log_sum_ = std::log(sum);
}

double log_probability(std::span<const float> logits, int32_t token) { return LogSoftmax(logits)[token]; }

void Sampler::apply_penalties(std::span<float> logits) const {
  for (const auto& [token, count] : seen_) {
    float& logit = logits[static_cast<size_t>(token)];
    const auto penalty = static_cast<float>(params_.repetition_penalty);
    logit = logit > 0 ? logit / penalty : logit * penalty;
    if (count > 0)
      logit -= static_cast<float>(params_.presence_penalty +
                                  params_.frequency_penalty * static_cast<double>(count));
  }
  for (const auto& [token, bias] : params_.logit_bias) logits[static_cast<size_t>(token)] += bias;
}

int32_t Sampler::draw(std::span<const float> logits) {
  candidates_.clear();
  // What is masked is no candidate, lest the rounding of the sum below ends at it.
  for (size_t i = 0; i < logits.size(); ++i)
    if (logits[i] > -std::numeric_limits<float>::infinity())
      candidates_.emplace_back(logits[i], static_cast<int32_t>(i));
  if (candidates_.empty()) return 0;
  const size_t k = params_.top_k == 0 ? candidates_.size()
                                      : std::min(candidates_.size(), static_cast<size_t>(params_.top_k));
  std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<int64_t>(k), candidates_.end(),
                    more_likely);
  candidates_.resize(k);

  probabilities_.clear();
  double total = 0;
  for (const auto& [logit, token] : candidates_) {
    const double difference =
        logit == candidates_[0].first ? 0 : static_cast<double>(logit) - candidates_[0].first;
    probabilities_.push_back(std::exp(difference / params_.temperature));
    total += probabilities_.back();
  }
  const size_t kept = nucleus(probabilities_, total, params_.top_p, params_.min_p);
  double kept_total = 0;
  for (size_t i = 0; i < kept; ++i) kept_total += probabilities_[i];

  double target = random_.uniform(draws_) * kept_total;
  for (size_t i = 0; i < kept; ++i) {
    target -= probabilities_[i];
    if (target < 0) return candidates_[i].second;
  }
  return candidates_[kept - 1].second;
}

int32_t Sampler::sample(std::span<float> logits) {
  apply_penalties(logits);
  const int32_t token = params_.temperature == 0 ? argmax(logits) : draw(logits);
  ++draws_;
  ++seen_[token];
  return token;
}

}  // namespace cadre
