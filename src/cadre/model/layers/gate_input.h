#pragma once
/// What gates may read beside the input of their layer.

#include <cstdint>
#include <span>

#include "cadre/tensor/tensor.h"

namespace cadre {

struct GateInput {
  std::span<const int32_t> tokens;  ///< [T] ids
  Tensor context;                   ///< [T, g] of the model's GateBlock; empty without one
};

}  // namespace cadre
