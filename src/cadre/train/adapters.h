#pragma once
/// Low-rank adapters being learnt (runtime/lora.h has the formula): the layers read W' = W + s B A in place
/// of W, and the gradient of W' is taken on to A and B:   dA = s B^T dW',   dB = s dW' A^T.

#include <cstdint>
#include <span>
#include <vector>

#include "cadre/base/anonymous_memory.h"
#include "cadre/kernels/gradients.h"
#include "cadre/runtime/lora.h"
#include "cadre/train/parameter.h"

namespace cadre::train {

/// Thread-compatible. Owns A, B, their gradients, and W; W' lies in the memory of the tensors it was made
/// for.
class Adapters {
 public:
  /// For those of `tensors` that the targets name; their values are W. A begins normal with deviation
  /// 1 / sqrt(3 in), B at 0. Errors: kInvalid naming a target that matches nothing or a rank that is above
  /// the smaller side of a matrix; kTooLarge.
  static Result<Adapters> create(const LoraConfig& config, std::span<const Parameter> tensors, uint64_t seed);

  const LoraConfig& config() const { return config_; }
  /// A and B of each adapted matrix, under the names of PEFT.
  std::span<const Parameter> parameters() const { return parameters_; }
  /// The matrices themselves, whose gradients a pass makes.
  std::span<const Parameter> adapted() const { return adapted_; }

  /// Makes W' of what A and B are now.
  void apply(GradientBackend& device);
  /// Adds to the gradients of A and B, and sets that of W' to 0.
  void take_gradients(GradientBackend& device);

 private:
  explicit Adapters(LoraConfig config) : config_(std::move(config)) {}
  /// s times a matrix, in scratch memory.
  Tensor scaled(const Tensor& x);
  const Parameter& a(size_t i) const { return parameters_[2 * i]; }
  const Parameter& b(size_t i) const { return parameters_[2 * i + 1]; }

  LoraConfig config_;
  AnonymousMemory memory_;
  std::vector<Parameter> adapted_;
  std::vector<const float*> base_;  ///< W of each
  std::vector<Parameter> parameters_;
  std::vector<float> scratch_;
};

}  // namespace cadre::train
