#pragma once
/// The operations that layers are written in. Each checks its arguments, takes memory from the step's arena
/// for its result, and calls the back end; this is the only door to a `Backend`, which trusts its arguments.
/// Shapes: T rows (tokens), H heads, d width.

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

/// y += x
void add_in_place(Context& ctx, const Tensor& y, const Tensor& x);

void copy(Context& ctx, const Tensor& from, const Tensor& to);

/// Writes a row per token into a cache stream.   x: [T, stream.width]
void kv_write(Context& ctx, const Tensor& x, const KvStream& stream, std::span<const SequenceRows> sequences);

/// The first `count` entries of a sequence -> [count, stream.width]
Tensor kv_read(Context& ctx, const KvStream& stream, const int32_t* pages, int64_t count);

/// Causal attention; `args.out` is allocated here: [T, H, value_width].
Tensor attend(Context& ctx, Attend args, int64_t value_width);

/// The experts' sum, see ExpertFfn; gives each group its hidden rows.   x: [T, d] -> [T, d]
Tensor expert_ffn(Context& ctx, const Tensor& x, std::span<ExpertGroup> groups, std::span<const int32_t> rows,
                  std::span<const float> weights);

}  // namespace cadre::ops
