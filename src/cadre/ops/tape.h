#pragma once
/// What a forward pass remembers so that gradients can flow back: training is the same forward call with a
/// tape in its Context. Each operation that has a gradient records how its result's gradient goes to its
/// inputs; `backward` runs the records from last to first.
///
/// Gradients of activations lie in a shadow of the step's arena: that of the value at byte n of the arena is
/// at byte n of the shadow, so views have gradients without further ado, and an operation in place has its
/// gradient in place. Nothing that an operation needs again may be overwritten before the tape has run, so
/// the arena is not rewound in between (see StepScope). Gradients of weights are found by the weight's
/// address. Thread-compatible.

#include <functional>
#include <unordered_map>
#include <vector>

#include "cadre/kernels/gradients.h"
#include "cadre/tensor/arena.h"

namespace cadre {

struct Context;

class Tape {
 public:
  using Backward = std::function<void(Context&)>;

  /// `arena` is the one that the passes allocate from; nothing has been allocated from it yet. `device`
  /// outlives the tape. Errors: kTooLarge when the shadow cannot be reserved.
  static Result<Tape> create(Arena& arena, GradientBackend& device);

  GradientBackend& device() const { return *device_; }

  /// The gradient of a weight's values [rows, cols] (vectors: one row), added to by every pass. A weight that
  /// was not bound is frozen.
  void bind(const void* weight, const Tensor& gradient) { weights_[weight] = gradient; }
  /// Null data where the weight is frozen.
  Tensor gradient(const Weight& w) const { return weight_gradient(w.data); }
  float* gradient(std::span<const float> vector) const { return weight_gradient(vector.data()).data; }

  /// The gradient of an activation, a view like it.
  Tensor gradient(const Tensor& x) const;
  float* gradient(const float* activation) const;

  /// `result` was made by an operation: its gradient starts at 0, and `backward` hands it on.
  void record(const Tensor& result, Backward backward);
  /// The same for an operation in place, whose gradient is changed in place.
  void record(Backward backward) { records_.push_back(std::move(backward)); }
  void clear_gradient(const Tensor& x) const;

  /// Records so far: a place to go back to.
  size_t mark() const { return records_.size(); }
  /// Forgets the records since `mark`, and with them the need for what they would have read.
  void forget_since(size_t mark) { records_.resize(mark); }

  /// Runs the records since `mark`, last first, and forgets them. `ctx` has the arena of the forward pass and
  /// no tape. A record may itself make records and run them: see Transformer::recomputed.
  void run_backward(Context& ctx, size_t mark = 0);

 private:
  Tape(GradientBackend& device, const std::byte* arena, Arena shadow_arena, std::byte* shadow)
      : device_(&device), arena_(arena), shadow_arena_(std::move(shadow_arena)), shadow_(shadow) {}
  Tensor weight_gradient(const void* weight) const {
    const auto found = weights_.find(weight);
    return found == weights_.end() ? Tensor{} : found->second;
  }

  GradientBackend* device_;
  const std::byte* arena_;
  Arena shadow_arena_;
  std::byte* shadow_;
  std::unordered_map<const void*, Tensor> weights_;
  std::vector<Backward> records_;
};

/// A weight of f32 values as a tensor [rows, cols].
Tensor values_of(const Weight& w);

}  // namespace cadre
