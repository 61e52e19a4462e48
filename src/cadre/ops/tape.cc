#include "cadre/ops/tape.h"

#include <algorithm>

#include "cadre/base/check.h"
#include "cadre/ops/context.h"

namespace cadre {

Result<Tape> Tape::create(Arena& arena, GradientBackend& device) {
  CADRE_CHECK(arena.used() == 0, "{} bytes", arena.used());
  const auto* base = arena.allocate<std::byte>(0);
  CADRE_TRY(Arena shadow_arena, Arena::reserve(arena.capacity()));
  auto* shadow = shadow_arena.allocate<std::byte>(0);
  return Tape(device, base, std::move(shadow_arena), shadow);
}

float* Tape::gradient(const float* activation) const {
  const auto offset = reinterpret_cast<const std::byte*>(activation) - arena_;
  CADRE_DCHECK(offset >= 0 && offset < shadow_arena_.capacity());
  return reinterpret_cast<float*>(shadow_ + offset);
}

Tensor Tape::gradient(const Tensor& x) const {
  Tensor gradient = x;
  gradient.data = this->gradient(x.data);
  return gradient;
}

void Tape::clear_gradient(const Tensor& x) const {
  const Tensor dx = gradient(x);
  for (int64_t t = 0; t < dx.rows; ++t)
    for (int64_t h = 0; h < dx.heads; ++h) std::fill_n(dx.at(t, h), dx.width, 0.0f);
}

void Tape::record(const Tensor& result, Backward backward) {
  clear_gradient(result);
  record(std::move(backward));
}

void Tape::run_backward(Context& ctx, size_t mark) {
  CADRE_CHECK(ctx.tape == nullptr);
  while (records_.size() > mark) {
    // What a record allocates is scratch of its own.
    const ArenaScope scratch(ctx.arena);
    const Backward backward = std::move(records_.back());
    records_.pop_back();
    backward(ctx);
  }
}

Tensor values_of(const Weight& w) {
  CADRE_CHECK(w.dtype == DType::kF32 && w.row_bytes == w.cols * static_cast<int64_t>(sizeof(float)),
              "gradients of {} weights", name(w.dtype));
  // A tensor's data can be written; that of a weight in a product is not.
  auto* data = const_cast<std::byte*>(w.data);
  return Tensor::dense(reinterpret_cast<float*>(data), w.rows, w.cols);
}

}  // namespace cadre
