#pragma once
/// Which experts each token gets, and with what weight, as plain data: what a router decides, what policies
/// change, and what the expert operation carries out.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "cadre/model/config.h"
#include "cadre/tensor/tensor.h"

namespace cadre {

/// The routing of T tokens at one MoE layer. Token t owns entries [first[t], first[t + 1]), in ascending
/// expert index; their number may differ from token to token.
struct RoutingPlan {
  int layer = 0;
  std::vector<int32_t> first;    ///< [T + 1]
  std::vector<int32_t> experts;  ///< [first[T]]
  std::vector<float> weights;    ///< [first[T]]
  Tensor router_logits;          ///< [T, E] what the decision was made from

  int64_t tokens() const { return static_cast<int64_t>(first.size()) - 1; }
  std::span<const int32_t> experts_of(int64_t t) const {
    return std::span(experts).subspan(static_cast<size_t>(first[t]),
                                      static_cast<size_t>(first[t + 1] - first[t]));
  }
  std::span<const float> weights_of(int64_t t) const {
    return std::span(weights).subspan(static_cast<size_t>(first[t]),
                                      static_cast<size_t>(first[t + 1] - first[t]));
  }
};

/// A policy changes a plan: fewer experts, a fallback, a mask. Called once per MoE layer and step.
using RoutingPolicy = std::function<RoutingPlan(RoutingPlan)>;

/// Scores of one token from its router logits.   logits, scores: [E]
void score_experts(ScoreFunction function, std::span<const float> logits, std::span<float> scores);

/// A plan turned around: the tokens of each expert that has any.
struct ExpertAssignments {
  std::vector<int32_t> experts;  ///< ascending, only those with tokens
  std::vector<int64_t> first;    ///< [experts + 1] into rows and weights
  std::vector<int32_t> rows;     ///< tokens of each expert, ascending
  std::vector<float> weights;
};

/// Memory of routing decisions, kept from layer to layer and step to step so that a decision allocates only
/// when it is larger than all before it.
struct RoutingWorkspace {
  RoutingPlan plan;  ///< taken by select_experts; whoever is done with a plan moves it back
  ExpertAssignments assignments;
  std::vector<float> scores;
  std::vector<float> choice;
  std::vector<float> group_values;
  std::vector<int32_t> best_groups;
  std::vector<int32_t> selected;
  std::vector<int64_t> next;
};

/// Experts a token: the same for all, or each row's own.
struct ExpertsPerToken {
  int64_t k = 0;
  std::span<const int32_t> of_rows = {};  ///< [T]; empty: k

  int64_t of(int64_t row) const { return of_rows.empty() ? k : of_rows[static_cast<size_t>(row)]; }
};

/// The decision of every published gate of the family (DeepSeek-V2 greedy and group-limited, V3 noaux_tc):
/// top-k of the scores, with a bias and within the best groups where the configuration says so; weights from
/// the unbiased scores. Ties go to the lower expert (and group) index.
/// router_logits: [T, E], bias: [E] or empty
RoutingPlan select_experts(const MoeConfig& config, int layer, const Tensor& router_logits,
                           std::span<const float> bias, const ExpertsPerToken& top_k,
                           RoutingWorkspace& workspace);

/// A choice that was made before: token t's experts are the first k of row tokens[t] of `table` [V, width].
struct ExpertTable {
  std::span<const int32_t> tokens;  ///< [T]
  std::span<const float> table;     ///< distinct experts, as whole numbers
  int64_t width = 0;
};

/// As select_experts, of a table's choice: no scores, no bias, no groups decide, and a token has no more
/// experts than its row.
RoutingPlan take_experts(const MoeConfig& config, int layer, const Tensor& router_logits,
                         const ExpertTable& table, const ExpertsPerToken& top_k, RoutingWorkspace& workspace);

/// The result is the workspace's.
ExpertAssignments& group_by_expert(const RoutingPlan& plan, int64_t n_experts, RoutingWorkspace& workspace);

/// Takes the gradient of the assignments' weights back to the router logits: dlogits += d loss / d logits.
/// `decided` is what select_experts returned, `plan` what policies left of it, `dweights` [>= assignments] in
/// the order of group_by_expert(plan). The selection, the bias and what was taken away have no gradient.
void add_routing_gradient(const MoeConfig& config, const RoutingPlan& decided, const RoutingPlan& plan,
                          std::span<const float> dweights, const Tensor& dlogits);

/// dlogits[E] += the gradient of a loss with respect to one token's router logits, given that with respect to
/// all its scores.
void add_score_gradient(ScoreFunction function, std::span<const float> logits,
                        std::span<const double> dscores, std::span<float> dlogits);

}  // namespace cadre
