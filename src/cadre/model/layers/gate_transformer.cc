#include "cadre/model/layers/gate_transformer.h"

#include <cmath>

namespace cadre {

Tensor TransformerGate::logits(Context& ctx, const Tensor& x, const GateInput& input) const {
  const Tensor z = ops::matmul_f32(ctx, input.context, context);  // [T, E]
  if (!has_linear) return z;
  // beta times every logit is their product, as one column, with the 1 x 1 matrix beta.
  const Tensor own = ops::matmul_f32(ctx, x, linear);  // [T, E]
  const Weight scale{.data = reinterpret_cast<const std::byte*>(beta.data()),
                     .dtype = DType::kF32,
                     .rows = 1,
                     .cols = 1,
                     .row_bytes = static_cast<int64_t>(sizeof(float))};
  const Tensor scaled = ops::matmul_f32(ctx, Tensor::dense(own.data, own.rows * own.width, 1), scale);
  ops::add_in_place(ctx, z, Tensor::dense(scaled.data, own.rows, own.width));
  return z;
}

Tensor GateBlock::forward(Context& ctx, const Tensor& x, const Batch& batch, LayerCache cache) const {
  const Tensor u = ops::matmul_f32(ctx, x, in_proj);  // [T, g]
  ops::add_in_place(ctx, u,
                    attention(ctx, ops::rms_norm(ctx, u, attention_norm, rms_norm_eps), batch, cache));
  const Tensor up = ops::matmul_f32(ctx, ops::rms_norm(ctx, u, ffn_norm, rms_norm_eps), up_proj);
  ops::add_in_place(ctx, u, ops::matmul_f32(ctx, ops::relu(ctx, up, /*squared=*/true), down_proj));
  return ops::rms_norm(ctx, u, norm, rms_norm_eps);
}

Tensor GateBlock::attention(Context& ctx, const Tensor& x, const Batch& batch, LayerCache cache) const {
  const Tensor q = ops::matmul_f32(ctx, x, q_proj).split_heads(c.heads);  // [T, H, head_dim]
  const Tensor k = ops::matmul_f32(ctx, x, k_proj);                       // [T, H * head_dim]
  const Tensor v = ops::matmul_f32(ctx, x, v_proj);                       // [T, H * head_dim]
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(c.head_dim)));
  if (cache.empty()) {
    const Tensor o =
        ops::causal_attention(ctx, q, k.split_heads(c.heads), v.split_heads(c.heads), scale, batch.sequences);
    return ops::matmul_f32(ctx, o.merge_heads(), o_proj);
  }
  const KvStream& keys = cache[0];
  const KvStream& values = cache[1];
  ops::kv_write(ctx, k, keys, batch.sequences);
  ops::kv_write(ctx, v, values, batch.sequences);
  const Tensor o = ops::attend(ctx,
                               {.q = q,
                                .keys = keys,
                                .values = values,
                                .kv_heads = c.heads,
                                .key_stride = c.head_dim,
                                .value_stride = c.head_dim,
                                .scale = scale,
                                .sequences = batch.sequences},
                               c.head_dim);  // [T, H, head_dim]
  return ops::matmul_f32(ctx, o.merge_heads(), o_proj);
}

}  // namespace cadre
