#include "cadre/model/fallback.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace cadre {
namespace {

/// Of a model layer, its place among the MoE layers.
std::vector<size_t> moe_places(const ModelConfig& config) {
  std::vector<size_t> places(static_cast<size_t>(config.num_hidden_layers), 0);
  size_t next = 0;
  for (size_t layer = 0; layer < places.size(); ++layer)
    if (config.is_moe_layer(static_cast<int64_t>(layer))) places[layer] = next++;
  return places;
}

}  // namespace

RoutingPlan without_experts(RoutingPlan plan, FunctionRef<bool(int64_t token)> falls_back) {
  size_t kept = 0;
  int32_t begin = 0;
  for (int64_t t = 0; t < plan.tokens(); ++t) {
    const int32_t end = plan.first[static_cast<size_t>(t) + 1];
    if (!falls_back(t)) {
      for (int32_t i = begin; i < end; ++i, ++kept) {
        plan.experts[kept] = plan.experts[static_cast<size_t>(i)];
        plan.weights[kept] = plan.weights[static_cast<size_t>(i)];
      }
    }
    begin = end;
    plan.first[static_cast<size_t>(t) + 1] = static_cast<int32_t>(kept);
  }
  plan.experts.resize(kept);
  plan.weights.resize(kept);
  return plan;
}

Confidence router_confidence(std::span<const float> logits, int64_t k, double temperature) {
  std::vector<double> z(logits.begin(), logits.end());
  if (!std::ranges::all_of(z, [](double value) { return std::isfinite(value); })) return {};
  std::sort(z.begin(), z.end(), std::greater<>());
  const double largest = z.front();
  double sum = 0;
  double weighted = 0;  // sum of e (z - max) / T
  double top_sum = 0;
  for (size_t i = 0; i < z.size(); ++i) {
    const double scaled = (z[i] - largest) / temperature;
    const double e = std::exp(scaled);
    sum += e;
    weighted += e * scaled;
    if (i < static_cast<size_t>(k)) top_sum += e;
  }
  const auto next = static_cast<size_t>(k);
  const double entropy = std::log(sum) - weighted / sum;
  return {.top = 1 / sum,
          .mass = top_sum / sum,
          .entropy = z.size() == 1 ? 1 : 1 - entropy / std::log(static_cast<double>(z.size())),
          .margin = next < z.size() ? z[next - 1] - z[next] : 0};
}

Result<RoutingPolicy> fallback_policy(const ModelConfig& config, FallbackUse use) {
  if (use == FallbackUse::kOff) return RoutingPolicy();
  if (use == FallbackUse::kForce) {
    if (!config.moe)
      return fail(ErrorKind::kUsage, "fallback: the model is dense, it has no routed experts to go without");
    return RoutingPolicy(
        [](RoutingPlan plan) { return without_experts(std::move(plan), [](int64_t) { return true; }); });
  }
  if (!config.moe || !config.moe->fallback || config.moe->fallback->threshold.empty()) {
    if (use == FallbackUse::kAuto) return RoutingPolicy();
    return fail(ErrorKind::kUsage,
                "fallback: the model has no thresholds (fallback.threshold in config.json); cadre calibrate "
                "makes them");
  }
  return RoutingPolicy([places = moe_places(config), c = *config.moe->fallback](RoutingPlan plan) {
    const size_t place = places[static_cast<size_t>(plan.layer)];
    const auto threshold = static_cast<double>(c.threshold[place]);
    const auto temperature = static_cast<double>(c.temperature[place]);
    const Tensor logits = plan.router_logits;  // [T, E]
    return without_experts(std::move(plan), [&](int64_t t) {
      const std::span<const float> row(logits.row(t), static_cast<size_t>(logits.width));
      return router_confidence(row, c.confidence_experts, temperature).mass < threshold;
    });
  });
}

}  // namespace cadre
