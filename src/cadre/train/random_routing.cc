#include "cadre/train/random_routing.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "cadre/base/random.h"

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

/// The sum of the k largest of softmax(logits).
double confidence(std::span<const float> logits, int64_t k, std::vector<double>& exponentials) {
  const double largest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  exponentials.clear();
  for (const float z : logits) exponentials.push_back(std::exp(static_cast<double>(z) - largest));
  std::sort(exponentials.begin(), exponentials.end(), std::greater());
  const double mass = std::accumulate(exponentials.begin(), exponentials.begin() + k, 0.0);
  return mass / std::accumulate(exponentials.begin(), exponentials.end(), 0.0);
}

/// Tokens in ascending order of confidence; among equals earlier ones first.
std::vector<int64_t> by_confidence(const RoutingPlan& plan, const MoeConfig& config) {
  std::vector<double> confidences;
  std::vector<double> scratch;
  for (int64_t t = 0; t < plan.tokens(); ++t)
    confidences.push_back(
        confidence(std::span(plan.router_logits.row(t), static_cast<size_t>(config.n_routed_experts)),
                   config.num_experts_per_tok, scratch));
  std::vector<int64_t> order(static_cast<size_t>(plan.tokens()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return confidences[static_cast<size_t>(a)] < confidences[static_cast<size_t>(b)];
  });
  return order;
}

void take_experts_away(RoutingPlan& plan, const std::vector<bool>& dropped) {
  size_t kept = 0;
  for (int64_t t = 0; t < plan.tokens(); ++t) {
    const auto begin = static_cast<size_t>(plan.first[static_cast<size_t>(t)]);
    const auto end = static_cast<size_t>(plan.first[static_cast<size_t>(t) + 1]);
    plan.first[static_cast<size_t>(t)] = static_cast<int32_t>(kept);
    if (dropped[static_cast<size_t>(t)]) continue;
    for (size_t i = begin; i < end; ++i) {
      plan.experts[kept] = plan.experts[i];
      plan.weights[kept++] = plan.weights[i];
    }
  }
  plan.first.back() = static_cast<int32_t>(kept);
  plan.experts.resize(kept);
  plan.weights.resize(kept);
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
    take_experts_away(plan, dropped);
    return plan;
  };
}

}  // namespace cadre::train
