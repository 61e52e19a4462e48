#include "cadre/model/layers/gqa.h"

namespace cadre {

Tensor Gqa::forward(Context& ctx, const Tensor& x, const Batch& batch, LayerCache cache) const {
  const Tensor q = ops::matmul(ctx, x, q_proj).split_heads(c.num_attention_heads);  // [T, H, head_dim]
  const Tensor k = ops::matmul(ctx, x, k_proj);                                     // [T, G * head_dim]
  const Tensor v = ops::matmul(ctx, x, v_proj);                                     // [T, G * head_dim]
  ops::rope_in_place(ctx, q, batch.cosine, batch.sine, rope_interleaved);
  ops::rope_in_place(ctx, k.split_heads(c.num_key_value_heads), batch.cosine, batch.sine, rope_interleaved);
  if (cache.empty()) {
    const Tensor o =
        ops::causal_attention(ctx, q, k.split_heads(c.num_key_value_heads),
                              v.split_heads(c.num_key_value_heads), c.softmax_scale, batch.sequences);
    return ops::matmul(ctx, o.merge_heads(), o_proj);
  }
  const KvStream& keys = cache[0];
  const KvStream& values = cache[1];
  ops::kv_write(ctx, k, keys, batch.sequences);
  ops::kv_write(ctx, v, values, batch.sequences);
  const Tensor o = ops::attend(ctx,
                               {.q = q,
                                .keys = keys,
                                .values = values,
                                .kv_heads = c.num_key_value_heads,
                                .key_stride = c.head_dim,
                                .value_stride = c.head_dim,
                                .scale = c.softmax_scale,
                                .sequences = batch.sequences},
                               c.head_dim);  // [T, H, head_dim]
  return ops::matmul(ctx, o.merge_heads(), o_proj);
}

}  // namespace cadre
