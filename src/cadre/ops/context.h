#pragma once
/// What a forward pass carries along: the device, the memory of the step, and who listens.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "cadre/kernels/backend.h"
#include "cadre/ops/tape.h"
#include "cadre/tensor/arena.h"

namespace cadre {

/// Hears about intermediate values, in the order they are made (`cadre logits --trace`). The tensors die
/// with the step.
class TraceSink {
 public:
  virtual ~TraceSink() = default;
  /// `layer` is -1 for what belongs to no layer.
  virtual void record(std::string_view name, int layer, const Tensor& value) = 0;
  /// The experts of each row: `counts[t]` entries of `experts` and `weights` belong to row t.
  virtual void record_routing(int layer, std::span<const int32_t> counts, std::span<const int32_t> experts,
                              std::span<const float> weights) = 0;
};

/// Hears the inputs of matrix products (calibration of quantised weights). The tensors die with the
/// operation.
class ActivationObserver {
 public:
  virtual ~ActivationObserver() = default;
  /// See ops::matmul.   x: [T, in]
  virtual void matmul(const Tensor& x, const Weight& w) = 0;
  /// See ops::head_matmul.   x: [T, H, in]
  virtual void head_matmul(const Tensor& x, const Weight& w, bool transposed) = 0;
  /// See ops::expert_ffn; the groups' hidden rows are computed.   x: [T, d]
  virtual void expert_ffn(const Tensor& x, std::span<const ExpertGroup> groups,
                          std::span<const int32_t> rows) = 0;
};

/// Not owned, not shared between threads.
struct Context {
  Backend& backend;
  Arena& arena;
  Compute compute = Compute::kF32;
  TraceSink* trace = nullptr;
  ActivationObserver* observer = nullptr;
  Tape* tape = nullptr;  ///< set: operations record their gradients

  Tensor allocate(int64_t rows, int64_t width) { return allocate(rows, 1, width); }
  Tensor allocate(int64_t rows, int64_t heads, int64_t width) {
    return Tensor::dense(arena.allocate<float>(rows * heads * width), rows, heads, width);
  }
};

/// Gives back what was allocated from the step's arena since it was made, unless a tape needs it again.
class StepScope {
 public:
  explicit StepScope(Context& ctx) {
    if (ctx.tape == nullptr) scope_.emplace(ctx.arena);
  }

 private:
  std::optional<ArenaScope> scope_;
};

}  // namespace cadre
