#pragma once
/// Sparse mixture of experts with shared experts (DeepSeekMoE, arXiv:2401.06066; DeepSeek-V3, section 2.1.2).
///
///   y = E_shared(x) + sum_{i in S} g_i E_i(x),   S, g = select_experts(gate(x))
///
/// The decision is a RoutingPlan, on which the run's policies act before any expert runs. A token that they
/// leave without experts is served by the fallback expert, where the model has one:  y = E_shared(x) +
/// E_fb(x).

#include <functional>
#include <span>
#include <vector>

#include "cadre/model/layers/ffn.h"
#include "cadre/model/layers/gate.h"
#include "cadre/model/routing_plan.h"

namespace cadre {

/// Adds the gradient of auxiliary losses to that of a layer's router logits [T, E], once per backward pass.
/// `decided` is the layer's plan before any policy.
using AuxiliaryGradient = std::function<void(const RoutingPlan& decided, const Tensor& dlogits)>;

/// A layer's routing of a pass, kept so that the layer can be computed again without deciding again.
struct KeptRouting {
  bool known = false;
  RoutingPlan decided;  ///< before the policies
  RoutingPlan plan;     ///< after them
};

/// What the MoE layers of one forward pass share: who changes plans, and memory that is kept for the next.
struct MoeRun {
  std::span<const RoutingPolicy> policies;  ///< with a tape they may take assignments away, nothing else
  RoutingWorkspace& routing;
  std::vector<ExpertGroup>& groups;
  const AuxiliaryGradient* auxiliary = nullptr;  ///< for passes with a tape; outlives the backward pass
  std::span<const int64_t> layer_top_k = {};     ///< [layers] experts a token; empty: the model's own number
  std::span<const int32_t> row_top_k = {};       ///< [T] experts of each token; empty: those of the layer
  KeptRouting* kept = nullptr;                   ///< of the layer under way, in passes that recompute
  bool recompute = false;                        ///< passes with a tape keep the inputs of blocks only
  Tensor gate_context =
      {};  ///< [T, g], made by the first block for all others where the model has a GateBlock
};

struct Moe {
  MoeConfig c;
  int layer = 0;

  Gate gate;
  VectorWeight selection_bias;         ///< [E] or empty
  std::vector<ExpertWeights> experts;  ///< [E]
  SwigluFfn shared;                    ///< one FFN of width n_shared * f; empty without shared experts
  SwigluFfn fallback;                  ///< of width c.fallback->hidden; empty without

  /// x: [T, d], normed; tokens: [T] -> [T, d]
  Tensor forward(Context& ctx, const Tensor& x, std::span<const int32_t> tokens, const MoeRun& run) const;

 private:
  /// The plans before and after the policies: decided now, or as they were kept.
  KeptRouting route(Context& ctx, const Tensor& logits, std::span<const int32_t> tokens,
                    const MoeRun& run) const;
  RoutingPlan decide(const Tensor& logits, std::span<const int32_t> tokens, const MoeRun& run) const;
  /// With a tape, `decided` is the plan before the policies, for the gradient; otherwise not used.
  Tensor run_experts(Context& ctx, const Tensor& x, const RoutingPlan& decided, const RoutingPlan& plan,
                     const MoeRun& run) const;
  /// Has the gradient of the assignments' weights go on to the router logits.
  void record_routing(Context& ctx, const RoutingPlan& decided, const RoutingPlan& plan,
                      std::span<const float> weights, const MoeRun& run) const;
};

}  // namespace cadre
