#include "cadre/model/layers/moe.h"

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
  RoutingPlan plan = select_experts(c, layer, router_logits, selection_bias, run.routing);
  for (const RoutingPolicy& policy : run.policies) plan = policy(std::move(plan));
  if (ctx.trace != nullptr) trace_plan(*ctx.trace, plan);

  const Tensor y = run_experts(ctx, x, plan, run);  // [T, d]
  run.routing.plan = std::move(plan);
  return y;
}

Tensor Moe::run_experts(Context& ctx, const Tensor& x, const RoutingPlan& plan, const MoeRun& run) const {
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
  return ops::expert_ffn(ctx, x, groups, assigned.rows, assigned.weights);
}

}  // namespace cadre
