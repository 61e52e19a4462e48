#include "cadre/model/routing_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace cadre {
namespace {

constexpr float kMasked = -std::numeric_limits<float>::infinity();
constexpr float kWeightSumFloor = 1e-20f;  // DeepSeek-V3 modeling: keeps the division finite

/// NaN ranks below everything, so that a broken row selects experts in index order instead of being
/// undefined behaviour in the sort.
bool ranks_above(float a, int32_t index_a, float b, int32_t index_b) {
  const bool nan_a = std::isnan(a);
  const bool nan_b = std::isnan(b);
  if (nan_a != nan_b) return nan_b;
  if (!nan_a && a != b) return a > b;
  return index_a < index_b;
}

/// Indices of the k largest values, best first.
void best_of(std::span<const float> values, int64_t k, std::vector<int32_t>& best) {
  best.resize(values.size());
  std::iota(best.begin(), best.end(), 0);
  std::partial_sort(best.begin(), best.begin() + k, best.end(),
                    [&](int32_t a, int32_t b) { return ranks_above(values[a], a, values[b], b); });
  best.resize(static_cast<size_t>(k));
}

float group_value(GroupScore rule, std::span<const float> choice) {
  float best = kMasked;
  float second = kMasked;
  for (const float value : choice) {
    if (value > best) {
      second = best;
      best = value;
    } else if (value > second) {
      second = value;
    }
  }
  return rule == GroupScore::kTopTwoSum && choice.size() > 1 ? best + second : best;
}

/// Sets the scores outside the best `topk_group` groups of consecutive experts to minus infinity.
void mask_groups(const MoeConfig& config, std::span<float> choice, std::vector<float>& group_values,
                 std::vector<int32_t>& best_groups) {
  const int64_t size = config.n_routed_experts / config.n_group;
  group_values.resize(static_cast<size_t>(config.n_group));
  for (int64_t g = 0; g < config.n_group; ++g)
    group_values[g] = group_value(config.group_score,
                                  choice.subspan(static_cast<size_t>(g * size), static_cast<size_t>(size)));
  best_of(group_values, config.topk_group, best_groups);
  for (int64_t g = 0; g < config.n_group; ++g) {
    if (std::find(best_groups.begin(), best_groups.end(), g) != best_groups.end()) continue;
    std::fill_n(choice.begin() + g * size, size, kMasked);
  }
}

/// A plan of no tokens yet, with room for those of the logits.
RoutingPlan begin_plan(int layer, const Tensor& router_logits, int64_t k, RoutingWorkspace& workspace) {
  RoutingPlan plan = std::move(workspace.plan);
  plan.layer = layer;
  plan.router_logits = router_logits;
  plan.first.assign(1, 0);
  plan.first.reserve(static_cast<size_t>(router_logits.rows) + 1);
  plan.experts.clear();
  plan.weights.clear();
  plan.experts.reserve(static_cast<size_t>(router_logits.rows * k));
  plan.weights.reserve(static_cast<size_t>(router_logits.rows * k));
  return plan;
}

/// The next token goes to the experts `selected`, in any order.
void add_token(const MoeConfig& config, std::span<const float> scores, std::vector<int32_t>& selected,
               RoutingPlan& plan) {
  std::sort(selected.begin(), selected.end());
  float sum = 0;
  for (const int32_t e : selected) sum += scores[e];
  for (const int32_t e : selected) {
    float weight = scores[e];
    if (config.normalise_weights) weight /= sum + kWeightSumFloor;
    plan.experts.push_back(e);
    plan.weights.push_back(weight * config.weight_scale);
  }
  plan.first.push_back(static_cast<int32_t>(plan.experts.size()));
}

}  // namespace

void score_experts(ScoreFunction function, std::span<const float> logits, std::span<float> scores) {
  // exp and log in f64: their results, rounded to f32, do not depend on which libm variant the machine picks.
  switch (function) {
    case ScoreFunction::kSoftmax: {
      double largest = -std::numeric_limits<double>::infinity();
      for (const float z : logits) largest = std::max(largest, static_cast<double>(z));
      double sum = 0;
      for (const float z : logits) sum += std::exp(static_cast<double>(z) - largest);
      for (size_t i = 0; i < logits.size(); ++i)
        scores[i] = static_cast<float>(std::exp(static_cast<double>(logits[i]) - largest) / sum);
      return;
    }
    case ScoreFunction::kSigmoid:
      for (size_t i = 0; i < logits.size(); ++i)
        scores[i] = static_cast<float>(1.0 / (1.0 + std::exp(-static_cast<double>(logits[i]))));
      return;
    case ScoreFunction::kSqrtSoftplus:
      for (size_t i = 0; i < logits.size(); ++i) {
        const double z = logits[i];
        scores[i] = static_cast<float>(std::sqrt(std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z)))));
      }
      return;
  }
}

RoutingPlan select_experts(const MoeConfig& config, int layer, const Tensor& router_logits,
                           std::span<const float> bias, const ExpertsPerToken& top_k,
                           RoutingWorkspace& workspace) {
  const auto n_experts = static_cast<size_t>(config.n_routed_experts);
  RoutingPlan plan = begin_plan(layer, router_logits, top_k.k, workspace);
  std::vector<float>& scores = workspace.scores;
  std::vector<float>& choice = workspace.choice;
  std::vector<int32_t>& selected = workspace.selected;
  scores.resize(n_experts);
  for (int64_t t = 0; t < router_logits.rows; ++t) {
    score_experts(config.score_function, std::span(router_logits.row(t), n_experts), scores);
    choice = scores;
    for (size_t i = 0; i < bias.size(); ++i) choice[i] += bias[i];
    if (config.group_score != GroupScore::kNone)
      mask_groups(config, choice, workspace.group_values, workspace.best_groups);
    best_of(choice, top_k.of(t), selected);
    add_token(config, scores, selected, plan);
  }
  return plan;
}

