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

RoutingPlan Moe::decide(const Tensor& logits, std::span<const int32_t> tokens, const MoeRun& run) const {
  const ExpertsPerToken top_k{
      .k = run.layer_top_k.empty() ? c.num_experts_per_tok : run.layer_top_k[static_cast<size_t>(layer)],
      .of_rows = run.row_top_k};
  if (const auto* hash = std::get_if<HashGate>(&gate))
    return take_experts(c, layer, logits, {.tokens = tokens, .table = hash->table, .width = hash->width},
                        top_k, run.routing);
  return select_experts(c, layer, logits, selection_bias, top_k, run.routing);
}

Tensor Moe::forward(Context& ctx, const Tensor& x, std::span<const int32_t> tokens, const MoeRun& run) const {
  const Tensor logits =
      router_logits(ctx, gate, x, {.tokens = tokens, .context = run.gate_context});  // [T, E]
  KeptRouting routing = route(ctx, logits, tokens, run);
  const Tensor y = run_experts(ctx, x, routing.decided, routing.plan, run);  // [T, d]
  run.routing.plan = std::move(routing.plan);
  return y;
}

KeptRouting Moe::route(Context& ctx, const Tensor& logits, std::span<const int32_t> tokens,
                       const MoeRun& run) const {
  if (run.kept != nullptr && run.kept->known) {
    KeptRouting again = *run.kept;
    again.decided.router_logits = again.plan.router_logits = logits;  // the same values, where they lie now
    return again;
  }
  KeptRouting routing{.plan = decide(logits, tokens, run)};
  if (ctx.tape != nullptr) routing.decided = routing.plan;
  for (const RoutingPolicy& policy : run.policies) routing.plan = policy(std::move(routing.plan));
  if (ctx.trace != nullptr) trace_plan(*ctx.trace, routing.plan);
  if (run.kept != nullptr) {
    *run.kept = routing;
    run.kept->known = true;
  }
  return routing;
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
  // Experts outside the plan, of weight 1.
  const auto add_group = [&](const SwigluFfn& ffn, auto&& wants) {
    ExpertGroup group{.expert = ffn.expert(), .first = static_cast<int64_t>(assigned.rows.size())};
    for (int64_t t = 0; t < x.rows; ++t)
      if (wants(t)) assigned.rows.push_back(static_cast<int32_t>(t));
    assigned.weights.resize(assigned.rows.size(), 1.0f);
    group.count = static_cast<int64_t>(assigned.rows.size()) - group.first;
    if (group.count > 0) groups.push_back(group);
  };
  if (c.n_shared_experts > 0) add_group(shared, [](int64_t) { return true; });
  if (c.fallback && c.fallback->hidden > 0)
    add_group(fallback, [&](int64_t t) { return plan.experts_of(t).empty(); });
  if (ctx.tape == nullptr) return ops::expert_ffn(ctx, x, groups, assigned.rows, assigned.weights);
  const size_t count = assigned.weights.size();
  const std::span<float> weights(ctx.arena.allocate<float>(static_cast<int64_t>(count)), count);
  std::copy(assigned.weights.begin(), assigned.weights.end(), weights.begin());
  record_routing(ctx, decided, plan, weights, run);
  return ops::expert_ffn(ctx, x, groups, assigned.rows, weights);
}

}  // namespace cadre
