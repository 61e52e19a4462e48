#include "cadre/model/layers/gate.h"

namespace cadre {

Gate make_gate(const MoeConfig& config, int64_t index) {
  if (std::holds_alternative<MlpGateConfig>(config.gate)) return MlpGate{};
  if (const auto* c = std::get_if<TransformerGateConfig>(&config.gate))
    return TransformerGate{.has_linear = c->linear};
  const auto* hash = std::get_if<HashGateConfig>(&config.gate);
  if (hash != nullptr && index < hash->layers) return HashGate{.width = hash->width};
  return LinearGate{};
}

Tensor router_logits(Context& ctx, const Gate& gate, const Tensor& x, const GateInput& input) {
  return std::visit([&](const auto& kind) { return kind.logits(ctx, x, input); }, gate);
}

const Weight* input_matrix(const Gate& gate) {
  if (const auto* linear = std::get_if<LinearGate>(&gate)) return &linear->weight;
  if (const auto* mlp = std::get_if<MlpGate>(&gate)) return &mlp->in_proj;
  if (const auto* hash = std::get_if<HashGate>(&gate)) return &hash->weight;
  const auto& transformer = std::get<TransformerGate>(gate);
  return transformer.has_linear ? &transformer.linear : nullptr;
}

int64_t gate_floats(const MoeConfig& config) {
  if (const auto* mlp = std::get_if<MlpGateConfig>(&config.gate)) return 2 * mlp->hidden;
  if (std::holds_alternative<TransformerGateConfig>(config.gate)) return 2 * config.n_routed_experts;
  return 0;
}

int64_t gate_block_floats(const MoeConfig& config) {
  const auto* c = std::get_if<TransformerGateConfig>(&config.gate);
  if (c == nullptr) return 0;
  // u, three norms and what each keeps for its gradient, two results that are added, and the context.
  return 10 * c->width + 4 * c->heads * c->head_dim + 2 * c->hidden;
}

}  // namespace cadre