RoutingPlan take_experts(const MoeConfig& config, int layer, const Tensor& router_logits,
                         const ExpertTable& table, const ExpertsPerToken& top_k,
                         RoutingWorkspace& workspace) {
  const auto n_experts = static_cast<size_t>(config.n_routed_experts);
  RoutingPlan plan = begin_plan(layer, router_logits, top_k.k, workspace);
  workspace.scores.resize(n_experts);
  for (int64_t t = 0; t < router_logits.rows; ++t) {
    score_experts(config.score_function, std::span(router_logits.row(t), n_experts), workspace.scores);
    const float* row = table.table.data() + int64_t{table.tokens[static_cast<size_t>(t)]} * table.width;
    workspace.selected.assign(row, row + std::min(top_k.of(t), table.width));
    add_token(config, workspace.scores, workspace.selected, plan);
  }
  return plan;
}

ExpertAssignments& group_by_expert(const RoutingPlan& plan, int64_t n_experts, RoutingWorkspace& workspace) {
  std::vector<int64_t>& next = workspace.next;
  next.assign(static_cast<size_t>(n_experts) + 1, 0);
  for (const int32_t e : plan.experts) ++next[e + 1];
  ExpertAssignments& result = workspace.assignments;
  result.experts.clear();
  result.first.clear();
  for (int64_t e = 0; e < n_experts; ++e) {
    if (next[e + 1] > 0) {
      result.experts.push_back(static_cast<int32_t>(e));
      result.first.push_back(next[e]);
    }
    next[e + 1] += next[e];
  }
  result.first.push_back(static_cast<int64_t>(plan.experts.size()));
  result.rows.resize(plan.experts.size());
  result.weights.resize(plan.experts.size());
  for (int64_t t = 0; t < plan.tokens(); ++t) {
    for (int32_t i = plan.first[t]; i < plan.first[t + 1]; ++i) {
      const int64_t slot = next[plan.experts[i]]++;
      result.rows[slot] = static_cast<int32_t>(t);
      result.weights[slot] = plan.weights[i];
    }
  }
  return result;
}

void add_score_gradient(ScoreFunction function, std::span<const float> logits,
                        std::span<const double> dscores, std::span<float> dlogits) {
  const auto add = [&](size_t i, double value) {
    dlogits[i] = static_cast<float>(static_cast<double>(dlogits[i]) + value);
  };
  const auto sigmoid = [](double z) { return 1.0 / (1.0 + std::exp(-z)); };
  switch (function) {
    case ScoreFunction::kSoftmax: {
      const double largest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
      double sum = 0;
      double mean = 0;  // sum_i s_i ds_i, times `sum`
      for (size_t i = 0; i < logits.size(); ++i) {
        const double e = std::exp(static_cast<double>(logits[i]) - largest);
        sum += e;
        mean += e * dscores[i];
      }
      mean /= sum;
      for (size_t i = 0; i < logits.size(); ++i)
        add(i, std::exp(static_cast<double>(logits[i]) - largest) / sum * (dscores[i] - mean));
      return;
    }
    case ScoreFunction::kSigmoid:
      for (size_t i = 0; i < logits.size(); ++i) {
        if (dscores[i] == 0) continue;
        const double s = sigmoid(static_cast<double>(logits[i]));
        add(i, dscores[i] * s * (1 - s));
      }
      return;
    case ScoreFunction::kSqrtSoftplus:
      for (size_t i = 0; i < logits.size(); ++i) {
        if (dscores[i] == 0) continue;
        const auto z = static_cast<double>(logits[i]);
        const double s = std::sqrt(std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z))));
        add(i, dscores[i] * sigmoid(z) / (2 * s));
      }
      return;
  }
}

void add_routing_gradient(const MoeConfig& config, const RoutingPlan& decided, const RoutingPlan& plan,
                          std::span<const float> dweights, const Tensor& dlogits) {
  const auto n_experts = static_cast<size_t>(config.n_routed_experts);
  std::vector<int64_t> next(n_experts + 1,
                            0);  // where each expert's assignments go on, as in group_by_expert
  for (const int32_t e : plan.experts) ++next[static_cast<size_t>(e) + 1];
  for (size_t e = 0; e < n_experts; ++e) next[e + 1] += next[e];

  std::vector<float> scores(n_experts);
  std::vector<double> dscores(n_experts);
  const double scale = static_cast<double>(config.weight_scale);
  for (int64_t t = 0; t < decided.tokens(); ++t) {
    const std::span<const float> logits(decided.router_logits.row(t), n_experts);
    std::fill(dscores.begin(), dscores.end(), 0.0);
    for (const int32_t e : plan.experts_of(t))
      dscores[static_cast<size_t>(e)] = scale * static_cast<double>(dweights[static_cast<size_t>(next[e]++)]);
    if (config.normalise_weights) {  // w_i = s_i / sum_j s_j
      score_experts(config.score_function, logits, scores);
      double sum = static_cast<double>(kWeightSumFloor);
      double mean = 0;
      for (const int32_t e : decided.experts_of(t))
        sum += static_cast<double>(scores[static_cast<size_t>(e)]);
      for (const int32_t e : decided.experts_of(t))
        mean += dscores[static_cast<size_t>(e)] * static_cast<double>(scores[static_cast<size_t>(e)]) / sum;
      for (const int32_t e : decided.experts_of(t))
        dscores[static_cast<size_t>(e)] = (dscores[static_cast<size_t>(e)] - mean) / sum;
    }
    add_score_gradient(config.score_function, logits, dscores, std::span(dlogits.row(t), n_experts));
  }
}

}  // namespace cadre
