#pragma once
/// What is learnt, one tensor at a time.

#include <cstdint>
#include <span>
#include <string>

#include "cadre/model/weights.h"

namespace cadre::train {

/// One tensor that is learnt, seen as a matrix [rows, cols] (vectors: one row).
struct Parameter {
  std::string name;
  Shape shape;
  WeightRole role = WeightRole::kNorm;
  Tensor value;
  Tensor gradient;

  int64_t count() const { return value.rows * value.width; }
  std::span<float> values() const { return {value.data, static_cast<size_t>(count())}; }
  std::span<float> gradients() const { return {gradient.data, static_cast<size_t>(count())}; }
};

}  // namespace cadre::train
