#include "cadre/train/random_routing.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cadre/base/random.h"
#include "cadre/model/fallback.h"

namespace cadre::train {
namespace {

// Purposes of random streams; each step, pass and layer has one of its own.
constexpr uint64_t kTopKPurpose = 0x746F706B;
constexpr uint64_t kDropoutPurpose = 0x64726F70;

RandomStream stream(uint64_t seed, uint64_t purpose, int64_t step, int64_t pass, int64_t layer) {
  const RandomStream steps(seed, purpose);
  const RandomStream passes(steps.bits(static_cast<uint64_t>(step)), static_cast<uint64_t>(pass));
  return {passes.bits(static_cast<uint64_t>(layer)), purpose};
}

/// Tokens in ascending order of confidence; among equals earlier ones first.
std::vector<int64_t> by_confidence(const RoutingPlan& plan, const MoeConfig& config) {
  std::vector<double> confidences;
  for (int64_t t = 0; t < plan.tokens(); ++t) {
    const std::span<const float> logits(plan.router_logits.row(t),
                                        static_cast<size_t>(config.n_routed_experts));
    confidences.push_back(router_confidence(logits, config.num_experts_per_tok, /*temperature=*/1).mass);
  }
  std::vector<int64_t> order(static_cast<size_t>(plan.tokens()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return confidences[static_cast<size_t>(a)] < confidences[static_cast<size_t>(b)];
  });
  return order;
}

}  // namespace

RandomRouting::RandomRouting(const ModelConfig& config, const RandomRoutingOptions& options, uint64_t seed,
                             int64_t steps)
    : config_(config.moe.value_or(MoeConfig{})),
      layers_(config.num_hidden_layers),
      options_(options),
      seed_(seed),
      steps_(steps) {}

int64_t RandomRouting::largest_k() const { return std::max(config_.num_experts_per_tok, options_.highest_k); }

void RandomRouting::begin_pass(int64_t step, int64_t pass) {
  step_ = step;
  pass_ = pass;
  top_k_.clear();
  if (options_.lowest_k == 0) return;
  const bool warm = static_cast<double>(step) >= options_.warmup * static_cast<double>(steps_);
  const auto range = static_cast<uint64_t>(options_.highest_k - options_.lowest_k + 1);
  for (int64_t layer = 0; layer < layers_; ++layer) {
    const RandomStream random = stream(seed_, kTopKPurpose, step, pass, layer);
    const bool drawn = warm && random.uniform(0) < options_.share;
    top_k_.push_back(drawn ? options_.lowest_k + static_cast<int64_t>(random.bits(1) % range)
                           : config_.num_experts_per_tok);
  }
}

RoutingPolicy RandomRouting::dropout() {
  return [this](RoutingPlan plan) {
    const RandomStream random = stream(seed_, kDropoutPurpose, step_, pass_, plan.layer);
    const bool late = step_ >= steps_ - steps_ / 10;
    const double at_random = late ? options_.dropout / 2 : options_.dropout;
    std::vector<bool> dropped(static_cast<size_t>(plan.tokens()));
    for (size_t t = 0; t < dropped.size(); ++t) dropped[t] = random.uniform(t) < at_random;
    if (late) {
      const std::vector<int64_t> order = by_confidence(plan, config_);
      const auto lowest = std::llround(options_.dropout / 2 * static_cast<double>(plan.tokens()));
      for (int64_t i = 0; i < lowest; ++i) dropped[static_cast<size_t>(order[static_cast<size_t>(i)])] = true;
    }
    return without_experts(std::move(plan), [&](int64_t t) { return dropped[static_cast<size_t>(t)]; });
  };
}

}  // namespace cadre::train
