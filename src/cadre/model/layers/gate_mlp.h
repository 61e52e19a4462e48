#pragma once
/// A gate of two layers:   z = W_b relu(W_a x).

#include "cadre/model/layers/gate_input.h"
#include "cadre/ops/ops.h"

namespace cadre {

struct MlpGate {
  Weight in_proj;   ///< W_a: [hidden, d]
  Weight out_proj;  ///< W_b: [E, hidden]

  /// x: [T, d] -> [T, E]
  Tensor logits(Context& ctx, const Tensor& x, const GateInput&) const {
    const Tensor hidden = ops::relu(ctx, ops::matmul_f32(ctx, x, in_proj), /*squared=*/false);
    return ops::matmul_f32(ctx, hidden, out_proj);
  }
};

}  // namespace cadre
