#pragma once
/// The SwiGLU feed-forward network (Shazeer 2020): down (silu(gate x) * (up x)). Dense FFNs and shared
/// experts.

#include "cadre/model/weights.h"
#include "cadre/ops/ops.h"

namespace cadre {

struct SwigluFfn {
  Weight gate_proj;  ///< [f, d]
  Weight up_proj;    ///< [f, d]
  Weight down_proj;  ///< [d, f]

  /// x: [T, d] -> [T, d]
  Tensor forward(Context& ctx, const Tensor& x) const {
    return ops::matmul(ctx, ops::swiglu(ctx, ops::matmul(ctx, x, gate_proj), ops::matmul(ctx, x, up_proj)),
                       down_proj);
  }
};

}  // namespace cadre
