#pragma once
/// The linear gate:   z = W x.   That of every published model of the families.

#include "cadre/model/layers/gate_input.h"
#include "cadre/ops/ops.h"

namespace cadre {

struct LinearGate {
  Weight weight;  ///< [E, d]

  /// x: [T, d] -> [T, E]
  Tensor logits(Context& ctx, const Tensor& x, const GateInput&) const {
    return ops::matmul_f32(ctx, x, weight);
  }
};

}  // namespace cadre
