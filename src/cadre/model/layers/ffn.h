#pragma once
/// The SwiGLU feed-forward network (Shazeer 2020): down (silu(gate x) * (up x)). Dense FFNs and shared
/// experts. To a back end it is an expert that every token goes to.

#include "cadre/model/weights.h"
#include "cadre/ops/ops.h"

namespace cadre {

struct SwigluFfn {
  Weight gate_proj;  ///< [f, d]
  Weight up_proj;    ///< [f, d]
  Weight down_proj;  ///< [d, f]

  ExpertWeights expert() const { return {gate_proj, up_proj, down_proj}; }

  /// x: [T, d] -> [T, d]
  Tensor forward(Context& ctx, const Tensor& x) const;
};

}  // namespace cadre
