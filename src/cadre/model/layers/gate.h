#pragma once
/// The gates that an MoE layer may have: what makes router logits [T, E] of its input. What is chosen by
/// them is routing_plan.h's.

#include <variant>

#include "cadre/model/config.h"
#include "cadre/model/layers/gate_hash.h"
#include "cadre/model/layers/gate_linear.h"
#include "cadre/model/layers/gate_mlp.h"
#include "cadre/model/layers/gate_transformer.h"

namespace cadre {

using Gate = std::variant<LinearGate, MlpGate, TransformerGate, HashGate>;

/// The gate of the model's `index`-th MoE layer, no weights bound yet.
Gate make_gate(const MoeConfig& config, int64_t index);

/// x: [T, d] -> [T, E]
Tensor router_logits(Context& ctx, const Gate& gate, const Tensor& x, const GateInput& input);

/// The matrix that reads the layer's input; null where none does.
const Weight* input_matrix(const Gate& gate);

/// Floats of a row that one layer's gate takes beside its logits.
int64_t gate_floats(const MoeConfig& config);
/// Floats of a row that the model's gate block takes, its result included; 0 without one.
int64_t gate_block_floats(const MoeConfig& config);

}  // namespace cadre
