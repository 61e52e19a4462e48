#pragma once
/// The transformer gate: routing that looks back. One small causal block makes a context of the tokens so
/// far, once per token, and each MoE layer reads it with a head of its own.
///
///   u = P x0;   u += W_o MHA(rms(u));   u += W_d relu(W_u rms(u))^2;   r = rms(u)         (GateBlock)
///   z_l = V_l r + beta_l W_l x_l                                                         (TransformerGate)
///
/// x0 is the FFN input of the first block. Without the linear term every layer's experts are known then.
/// Attention has no positions: what matters is which tokens came, and causality orders them.

#include <vector>

#include "cadre/model/batch.h"
#include "cadre/model/config.h"
#include "cadre/model/layers/gate_input.h"
#include "cadre/model/weights.h"
#include "cadre/ops/ops.h"

namespace cadre {

/// A layer's head on the context.
struct TransformerGate {
  bool has_linear = true;
  Weight context;     ///< V: [E, g]
  Weight linear;      ///< W: [E, d]; empty without the linear term
  VectorWeight beta;  ///< [1], starts at 1; empty without the linear term

  /// x: [T, d] -> [T, E]
  Tensor logits(Context& ctx, const Tensor& x, const GateInput& input) const;
};

/// The model's block; it lives in the first layer, whose FFN input it reads. All products are f32, because
/// they decide which experts run.
struct GateBlock {
  TransformerGateConfig c;
  float rms_norm_eps = 1e-6f;

  Weight in_proj;  ///< P: [g, d]
  VectorWeight attention_norm;
  Weight q_proj, k_proj, v_proj;  ///< [H * head_dim, g]
  Weight o_proj;                  ///< [g, H * head_dim]
  VectorWeight ffn_norm;
  Weight up_proj;    ///< [hidden, g]
  Weight down_proj;  ///< [g, hidden]
  VectorWeight norm;

  static constexpr size_t kStreams = 2;
  std::vector<CacheStream> cache_streams() const {
    const int64_t width = c.heads * c.head_dim;
    return {{.name = "gate_keys", .width = width, .parts = c.heads},
            {.name = "gate_values", .width = width, .parts = c.heads}};
  }

  /// x: [T, d], normed; `cache` is its own streams, empty for whole sequences. -> r: [T, g]
  Tensor forward(Context& ctx, const Tensor& x, const Batch& batch, LayerCache cache) const;

 private:
  /// -> [T, g]
  Tensor attention(Context& ctx, const Tensor& x, const Batch& batch, LayerCache cache) const;
};

}  // namespace cadre
