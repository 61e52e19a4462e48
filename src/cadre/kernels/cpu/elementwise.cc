#include <algorithm>
#include <cstring>

#include "cadre/kernels/cpu/operations.h"
#include "cadre/kernels/cpu/products.h"

namespace cadre::cpu {

void for_rows(CpuContext& ctx, int64_t rows, int64_t floats_per_row,
              FunctionRef<void(int64_t, int64_t, Worker&)> body) {
  // 16 K floats take a thread a few microseconds, about what sharing them out would cost.
  constexpr int64_t kAlone = 16 * 1024;
  if (rows <= 0) return;
  const int64_t pieces = rows * floats_per_row < kAlone ? 1 : std::min<int64_t>(rows, 4 * ctx.pool.size());
  ctx.pool.run(pieces, [&](int64_t piece, int worker) {
    body(rows * piece / pieces, rows * (piece + 1) / pieces, ctx.worker(worker));
  });
}

void embed(CpuContext& ctx, const Embed& args) {
  for_rows(ctx, args.y.rows, args.y.width, [&](int64_t begin, int64_t end, Worker&) {
    for (int64_t t = begin; t < end; ++t)
      decode_weights(ctx.table, args.table, args.ids[static_cast<size_t>(t)], 0, args.y.width, Compute::kF32,
                     args.y.row(t));
  });
}

void rms_norm(CpuContext& ctx, const RmsNorm& args) {
  const Tensor& x = args.x;
  for_rows(ctx, x.rows, x.heads * x.width, [&](int64_t begin, int64_t end, Worker&) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t h = 0; h < x.heads; ++h)
        ctx.table.rms_norm_row(
            {.x = x.at(t, h), .gain = args.gain, .y = args.y.at(t, h), .width = x.width, .eps = args.eps});
  });
}

void rope(CpuContext& ctx, const Rope& args) {
  const Tensor& x = args.x;
  const int64_t pairs = x.width / 2;
  for_rows(ctx, x.rows, x.heads * x.width, [&](int64_t begin, int64_t end, Worker&) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t h = 0; h < x.heads; ++h)
        ctx.table.rope_row({.x = x.at(t, h),
                            .cosine = args.cosine + t * pairs,
                            .sine = args.sine + t * pairs,
                            .pairs = pairs,
                            .interleaved = args.interleaved});
  });
}

void swiglu(CpuContext& ctx, const Swiglu& args) {
  for_rows(ctx, args.gate.rows, args.gate.width, [&](int64_t begin, int64_t end, Worker&) {
    for (int64_t t = begin; t < end; ++t)
      ctx.table.swiglu_row({.gate = args.gate.row(t),
                            .up = args.up.row(t),
                            .y = args.y.row(t),
                            .width = args.gate.width,
                            .round_to_bf16 = false});
  });
}

void relu(CpuContext& ctx, const Relu& args) {
  for_rows(ctx, args.x.rows, args.x.width, [&](int64_t begin, int64_t end, Worker&) {
    for (int64_t t = begin; t < end; ++t) {
      const float* x = args.x.row(t);
      float* y = args.y.row(t);
      for (int64_t i = 0; i < args.x.width; ++i) y[i] = x[i] < 0 ? 0.0f : args.squared ? x[i] * x[i] : x[i];
    }
  });
}

void add(CpuContext& ctx, const Add& args) {
  for_rows(ctx, args.x.rows, args.x.width, [&](int64_t begin, int64_t end, Worker&) {
    for (int64_t t = begin; t < end; ++t) ctx.table.add_row(args.x.row(t), args.y.row(t), args.x.width);
  });
}

void copy(CpuContext& ctx, const Copy& args) {
  const Tensor& x = args.x;
  for_rows(ctx, x.rows, x.heads * x.width, [&](int64_t begin, int64_t end, Worker&) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t h = 0; h < x.heads; ++h)
        std::memcpy(args.y.at(t, h), x.at(t, h), static_cast<size_t>(x.width) * sizeof(float));
  });
}

}  // namespace cadre::cpu
