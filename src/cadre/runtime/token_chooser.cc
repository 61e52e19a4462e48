#include "cadre/runtime/token_chooser.h"

#include <algorithm>
#include <limits>

namespace cadre {
namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();

void set_bit(std::span<uint64_t> mask, int32_t id, bool value) {
  const uint64_t bit = uint64_t{1} << (id % 64);
  uint64_t& word = mask[static_cast<size_t>(id) / 64];
  word = value ? word | bit : word & ~bit;
}

}  // namespace

TokenChooser::TokenChooser(SamplableTokens samplable, int64_t vocab_size, int64_t max_sequence_tokens)
    : samplable_(std::move(samplable)),
      max_sequence_tokens_(max_sequence_tokens),
      allowed_(static_cast<size_t>((vocab_size + 63) / 64)) {}

Status TokenChooser::constrain(const Job& job, std::span<float> logits) {
  const TokenConstraint& constraint = *job.request.constraint;
  constraint.allow(allowed_);
  for (const int32_t stop : job.request.stop_tokens) set_bit(allowed_, stop, constraint.may_end());
  bool any = false;
  for (size_t id = 0; id < logits.size(); ++id) {
    if ((allowed_[id / 64] >> (id % 64) & 1) == 0) logits[id] = kImpossible;
    any |= logits[id] > kImpossible;
  }
  if (!any) return invalid("the constraint on the answer allows no token that can be sampled");
  return {};
}

void TokenChooser::find_top(const LogSoftmax& logprobs, int64_t count) {
  ids_.clear();
  for (size_t id = 0; id < plain_.size(); ++id)
    if (plain_[id] > kImpossible) ids_.push_back(static_cast<int32_t>(id));
  const auto end = ids_.begin() + std::min(count, static_cast<int64_t>(ids_.size()));
  std::partial_sort(ids_.begin(), end, ids_.end(), [&](int32_t a, int32_t b) {
    const float logit_a = plain_[static_cast<size_t>(a)];
    const float logit_b = plain_[static_cast<size_t>(b)];
    return logit_a != logit_b ? logit_a > logit_b : a < b;
  });
  top_.clear();
  for (auto id = ids_.begin(); id != end; ++id) top_.push_back({.token = *id, .logprob = logprobs[*id]});
}

Result<std::optional<FinishReason>> TokenChooser::choose(Job& job, std::span<float> logits,
                                                         std::span<const ExpertChoice> routing) {
  const Request& request = job.request;
  TokenConstraint* constraint = request.constraint.get();
  if (constraint != nullptr && constraint->complete()) return FinishReason::kStopToken;

  samplable_.mask(logits);
  if (request.top_logprobs >= 0) plain_.assign(logits.begin(), logits.end());
  if (constraint != nullptr) CADRE_CHECK_OK(constrain(job, logits));
  const int32_t token = job.sampler.sample(logits);
  if (std::find(request.stop_tokens.begin(), request.stop_tokens.end(), token) != request.stop_tokens.end())
    return FinishReason::kStopToken;

  if (constraint != nullptr) constraint->accept(token);
  job.tokens.push_back(token);
  ++job.stats.generated_tokens;
  if (job.stats.generated_tokens == 1) job.stats.first_token_seconds = job.age(Job::Clock::now());
  TokenEvent event{.token = token, .logprob = 0, .top = {}, .routing = routing};
  if (request.top_logprobs >= 0) {
    const LogSoftmax logprobs(plain_);
    find_top(logprobs, request.top_logprobs);
    event.logprob = logprobs[token];
    event.top = top_;
  }
  if (!job.listener->on_token(event)) return FinishReason::kStopString;
  if (constraint != nullptr && constraint->complete()) return FinishReason::kStopToken;
  if (job.stats.generated_tokens == request.max_tokens) return FinishReason::kMaxTokens;
  if (static_cast<int64_t>(job.tokens.size()) > max_sequence_tokens_) return FinishReason::kContextFull;
  return std::nullopt;
}

}  // namespace cadre
