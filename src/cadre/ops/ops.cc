#include "cadre/ops/ops.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "cadre/base/check.h"

namespace cadre::ops {
namespace {

/// dx += dy W;  dW += dy^T x
void matmul_backward(const Tape& tape, const Tensor& x, const Weight& w, const Tensor& dy, Compute compute) {
  tape.device().gemm({.a = dy, .b = values_of(w), .c = tape.gradient(x), .compute = compute});
  if (const Tensor dw = tape.gradient(w); dw.data != nullptr)
    tape.device().gemm({.a = dy, .b = x, .c = dw, .a_transposed = true, .compute = compute});
}

Tensor matmul_as(Context& ctx, const Tensor& x, const Weight& w, Compute compute) {
  CADRE_CHECK(x.heads == 1 && x.width == w.cols, "x [{}, {}] w [{}, {}]", x.rows, x.width, w.rows, w.cols);
  if (ctx.observer != nullptr) ctx.observer->matmul(x, w);
  const Tensor y = ctx.allocate(x.rows, w.rows);
  if (Tape* tape = ctx.tape; tape != nullptr) {
    tape->device().gemm(
        {.a = x, .b = values_of(w), .c = y, .b_transposed = true, .add = false, .compute = compute});
    tape->record(y, [=](Context&) { matmul_backward(*tape, x, w, tape->gradient(y), compute); });
    return y;
  }
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
  CADRE_CHECK(ctx.tape == nullptr, "no gradient");
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
  if (Tape* tape = ctx.tape; tape != nullptr)
    tape->record(y, [=](Context&) {
      if (const Tensor dtable = tape->gradient(table); dtable.data != nullptr)
        tape->device().embed_grad({.ids = ids, .dy = tape->gradient(y), .dtable = dtable});
    });
  return y;
}

Tensor rms_norm(Context& ctx, const Tensor& x, std::span<const float> gain, float eps) {
  CADRE_CHECK(static_cast<int64_t>(gain.size()) == x.width, "gain {} width {}", gain.size(), x.width);
  const Tensor y = ctx.allocate(x.rows, x.heads, x.width);
  ctx.backend.rms_norm({.x = x, .gain = gain.data(), .y = y, .eps = eps});
  if (Tape* tape = ctx.tape; tape != nullptr) {
    // The residual stream is added to in place after it was normalised.
    const Tensor kept = ctx.allocate(x.rows, x.heads, x.width);
    ctx.backend.copy({.x = x, .y = kept});
    tape->record(y, [=](Context&) {
      tape->device().rms_norm_grad({.x = kept,
                                    .gain = gain.data(),
                                    .dy = tape->gradient(y),
                                    .dx = tape->gradient(x),
                                    .dgain = tape->gradient(gain),
                                    .eps = eps});
    });
  }
  return y;
}

void rms_norm_in_place(Context& ctx, const Tensor& x, std::span<const float> gain, float eps) {
  CADRE_CHECK(static_cast<int64_t>(gain.size()) == x.width, "gain {} width {}", gain.size(), x.width);
  CADRE_CHECK(ctx.tape == nullptr, "no gradient");
  ctx.backend.rms_norm({.x = x, .gain = gain.data(), .y = x, .eps = eps});
}

void rope_in_place(Context& ctx, const Tensor& x, std::span<const float> cosine, std::span<const float> sine,
                   bool interleaved) {
  CADRE_CHECK(x.width % 2 == 0 && static_cast<int64_t>(cosine.size()) == x.rows * x.width / 2);
  CADRE_CHECK(cosine.size() == sine.size());
  ctx.backend.rope({.x = x, .cosine = cosine.data(), .sine = sine.data(), .interleaved = interleaved});
  if (Tape* tape = ctx.tape; tape != nullptr)
    tape->record([=](Context& back) {
      // The transposed rotation turns the other way.
      const std::span<float> opposite(back.arena.allocate<float>(static_cast<int64_t>(sine.size())),
                                      sine.size());
      std::transform(sine.begin(), sine.end(), opposite.begin(), [](float s) { return -s; });
      back.backend.rope({.x = tape->gradient(x),
                         .cosine = cosine.data(),
                         .sine = opposite.data(),
                         .interleaved = interleaved});
    });
}

Tensor swiglu(Context& ctx, const Tensor& gate, const Tensor& up) {
  CADRE_CHECK(gate.rows == up.rows && gate.width == up.width);
  CADRE_CHECK(ctx.tape == nullptr, "no gradient");
  ctx.backend.swiglu({.gate = gate, .up = up, .y = gate});
  return gate;
}

Tensor relu(Context& ctx, const Tensor& x, bool squared) {
  CADRE_CHECK(x.heads == 1, "{} heads", x.heads);
  const Tensor y = ctx.allocate(x.rows, x.width);
  ctx.backend.relu({.x = x, .y = y, .squared = squared});
  if (Tape* tape = ctx.tape; tape != nullptr)
    tape->record(y, [=](Context&) {
      tape->device().relu_grad(
          {.x = x, .dy = tape->gradient(y), .dx = tape->gradient(x), .squared = squared});
    });
  return y;
}

void add_in_place(Context& ctx, const Tensor& y, const Tensor& x) {
  CADRE_CHECK(x.rows == y.rows && x.width == y.width);
  ctx.backend.add({.x = x, .y = y});
  if (Tape* tape = ctx.tape; tape != nullptr)
    tape->record(
        [=](Context&) { tape->device().add_heads({.x = tape->gradient(y), .y = tape->gradient(x)}); });
}

void copy(Context& ctx, const Tensor& from, const Tensor& to) {
  CADRE_CHECK(from.rows == to.rows && from.heads == to.heads && from.width == to.width);
  ctx.backend.copy({.x = from, .y = to});
  if (Tape* tape = ctx.tape; tape != nullptr)
    tape->record(to, [=](Context&) {
      tape->device().add_heads({.x = tape->gradient(to), .y = tape->gradient(from)});
    });
}

void kv_write(Context& ctx, const Tensor& x, const KvStream& stream,
              std::span<const SequenceRows> sequences) {
  CADRE_CHECK(x.width == stream.width, "{} values for entries of {}", x.width, stream.width);
  CADRE_CHECK(ctx.tape == nullptr, "no gradient");
  ctx.backend.kv_write({.x = x, .stream = stream, .sequences = sequences});
}

Tensor kv_read(Context& ctx, const KvStream& stream, const int32_t* pages, int64_t count) {
  CADRE_CHECK(ctx.tape == nullptr, "no gradient");
  const Tensor y = ctx.allocate(count, stream.width);
  ctx.backend.kv_read({.stream = stream, .pages = pages, .y = y});
  return y;
}

Tensor causal_attention(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, float scale,
                        std::span<const SequenceRows> sequences) {
  CADRE_CHECK(q.width == k.width && k.heads == v.heads && q.heads % k.heads == 0, "{} heads over {}", q.heads,
              k.heads);
  CADRE_CHECK(q.rows == k.rows && k.rows == v.rows);
  GradientBackend* device = ctx.backend.gradients();
  CADRE_CHECK(device != nullptr, "{} has no gradients", ctx.backend.description());
  const Tensor out = ctx.allocate(q.rows, q.heads, v.width);
  const CausalAttention args{.q = q, .k = k, .v = v, .scale = scale, .sequences = sequences, .out = out};
  device->causal_attention(args);
  if (Tape* tape = ctx.tape; tape != nullptr)
    tape->record(out, [=](Context&) {
      tape->device().causal_attention_grad({.forward = args,
                                            .dout = tape->gradient(out),
                                            .dq = tape->gradient(q),
                                            .dk = tape->gradient(k),
                                            .dv = tape->gradient(v)});
    });
  return out;
}

Tensor attend(Context& ctx, Attend args, int64_t value_width) {
  CADRE_CHECK(ctx.tape == nullptr, "no gradient");
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

void cross_entropy(Context& ctx, const Tensor& x, const Weight& w, std::span<const int32_t> targets,
                   float scale, std::span<double> losses) {
  CADRE_CHECK(x.width == w.cols && targets.size() == losses.size());
  CADRE_CHECK(static_cast<int64_t>(targets.size()) == x.rows, "{} targets of {}", targets.size(), x.rows);
  CADRE_DCHECK(
      std::all_of(targets.begin(), targets.end(), [&](int32_t id) { return id >= -1 && id < w.rows; }));
  GradientBackend* device = ctx.backend.gradients();
  CADRE_CHECK(device != nullptr, "{} has no gradients", ctx.backend.description());
  for (int64_t first = 0; first < x.rows; first += kLossRows) {
    const ArenaScope scratch(ctx.arena);
    const int64_t count = std::min(kLossRows, x.rows - first);
    const Tensor rows = x.slice_rows(first, count);
    const Tensor logits = ctx.allocate(count, w.rows);
    if (ctx.tape != nullptr)
      device->gemm({.a = rows,
                    .b = values_of(w),
                    .c = logits,
                    .b_transposed = true,
                    .add = false,
                    .compute = ctx.compute});
    else
      ctx.backend.matmul({.x = rows, .w = w, .y = logits, .compute = ctx.compute});
    device->cross_entropy({.logits = logits,
                           .targets = targets.subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
                           .scale = scale,
                           .losses = losses.data() + first});
    if (ctx.tape != nullptr) matmul_backward(*ctx.tape, rows, w, logits, ctx.compute);
  }
}

namespace {

/// The copies that the gradient of a pass's experts needs; the caller's are overwritten by the next layer.
struct ExpertPass {
  Tensor x;
  Tensor y;
  std::vector<ExpertGroup> groups;
  std::vector<ExpertActivations> activations;
  std::vector<int32_t> rows;
  std::span<const float> weights;
  Compute compute = Compute::kF32;
};

void expert_ffn_backward(Context& back, const Tape& tape, const ExpertPass& pass) {
  std::vector<ExpertWeightGrad> gradients;
  std::vector<Tensor> dhidden;
  for (const ExpertGroup& group : pass.groups) {
    const ExpertWeights& expert = group.expert;
    gradients.push_back({tape.gradient(expert.gate), tape.gradient(expert.up), tape.gradient(expert.down)});
    dhidden.push_back(back.allocate(group.count, expert.gate.rows));
  }
  tape.device().expert_ffn_grad(
      {.x = pass.x,
       .groups = pass.groups,
       .activations = pass.activations,
       .rows = pass.rows,
       .weights = pass.weights,
       .dy = tape.gradient(pass.y),
       .dx = tape.gradient(pass.x),
       .dweights = tape.gradient(pass.weights.data()),
       .gradients = gradients,
       .dhidden = dhidden,
       .outputs = back.allocate(static_cast<int64_t>(pass.rows.size()), pass.x.width),
       .compute = pass.compute});
}

/// The forward pass with a tape: all that the gradient needs is kept.
void expert_ffn_recorded(Context& ctx, Tape* tape, const Tensor& x, std::span<const ExpertGroup> groups,
                         std::span<const int32_t> rows, std::span<const float> weights, const Tensor& y) {
  auto pass = std::make_shared<ExpertPass>();
  *pass = {.x = x,
           .y = y,
           .groups = {groups.begin(), groups.end()},
           .activations = {},
           .rows = {rows.begin(), rows.end()},
           .weights = weights,
           .compute = ctx.compute};
  for (const ExpertGroup& group : groups) {
    const int64_t f = values_of(group.expert.gate).rows;
    pass->activations.push_back({ctx.allocate(group.count, f), ctx.allocate(group.count, f)});
  }
  const ArenaScope scratch(ctx.arena);
  tape->device().expert_ffn_training({.x = x,
                                      .groups = groups,
                                      .activations = pass->activations,
                                      .rows = rows,
                                      .weights = weights,
                                      .outputs = ctx.allocate(static_cast<int64_t>(rows.size()), x.width),
                                      .y = y,
                                      .compute = ctx.compute});
  tape->record(y, [=](Context& back) { expert_ffn_backward(back, *tape, *pass); });
}

}  // namespace

Tensor expert_ffn(Context& ctx, const Tensor& x, std::span<ExpertGroup> groups, std::span<const int32_t> rows,
                  std::span<const float> weights) {
  CADRE_CHECK(rows.size() == weights.size());
  const Tensor y = ctx.allocate(x.rows, x.width);
  const StepScope scratch(ctx);
  for (ExpertGroup& group : groups) {
    const ExpertWeights& expert = group.expert;
    const int64_t f = expert.gate.rows;
    CADRE_CHECK(expert.gate.cols == x.width && expert.up.cols == x.width && expert.up.rows == f &&
                expert.down.cols == f && expert.down.rows == x.width);
    group.hidden = ctx.allocate(group.count, f);
  }
  if (ctx.tape != nullptr) {
    expert_ffn_recorded(ctx, ctx.tape, x, groups, rows, weights, y);
    return y;
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
