#include "cadre/train/capacity.h"

#include <algorithm>
#include <cmath>

namespace cadre::train {
namespace {

/// An entry of a plan, as it stands in its expert's queue.
struct Candidate {
  int32_t expert = 0;
  int32_t entry = 0;
  float score = 0;
};

std::vector<Candidate> candidates_of(const MoeConfig& config, const RoutingPlan& plan) {
  const auto experts = static_cast<size_t>(config.n_routed_experts);
  std::vector<float> scores(experts);
  std::vector<Candidate> result;
  for (int64_t t = 0; t < plan.tokens(); ++t) {
    score_experts(config.score_function, std::span(plan.router_logits.row(t), experts), scores);
    for (int32_t i = plan.first[static_cast<size_t>(t)]; i < plan.first[static_cast<size_t>(t) + 1]; ++i) {
      const int32_t e = plan.experts[static_cast<size_t>(i)];
      result.push_back({e, i, scores[static_cast<size_t>(e)]});
    }
  }
  return result;
}

/// The entries that stay, by entry.
std::vector<bool> within_capacity(std::vector<Candidate> candidates, CapacityOrder order, int64_t capacity,
                                  int64_t experts) {
  if (order == CapacityOrder::kPriority)
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  std::vector<bool> stays(candidates.size(), false);
  std::vector<int64_t> taken(static_cast<size_t>(experts), 0);
  for (const Candidate& candidate : candidates)
    stays[static_cast<size_t>(candidate.entry)] = taken[static_cast<size_t>(candidate.expert)]++ < capacity;
  return stays;
}

}  // namespace

int64_t expert_capacity(const MoeConfig& config, const CapacityOptions& options, int64_t tokens) {
  return static_cast<int64_t>(
      std::ceil(options.factor * static_cast<double>(config.num_experts_per_tok * tokens) /
                static_cast<double>(config.n_routed_experts)));
}

RoutingPolicy capacity_policy(const MoeConfig& config, const CapacityOptions& options, int64_t& assigned,
                              int64_t& dropped) {
  return [config, options, &assigned, &dropped](RoutingPlan plan) {
    assigned += static_cast<int64_t>(plan.experts.size());
    const int64_t capacity = expert_capacity(config, options, plan.tokens());
    const std::vector<bool> stays =
        within_capacity(candidates_of(config, plan), options.order, capacity, config.n_routed_experts);
    size_t kept = 0;
    for (int64_t t = 0; t < plan.tokens(); ++t) {
      const auto begin = static_cast<size_t>(plan.first[static_cast<size_t>(t)]);
      const auto end = static_cast<size_t>(plan.first[static_cast<size_t>(t) + 1]);
      plan.first[static_cast<size_t>(t)] = static_cast<int32_t>(kept);
      for (size_t i = begin; i < end; ++i) {
        if (!stays[i]) continue;
        plan.experts[kept] = plan.experts[i];
        plan.weights[kept++] = plan.weights[i];
      }
    }
    dropped += static_cast<int64_t>(plan.experts.size() - kept);
    plan.first.back() = static_cast<int32_t>(kept);
    plan.experts.resize(kept);
    plan.weights.resize(kept);
    return plan;
  };
}

}  // namespace cadre::train
