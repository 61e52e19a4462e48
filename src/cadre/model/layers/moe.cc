#include "cadre/model/layers/moe.h"

#include <algorithm>

namespace cadre {
namespace {

void trace_plan(TraceSink& trace, const RoutingPlan& plan) {
  trace.record("router_logits", plan.layer, plan.router_logits);
  std::vector<int32_t> counts;
  for (int64_t t = 0; t < plan.tokens(); ++t) counts.push_back(plan.first[t + 1] - plan.first[t]);
  trace.record_routing(plan.layer, counts, plan.experts, plan.weights);
}

}  // namespace

Tensor Moe::forward(Context& ctx, const Tensor& x, const MoeRun& run) const {
  const Tensor router_logits = ops::matmul_f32(ctx, x, router);  // [T, E]
  RoutingPlan plan = select_experts(c, layer, router_logits, selection_bias, run.routing, run.row_top_k);
  const RoutingPlan decided = ctx.tape == nullptr ? RoutingPlan{} : plan;
  for (const RoutingPolicy& policy : run.policies) plan = policy(std::move(plan));
  if (ctx.trace != nullptr) trace_plan(*ctx.trace, plan);

  const Tensor y = run_experts(ctx, x, decided, plan, run);  // [T, d]
  run.routing.plan = std::move(plan);
  return y;
}

void Moe::record_routing(Context& ctx, const RoutingPlan& decided, const RoutingPlan& plan,
                         std::span<const float> weights, const MoeRun& run) const {
  Tape* tape = ctx.tape;
  tape->clear_gradient(
      Tensor::dense(const_cast<float*>(weights.data()), 1, static_cast<int64_t>(weights.size())));
  tape->record([this, tape, decided, plan, weights, auxiliary = run.auxiliary](Context&) {
    const std::span<const float> dweights(tape->gradient(weights.data()), weights.size());
    const Tensor dlogits = tape->gradient(decided.router_logits);
    add_routing_gradient(c, decided, plan, dweights, dlogits);
    if (auxiliary != nullptr) (*auxiliary)(decided, dlogits);
  });
}

Tensor Moe::run_experts(Context& ctx, const Tensor& x, const RoutingPlan& decided, const RoutingPlan& plan,
                        const MoeRun& run) const {
  ExpertAssignments& assigned = group_by_expert(plan, c.n_routed_experts, run.routing);
  std::vector<ExpertGroup>& groups = run.groups;
  groups.resize(assigned.experts.size());
  for (size_t g = 0; g < groups.size(); ++g)
    groups[g] = {.expert = experts[assigned.experts[g]],
                 .first = assigned.first[g],
                 .count = assigned.first[g + 1] - assigned.first[g]};
  if (c.n_shared_experts > 0) {
    groups.push_back(
        {.expert = shared.expert(), .first = static_cast<int64_t>(assigned.rows.size()), .count = x.rows});
    for (int32_t t = 0; t < static_cast<int32_t>(x.rows); ++t) {
      assigned.rows.push_back(t);
      assigned.weights.push_back(1.0f);
    }
  }
  if (ctx.tape == nullptr) return ops::expert_ffn(ctx, x, groups, assigned.rows, assigned.weights);
  const size_t count = assigned.weights.size();
  const std::span<float> weights(ctx.arena.allocate<float>(static_cast<int64_t>(count)), count);
  std::copy(assigned.weights.begin(), assigned.weights.end(), weights.begin());
  record_routing(ctx, decided, plan, weights, run);
  return ops::expert_ffn(ctx, x, groups, assigned.rows, weights);
}

}  // namespace cadre
