#include "cadre/model/families/gate_weights.h"

#include <fmt/format.h>

namespace cadre {
namespace {

void visit_matrix(const std::string& name, int64_t rows, int64_t cols, Weight& weight, WeightVisitor visit) {
  visit({.name = name + ".weight", .shape = {rows, cols}, .role = WeightRole::kRouter, .matrix = &weight});
}

void visit_gain(const std::string& name, int64_t width, VectorWeight& gain, WeightVisitor visit) {
  visit({.name = name, .shape = {width}, .role = WeightRole::kNorm, .vector = &gain});
}

}  // namespace

void visit_gate(Moe& moe, const ModelConfig& config, const std::string& prefix, WeightVisitor visit) {
  const int64_t d = config.hidden_size;
  const int64_t experts = moe.c.n_routed_experts;
  if (auto* linear = std::get_if<LinearGate>(&moe.gate)) {
    visit_matrix(prefix, experts, d, linear->weight, visit);
  } else if (auto* mlp = std::get_if<MlpGate>(&moe.gate)) {
    const int64_t hidden = std::get<MlpGateConfig>(moe.c.gate).hidden;
    visit_matrix(prefix + ".in_proj", hidden, d, mlp->in_proj, visit);
    visit_matrix(prefix + ".out_proj", experts, hidden, mlp->out_proj, visit);
  } else if (auto* transformer = std::get_if<TransformerGate>(&moe.gate)) {
    const auto& c = std::get<TransformerGateConfig>(moe.c.gate);
    visit_matrix(prefix + ".context", experts, c.width, transformer->context, visit);
    if (!c.linear) return;
    visit_matrix(prefix, experts, d, transformer->linear, visit);
    visit_gain(prefix + ".beta", 1, transformer->beta, visit);
  } else {
    auto& hash = std::get<HashGate>(moe.gate);
    visit_matrix(prefix, experts, d, hash.weight, visit);
    visit({.name = prefix + ".tid2eid",
           .shape = {config.vocab_size, hash.width},
           .role = WeightRole::kRoutingTable,
           .vector = &hash.table});
  }
}

void visit_gate_block(GateBlock& block, int64_t d, WeightVisitor visit) {
  const TransformerGateConfig& c = block.c;
  const int64_t heads = c.heads * c.head_dim;
  visit_matrix("model.gate.in_proj", c.width, d, block.in_proj, visit);
  visit_gain("model.gate.attention_norm.weight", c.width, block.attention_norm, visit);
  visit_matrix("model.gate.q_proj", heads, c.width, block.q_proj, visit);
  visit_matrix("model.gate.k_proj", heads, c.width, block.k_proj, visit);
  visit_matrix("model.gate.v_proj", heads, c.width, block.v_proj, visit);
  visit_matrix("model.gate.o_proj", c.width, heads, block.o_proj, visit);
  visit_gain("model.gate.ffn_norm.weight", c.width, block.ffn_norm, visit);
  visit_matrix("model.gate.up_proj", c.hidden, c.width, block.up_proj, visit);
  visit_matrix("model.gate.down_proj", c.width, c.hidden, block.down_proj, visit);
  visit_gain("model.gate.norm.weight", c.width, block.norm, visit);
}

}  // namespace cadre
