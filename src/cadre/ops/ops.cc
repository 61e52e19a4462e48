#include "cadre/ops/ops.h"

#include <algorithm>

#include "cadre/base/check.h"

namespace cadre::ops {
namespace {

Tensor matmul_as(Context& ctx, const Tensor& x, const Weight& w, Compute compute) {
  CADRE_CHECK(x.heads == 1 && x.width == w.cols, "x [{}, {}] w [{}, {}]", x.rows, x.width, w.rows, w.cols);
  if (ctx.observer != nullptr) ctx.observer->matmul(x, w);
  const Tensor y = ctx.allocate(x.rows, w.rows);
  ctx.backend.matmul({.x = x, .w = w, .y = y, .compute = compute});
  return y;
}

}  // namespace

Tensor matmul(Context& ctx, const Tensor& x, const Weight& w) { return matmul_as(ctx, x, w, ctx.compute); }

Tensor matmul_f32(Context& ctx, const Tensor& x, const Weight& w) {
  return matmul_as(ctx, x, w, Compute::kF32);
}

void head_matmul(Context& ctx, const Tensor& x, const Weight& w, int64_t first_row, int64_t head_rows,
                 bool transposed, const Tensor& y) {
  CADRE_CHECK(x.rows == y.rows && x.heads == y.heads);
  CADRE_CHECK((transposed ? y.width : x.width) == w.cols, "{} of {} columns", transposed ? y.width : x.width,
              w.cols);
  CADRE_CHECK(first_row + (x.heads - 1) * head_rows + (transposed ? x.width : y.width) <= w.rows);
  if (ctx.observer != nullptr) ctx.observer->head_matmul(x, w, transposed);
  ctx.backend.head_matmul({.x = x,
                           .w = w,
                           .first_row = first_row,
                           .head_rows = head_rows,
                           .transposed = transposed,
                           .y = y,
                           .compute = ctx.compute});
}

Tensor embed(Context& ctx, std::span<const int32_t> ids, const Weight& table) {
  CADRE_DCHECK(std::all_of(ids.begin(), ids.end(), [&](int32_t id) { return id >= 0 && id < table.rows; }));
  const Tensor y = ctx.allocate(static_cast<int64_t>(ids.size()), table.cols);
  ctx.backend.embed({.ids = ids, .table = table, .y = y});
  return y;
}

Tensor rms_norm(Context& ctx, const Tensor& x, std::span<const float> gain, float eps) {
  CADRE_CHECK(static_cast<int64_t>(gain.size()) == x.width, "gain {} width {}", gain.size(), x.width);
  const Tensor y = ctx.allocate(x.rows, x.heads, x.width);
  ctx.backend.rms_norm({.x = x, .gain = gain.data(), .y = y, .eps = eps});
  return y;
}

void rms_norm_in_place(Context& ctx, const Tensor& x, std::span<const float> gain, float eps) {
  CADRE_CHECK(static_cast<int64_t>(gain.size()) == x.width, "gain {} width {}", gain.size(), x.width);
  ctx.backend.rms_norm({.x = x, .gain = gain.data(), .y = x, .eps = eps});
}

void rope_in_place(Context& ctx, const Tensor& x, std::span<const float> cosine, std::span<const float> sine,
                   bool interleaved) {
  CADRE_CHECK(x.width % 2 == 0 && static_cast<int64_t>(cosine.size()) == x.rows * x.width / 2);
  CADRE_CHECK(cosine.size() == sine.size());
  ctx.backend.rope({.x = x, .cosine = cosine.data(), .sine = sine.data(), .interleaved = interleaved});
}

Tensor swiglu(Context& ctx, const Tensor& gate, const Tensor& up) {
  CADRE_CHECK(gate.rows == up.rows && gate.width == up.width);
  ctx.backend.swiglu({.gate = gate, .up = up, .y = gate});
  return gate;
}

void add_in_place(Context& ctx, const Tensor& y, const Tensor& x) {
  CADRE_CHECK(x.rows == y.rows && x.width == y.width);
  ctx.backend.add({.x = x, .y = y});
}

void copy(Context& ctx, const Tensor& from, const Tensor& to) {
  CADRE_CHECK(from.rows == to.rows && from.heads == to.heads && from.width == to.width);
  ctx.backend.copy({.x = from, .y = to});
}

void kv_write(Context& ctx, const Tensor& x, const KvStream& stream,
              std::span<const SequenceRows> sequences) {
  CADRE_CHECK(x.width == stream.width, "{} values for entries of {}", x.width, stream.width);
  ctx.backend.kv_write({.x = x, .stream = stream, .sequences = sequences});
}

Tensor kv_read(Context& ctx, const KvStream& stream, const int32_t* pages, int64_t count) {
  const Tensor y = ctx.allocate(count, stream.width);
  ctx.backend.kv_read({.stream = stream, .pages = pages, .y = y});
  return y;
}

Tensor attend(Context& ctx, Attend args, int64_t value_width) {
  CADRE_CHECK(args.q.heads % args.kv_heads == 0, "{} heads over {}", args.q.heads, args.kv_heads);
  CADRE_CHECK((args.kv_heads - 1) * args.key_stride + args.q.width <= args.keys.width);
  CADRE_CHECK((args.kv_heads - 1) * args.value_stride + value_width <= args.values.width);
  CADRE_CHECK(args.keys.page_tokens == args.values.page_tokens);
  CADRE_CHECK(args.keys.dtype == args.values.dtype);
  if (args.keys.dtype == DType::kI8) {
    CADRE_CHECK(args.keys.parts == args.kv_heads && args.values.parts == args.kv_heads);
    CADRE_CHECK(args.q.width * args.kv_heads == args.keys.width, "{} of {}", args.q.width, args.keys.width);
    CADRE_CHECK(value_width <= KvQuantisedPart(args.values).coded, "{} values", value_width);
    CADRE_CHECK(args.keys.page_tokens % 16 == 0, "pages of {}", args.keys.page_tokens);
  }
  args.out = ctx.allocate(args.q.rows, args.q.heads, value_width);
  ctx.backend.attend(args);
  return args.out;
}

Tensor expert_ffn(Context& ctx, const Tensor& x, std::span<ExpertGroup> groups, std::span<const int32_t> rows,
                  std::span<const float> weights) {
  CADRE_CHECK(rows.size() == weights.size());
  const Tensor y = ctx.allocate(x.rows, x.width);
  const ArenaScope scratch(ctx.arena);
  for (ExpertGroup& group : groups) {
    const ExpertWeights& expert = group.expert;
    const int64_t f = expert.gate.rows;
    CADRE_CHECK(expert.gate.cols == x.width && expert.up.cols == x.width && expert.up.rows == f &&
                expert.down.cols == f && expert.down.rows == x.width);
    group.hidden = ctx.allocate(group.count, f);
  }
  ctx.backend.expert_ffn({.x = x,
                          .groups = groups,
                          .rows = rows,
                          .weights = weights,
                          .outputs = ctx.allocate(static_cast<int64_t>(rows.size()), x.width),
                          .y = y,
                          .compute = ctx.compute});
  if (ctx.observer != nullptr) ctx.observer->expert_ffn(x, groups, rows);
  return y;
}

}  // namespace cadre::ops
