#pragma once
/// Sparse mixture of experts with shared experts (DeepSeekMoE, arXiv:2401.06066; DeepSeek-V3, section 2.1.2).
///
///   y = E_shared(x) + sum_{i in S} g_i E_i(x),   S, g = select_experts(W_gate x)
///
/// The decision is a RoutingPlan, on which the run's policies act before any expert runs.

#include <span>
#include <vector>

#include "cadre/model/layers/ffn.h"
#include "cadre/model/routing_plan.h"

namespace cadre {

/// What the MoE layers of one forward pass share: who changes plans, and memory that is kept for the next.
struct MoeRun {
  std::span<const RoutingPolicy> policies;
  RoutingWorkspace& routing;
  std::vector<ExpertGroup>& groups;
};

struct Moe {
  MoeConfig c;
  int layer = 0;

  Weight router;                       ///< [E, d]
  VectorWeight selection_bias;         ///< [E] or empty
  std::vector<ExpertWeights> experts;  ///< [E]
  SwigluFfn shared;                    ///< one FFN of width n_shared * f; empty without shared experts

  /// x: [T, d], normed -> [T, d]
  Tensor forward(Context& ctx, const Tensor& x, const MoeRun& run) const;

 private:
  Tensor run_experts(Context& ctx, const Tensor& x, const RoutingPlan& plan, const MoeRun& run) const;
};

}  // namespace cadre
