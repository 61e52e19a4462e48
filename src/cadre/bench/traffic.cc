#include "cadre/bench/traffic.h"

#include <algorithm>

namespace cadre {
namespace {

int64_t bytes_of(const ExpertWeights& expert) {
  return expert.gate.bytes() + expert.up.bytes() + expert.down.bytes();
}

int64_t parameters_of(const Weight& weight) { return weight.rows * weight.cols; }

}  // namespace

Traffic& Traffic::operator+=(const Traffic& more) {
  weight_bytes += more.weight_bytes;
  kv_bytes += more.kv_bytes;
  flops += more.flops;
  int8_ops += more.int8_ops;
  tokens += more.tokens;
  expert_uses += more.expert_uses;
  moe_layers += more.moe_layers;
  return *this;
}

TrafficCounter::TrafficCounter(Engine& engine)
    : model_(engine.model().transformer()), int8_(engine.options().compute == Compute::kInt8) {
  kv_bytes_per_token_ = kv_bytes_per_token(model_, engine.options().kv_type);
  const auto& by_role = engine.model().size().by_role;
  for (const WeightRole role : {WeightRole::kNorm, WeightRole::kAttention, WeightRole::kRouter,
                                WeightRole::kDenseFfn, WeightRole::kSharedExpert}) {
    shared_bytes_ += by_role[static_cast<size_t>(role)].bytes;
  }
  Transformer views = model_;  // the visitor wants to bind
  engine.model().checkpoint().visit_weights(views, [&](const WeightSlot& slot) {
    if (slot.matrix == nullptr || slot.role == WeightRole::kRoutedExpert ||
        slot.role == WeightRole::kEmbedding || slot.role == WeightRole::kHead ||
        slot.role == WeightRole::kFallbackExpert)
      return;
    const int64_t parameters = parameters_of(*slot.matrix);
    shared_parameters_ += parameters;
    // The router's logits are computed in f32 whatever its type.
    if (int8_ && is_packed(slot.matrix->dtype) && slot.role != WeightRole::kRouter)
      shared_packed_ += parameters;
  });
  if (model_.config.moe) used_.resize(static_cast<size_t>(model_.config.moe->n_routed_experts));
  engine.add_policy([this](RoutingPlan plan) {
    count_experts(plan);
    return plan;
  });
}

void TrafficCounter::count_experts(const RoutingPlan& plan) {
  const auto& moe = std::get<Moe>(model_.blocks[static_cast<size_t>(plan.layer)].ffn);
  std::ranges::fill(used_, 0);
  for (const int32_t e : plan.experts) {
    const ExpertWeights& expert = moe.experts[static_cast<size_t>(e)];
    for (const Weight* weight : {&expert.gate, &expert.up, &expert.down}) add_product(*weight, 1);
    if (used_[static_cast<size_t>(e)] != 0) continue;
    used_[static_cast<size_t>(e)] = 1;
    ++total_.expert_uses;
    total_.weight_bytes += static_cast<double>(bytes_of(expert));
  }
  ++total_.moe_layers;
}

void TrafficCounter::add_step(int64_t tokens, int64_t logit_rows, int64_t context) {
  total_.tokens += tokens;
  total_.weight_bytes += static_cast<double>(shared_bytes_ + tokens * model_.embedding.row_bytes);
  total_.flops += 2.0 * static_cast<double>(tokens * (shared_parameters_ - shared_packed_));
  total_.int8_ops += 2.0 * static_cast<double>(tokens * shared_packed_);
  total_.kv_bytes += static_cast<double>(context * kv_bytes_per_token_);
  if (logit_rows == 0) return;
  total_.weight_bytes += static_cast<double>(model_.head.bytes());
  add_product(model_.head, logit_rows);
}

void TrafficCounter::add_product(const Weight& weight, int64_t tokens) {
  double& sum = int8_ && is_packed(weight.dtype) ? total_.int8_ops : total_.flops;
  sum += 2.0 * static_cast<double>(tokens * parameters_of(weight));
}

}  // namespace cadre
