#pragma once
/// The weights of gates, by name: those of layers under `<layer>.mlp.gate`, the gate block under
/// `model.gate`.

#include <string>

#include "cadre/model/transformer.h"

namespace cadre {

/// `prefix` is that of the layer's gate: "model.layers.3.mlp.gate".
void visit_gate(Moe& moe, const ModelConfig& config, const std::string& prefix, WeightVisitor visit);

/// The weights of the model's gate block, under "model.gate".
void visit_gate_block(GateBlock& block, int64_t d, WeightVisitor visit);

}  // namespace cadre
