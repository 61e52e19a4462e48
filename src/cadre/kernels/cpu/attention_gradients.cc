#include <algorithm>
#include <limits>

#include "cadre/kernels/cpu/gemm.h"
#include "cadre/kernels/cpu/gradients.h"

/// Causal attention of whole sequences as products of blocks. A task is a sequence and a KV head: it alone
/// adds to the gradients of that head's keys and values, in the order of its rows.

namespace cadre::cpu {
namespace {

/// Rows of queries at a time: whole tiles (14, 6 less 2, 4 rows), and few enough that the half of the last
/// keys' block that causality throws away is small.
constexpr int64_t kBlock = 56;

Tensor head_of(const Tensor& x, const SequenceRows& sequence, int64_t head) {
  return {x.at(sequence.first_row, head), sequence.rows, 1, x.width, x.row_stride, x.width};
}

/// Softmax of rows [first, first + rows) over keys [0, first + rows), zeros above the diagonal, in `memory`.
Tensor probabilities(const CpuTable& table, const Tensor& q, const Tensor& k, int64_t first, int64_t rows,
                     float scale, Scratch& memory, Worker& worker) {
  const int64_t keys = first + rows;
  const Tensor p = Tensor::dense(memory.floats(rows * keys), rows, keys);
  gemm_alone(table, product(along_rows(q.slice_rows(first, rows)), along_rows(k), q.width, p, false), worker);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t seen = first + i + 1;
    float maximum = -std::numeric_limits<float>::infinity();
    float sum = 0;
    table.softmax_block(
        {.scores = p.row(i), .count = seen, .scale = scale, .maximum = &maximum, .sum = &sum});
    table.divide_row(p.row(i), sum, p.row(i), seen);
    std::fill(p.row(i) + seen, p.row(i) + keys, 0.0f);
  }
  return p;
}

/// Calls body(sequence, KV head, worker) for each on the threads.
void for_heads(CpuContext& ctx, const CausalAttention& args,
               FunctionRef<void(const SequenceRows&, int64_t, Worker&)> body) {
  const int64_t kv_heads = args.k.heads;
  int64_t pairs = 0;
  for (const SequenceRows& sequence : args.sequences) pairs += sequence.rows * sequence.rows;
  ctx.run(static_cast<int64_t>(args.sequences.size()) * kv_heads, pairs * args.q.heads * args.q.width,
          [&](int64_t task, int worker) {
            body(args.sequences[static_cast<size_t>(task / kv_heads)], task % kv_heads, ctx.worker(worker));
          });
}

}  // namespace

void causal_attention(CpuContext& ctx, const CausalAttention& args) {
  const int64_t group = args.q.heads / args.k.heads;
  for_heads(ctx, args, [&](const SequenceRows& sequence, int64_t kv_head, Worker& worker) {
    const Tensor k = head_of(args.k, sequence, kv_head);
    const Tensor v = head_of(args.v, sequence, kv_head);
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      const Tensor q = head_of(args.q, sequence, head);
      const Tensor out = head_of(args.out, sequence, head);
      for (int64_t first = 0; first < sequence.rows; first += kBlock) {
        const int64_t rows = std::min(kBlock, sequence.rows - first);
        const Tensor p =
            probabilities(ctx.table, q, k, first, rows, args.scale, worker.probabilities, worker);
        gemm_alone(ctx.table,
                   product(along_rows(p), across_rows(v), p.width, out.slice_rows(first, rows), false),
                   worker);
      }
    }
  });
}

void causal_attention_grad(CpuContext& ctx, const CausalAttentionGrad& args) {
  const CausalAttention& forward = args.forward;
  const int64_t group = forward.q.heads / forward.k.heads;
  for_heads(ctx, forward, [&](const SequenceRows& sequence, int64_t kv_head, Worker& worker) {
    const Tensor k = head_of(forward.k, sequence, kv_head);
    const Tensor v = head_of(forward.v, sequence, kv_head);
    const Tensor dk = head_of(args.dk, sequence, kv_head);
    const Tensor dv = head_of(args.dv, sequence, kv_head);
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      const Tensor q = head_of(forward.q, sequence, head);
      const Tensor dq = head_of(args.dq, sequence, head);
      const Tensor dout = head_of(args.dout, sequence, head);
      for (int64_t first = 0; first < sequence.rows; first += kBlock) {
        const int64_t rows = std::min(kBlock, sequence.rows - first);
        const int64_t keys = first + rows;
        const Tensor p =
            probabilities(ctx.table, q, k, first, rows, forward.scale, worker.probabilities, worker);
        const Tensor ds = Tensor::dense(worker.dprobabilities.floats(rows * keys), rows, keys);
        const Tensor block_dout = dout.slice_rows(first, rows);
        const auto run = [&](const GemmSide& a, const GemmSide& b, int64_t inner, const Tensor& c, bool add) {
          gemm_alone(ctx.table, product(a, b, inner, c, add), worker);
        };
        run(along_rows(block_dout), along_rows(v), v.width, ds, false);  // dp
        run(across_rows(p), across_rows(block_dout), rows, dv.slice_rows(0, keys), true);
        for (int64_t i = 0; i < rows; ++i)
          ctx.table.softmax_grad_row({.p = p.row(i), .dp = ds.row(i), .count = keys, .scale = forward.scale});
        run(along_rows(ds), across_rows(k), keys, dq.slice_rows(first, rows), true);
        run(across_rows(ds), across_rows(q.slice_rows(first, rows)), rows, dk.slice_rows(0, keys), true);
      }
    }
  });
}

}  // namespace cadre::cpu
