#pragma once
/// The operations that layers are written in. Each checks its arguments, takes memory from the step's arena
/// for its result, and calls the back end; this is the only door to a `Backend`, which trusts its arguments.
/// Shapes: T rows (tokens), H heads, d width.
///
/// With a tape in the context, each also records its gradient; those over a paged cache (head_matmul,
/// kv_write, kv_read, attend), and swiglu, which inference alone uses, have none and refuse a tape. Weights
/// are then f32. The products of a gradient round their inputs as those of its operation do.

#include <span>

#include "cadre/ops/context.h"

namespace cadre::ops {

/// x W^T.   x: [T, in], w: [out, in] -> [T, out]
Tensor matmul(Context& ctx, const Tensor& x, const Weight& w);

/// As matmul, with f32 inputs whatever the context's compute type: router logits decide which experts run.
Tensor matmul_f32(Context& ctx, const Tensor& x, const Weight& w);

/// One matrix per head, written into `y` (a view): see HeadMatmul.   x: [T, H, in], y: [T, H, out]
/// Head h's matrix starts at row first_row + h * head_rows of w.
void head_matmul(Context& ctx, const Tensor& x, const Weight& w, int64_t first_row, int64_t head_rows,
                 bool transposed, const Tensor& y);

/// Rows of `table` [V, d] -> [T, d]. Ids must be in [0, V).
Tensor embed(Context& ctx, std::span<const int32_t> ids, const Weight& table);

/// x / rms(x) * gain -> [T, H, d]
Tensor rms_norm(Context& ctx, const Tensor& x, std::span<const float> gain, float eps);
void rms_norm_in_place(Context& ctx, const Tensor& x, std::span<const float> gain, float eps);

/// Rotates in place.   x: [T, H, d], cosine, sine: [T, d / 2]
void rope_in_place(Context& ctx, const Tensor& x, std::span<const float> cosine, std::span<const float> sine,
                   bool interleaved);

/// silu(gate) * up, in the memory of `gate`.
Tensor swiglu(Context& ctx, const Tensor& gate, const Tensor& up);

/// max(x, 0), or its square.   x: [T, d] -> [T, d]
Tensor relu(Context& ctx, const Tensor& x, bool squared);

/// y += x
void add_in_place(Context& ctx, const Tensor& y, const Tensor& x);

void copy(Context& ctx, const Tensor& from, const Tensor& to);

/// Writes a row per token into a cache stream.   x: [T, stream.width]
void kv_write(Context& ctx, const Tensor& x, const KvStream& stream, std::span<const SequenceRows> sequences);

/// The first `count` entries of a sequence -> [count, stream.width]
Tensor kv_read(Context& ctx, const KvStream& stream, const int32_t* pages, int64_t count);

/// Causal attention of whole sequences over keys and values that lie in memory: see CausalAttention. Needs a
/// back end that has gradients.   q: [T, H, dk], k: [T, G, dk], v: [T, G, dv] -> [T, H, dv]
Tensor causal_attention(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, float scale,
                        std::span<const SequenceRows> sequences);

/// Causal attention over a paged cache; `args.out` is allocated here: [T, H, value_width].
Tensor attend(Context& ctx, Attend args, int64_t value_width);

/// The experts' sum, see ExpertFfn; gives each group its hidden rows.   x: [T, d] -> [T, d]
/// With a tape, `weights` lie in the step's arena, and so their gradient is to be had after backward.
Tensor expert_ffn(Context& ctx, const Tensor& x, std::span<ExpertGroup> groups, std::span<const int32_t> rows,
                  std::span<const float> weights);

/// Cross-entropy of the logits x W^T with targets (-1: none), times `scale`, summed over rows; `losses` [T]
/// get each row's, unscaled. Rows are taken in chunks, so that no more than kLossRows rows of logits exist.
/// The end of a pass: with a tape, gradients go to x and w at once. `scale` stands for 1 / (targets of the
/// whole step).   x: [T, d], w: [V, d]
void cross_entropy(Context& ctx, const Tensor& x, const Weight& w, std::span<const int32_t> targets,
                   float scale, std::span<double> losses);
inline constexpr int64_t kLossRows = 512;

}  // namespace cadre::ops
