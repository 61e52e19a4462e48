#include "cadre/kernels/cpu/gradients.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cadre/kernels/cpu/gemm.h"
#include "cadre/kernels/cpu/operations.h"

namespace cadre::cpu {

void gemm(CpuContext& ctx, const Gemm& args) {
  const GemmJob job = product(args.a_transposed ? across_rows(args.a) : along_rows(args.a),
                              args.b_transposed ? along_rows(args.b) : across_rows(args.b),
                              args.a_transposed ? args.a.rows : args.a.width, args.c, args.add, args.compute);
  run_gemms(ctx, std::span(&job, 1));
}

void add_heads(CpuContext& ctx, const AddHeads& args) {
  const Tensor& x = args.x;
  for_rows(ctx, x.rows, x.heads * x.width, [&](int64_t begin, int64_t end, Worker&) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t h = 0; h < x.heads; ++h) ctx.table.add_row(x.at(t, h), args.y.at(t, h), x.width);
  });
}

void rms_norm_grad(CpuContext& ctx, const RmsNormGrad& args) {
  // The gain's gradient sums over rows: within blocks of so many, and then over the blocks in order.
  constexpr int64_t kBlock = 128;
  const Tensor& x = args.x;
  const int64_t blocks = ceil_div(x.rows, kBlock);
  float* partial = ctx.gain_partial.floats(blocks * x.width);
  std::fill(partial, partial + blocks * x.width, 0.0f);
  ctx.run(blocks, x.rows * x.heads * x.width, [&](int64_t block, int) {
    const int64_t end = std::min(x.rows, (block + 1) * kBlock);
    for (int64_t t = block * kBlock; t < end; ++t)
      for (int64_t h = 0; h < x.heads; ++h)
        ctx.table.rms_norm_grad_row({.x = x.at(t, h),
                                     .gain = args.gain,
                                     .dy = args.dy.at(t, h),
                                     .dx = args.dx.at(t, h),
                                     .dgain = args.dgain == nullptr ? nullptr : partial + block * x.width,
                                     .width = x.width,
                                     .eps = args.eps});
  });
  if (args.dgain == nullptr) return;
  for (int64_t block = 0; block < blocks; ++block)
    ctx.table.add_row(partial + block * x.width, args.dgain, x.width);
}

void relu_grad(CpuContext& ctx, const ReluGrad& args) {
  for_rows(ctx, args.x.rows, args.x.width, [&](int64_t begin, int64_t end, Worker&) {
    for (int64_t t = begin; t < end; ++t) {
      const float* x = args.x.row(t);
      const float* dy = args.dy.row(t);
      float* dx = args.dx.row(t);
      for (int64_t i = 0; i < args.x.width; ++i)
        if (x[i] > 0) dx[i] += args.squared ? 2 * x[i] * dy[i] : dy[i];
    }
  });
}

namespace {

double cross_entropy_row(const CpuTable& table, float* logits, int64_t width, int32_t target, float scale) {
  if (target < 0) {
    std::fill(logits, logits + width, 0.0f);
    return 0;
  }
  const float logit = logits[target];
  float maximum = -std::numeric_limits<float>::infinity();
  float sum = 0;
  table.softmax_block({.scores = logits, .count = width, .scale = 1, .maximum = &maximum, .sum = &sum});
  table.multiply_row(scale / sum, logits, width);
  logits[target] -= scale;
  return std::log(double{sum}) + double{maximum} - double{logit};
}

}  // namespace

void cross_entropy(CpuContext& ctx, const CrossEntropy& args) {
  for_rows(ctx, args.logits.rows, 4 * args.logits.width, [&](int64_t begin, int64_t end, Worker&) {
    for (int64_t t = begin; t < end; ++t)
      args.losses[t] = cross_entropy_row(ctx.table, args.logits.row(t), args.logits.width,
                                         args.targets[static_cast<size_t>(t)], args.scale);
  });
}

void embed_grad(CpuContext& ctx, const EmbedGrad& args) {
  // A token may come twice, so threads share the columns out and not the rows.
  constexpr int64_t kColumns = 64;
  const auto rows = static_cast<int64_t>(args.ids.size());
  ctx.run(ceil_div(args.dy.width, kColumns), rows * args.dy.width, [&](int64_t task, int) {
    const int64_t begin = task * kColumns;
    const int64_t width = std::min(kColumns, args.dy.width - begin);
    for (int64_t t = 0; t < rows; ++t)
      ctx.table.add_row(args.dy.row(t) + begin, args.dtable.row(args.ids[static_cast<size_t>(t)]) + begin,
                        width);
  });
}

void adamw(CpuContext& ctx, const AdamW& args) {
  constexpr int64_t kPiece = 16 * 1024;
  ctx.run(ceil_div(args.count, kPiece), 4 * args.count, [&](int64_t piece, int) {
    const int64_t begin = piece * kPiece;
    ctx.table.adamw_range({.value = args.value + begin,
                           .gradient = args.gradient + begin,
                           .m = args.m + begin,
                           .v = args.v + begin,
                           .count = std::min(kPiece, args.count - begin),
                           .gradient_scale = args.gradient_scale,
                           .learning_rate = args.learning_rate,
                           .beta1 = args.beta1,
                           .beta2 = args.beta2,
                           .eps = args.eps,
                           .decay = args.decay,
                           .correction1 = args.correction1,
                           .correction2 = args.correction2});
  });
}

double square_sum(CpuContext& ctx, std::span<const float> x) {
  constexpr int64_t kPiece = 4 * 1024;
  const auto count = static_cast<int64_t>(x.size());
  const int64_t pieces = ceil_div(count, kPiece);
  float* partial = ctx.gain_partial.floats(pieces);
  ctx.run(pieces, count, [&](int64_t piece, int) {
    const int64_t begin = piece * kPiece;
    partial[piece] = ctx.table.square_sum(x.data() + begin, std::min(kPiece, count - begin));
  });
  double sum = 0;
  for (int64_t piece = 0; piece < pieces; ++piece) sum += double{partial[piece]};
  return sum;
}

}  // namespace cadre::cpu
