#include "cadre/runtime/expert_usage.h"

namespace cadre {

ExpertUsage::ExpertUsage(const ModelConfig& config) {
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer)
    tokens_.emplace_back(config.is_moe_layer(layer) ? static_cast<size_t>(config.moe->n_routed_experts) : 0);
}

void ExpertUsage::note_rows(std::span<const int32_t> rows) {
  rows_.assign(rows.begin(), rows.end());
  if (choices_.size() < rows.size()) choices_.resize(rows.size());
  for (std::vector<ExpertChoice>& choices : choices_) choices.clear();
}

void ExpertUsage::hear(const RoutingPlan& plan) {
  for (size_t i = 0; i < rows_.size(); ++i) {
    const std::span<const int32_t> experts = plan.experts_of(rows_[i]);
    const std::span<const float> weights = plan.weights_of(rows_[i]);
    for (size_t j = 0; j < experts.size(); ++j)
      choices_[i].push_back({.layer = plan.layer, .expert = experts[j], .weight = weights[j]});
  }
  const std::scoped_lock lock(mutex_);
  std::vector<int64_t>& tokens = tokens_[static_cast<size_t>(plan.layer)];
  for (const int32_t expert : plan.experts) ++tokens[static_cast<size_t>(expert)];
}

std::vector<std::vector<int64_t>> ExpertUsage::tokens() const {
  const std::scoped_lock lock(mutex_);
  return tokens_;
}

}  // namespace cadre
