#include "cadre/model/layers/mla.h"

#include <algorithm>
#include <numeric>

namespace cadre {
namespace {

int64_t heads_at_once(const MlaConfig& c, int64_t keys) {
  return std::clamp<int64_t>(Mla::kExplicitScratchFloats / (keys * (c.qk_head_dim() + c.v_head_dim)), 1,
                             c.num_attention_heads);
}

}  // namespace

Tensor Mla::forward(Context& ctx, const Tensor& x, const Batch& batch, LayerCache cache) const {
  const Tensor q = queries(ctx, x, batch);
  if (cache.empty()) return ops::matmul(ctx, attend_whole(ctx, q, x, batch), o_proj);
  const KvStream& latent = cache[0];
  extend_cache(ctx, x, batch, latent);
  if (batch.mla_form == MlaForm::kAbsorbed)
    return ops::matmul(ctx, attend_absorbed(ctx, q, latent, batch.sequences), o_proj);

  const Tensor o = ctx.allocate(q.rows, c.num_attention_heads, c.v_head_dim);
  for (const SequenceRows& sequence : batch.sequences) {
    const ArenaScope scratch(ctx.arena);
    const Tensor sequence_q = q.slice_rows(sequence.first_row, sequence.rows);
    const Tensor sequence_o = o.slice_rows(sequence.first_row, sequence.rows);
    SequenceRows alone = sequence;
    alone.first_row = 0;
    if (explicit_is_cheaper(sequence, latent.dtype)) {
      attend_explicit(ctx, sequence_q, latent, alone, sequence_o);
    } else {
      const Tensor absorbed = attend_absorbed(ctx, sequence_q, latent, std::span(&alone, 1));
      ops::copy(ctx, absorbed.split_heads(c.num_attention_heads), sequence_o);
    }
  }
  return ops::matmul(ctx, o.merge_heads(), o_proj);
}

int64_t Mla::explicit_floats(const MlaConfig& c, int64_t keys) {
  return keys * (c.latent_dim() + 1) + heads_at_once(c, keys) * keys * (c.qk_head_dim() + c.v_head_dim);
}

Tensor Mla::queries(Context& ctx, const Tensor& x, const Batch& batch) const {
  const Tensor flat =
      c.q_lora_rank == 0
          ? ops::matmul(ctx, x, q_proj)
          : ops::matmul(ctx, ops::rms_norm(ctx, ops::matmul(ctx, x, q_a_proj), q_a_norm, rms_norm_eps),
                        q_b_proj);
  const Tensor q = flat.split_heads(c.num_attention_heads);  // [T, H, nope + rope]
  const Tensor q_pe = q.slice_width(c.qk_nope_head_dim, c.qk_rope_head_dim);
  ops::rope_in_place(ctx, q_pe, batch.cosine, batch.sine, rope_interleaved);
  return q;
}

void Mla::extend_cache(Context& ctx, const Tensor& x, const Batch& batch, const KvStream& latent) const {
  const Tensor kv = ops::matmul(ctx, x, kv_a_proj);  // [T, kv_lora + rope]
  ops::rms_norm_in_place(ctx, kv.slice_width(0, c.kv_lora_rank), kv_a_norm, rms_norm_eps);
  ops::rope_in_place(ctx, kv.slice_width(c.kv_lora_rank, c.qk_rope_head_dim), batch.cosine, batch.sine,
                     rope_interleaved);
  ops::kv_write(ctx, kv, latent, batch.sequences);
}

Tensor Mla::attend_whole(Context& ctx, const Tensor& q, const Tensor& x, const Batch& batch) const {
  CADRE_CHECK(!c.split_kv_b, "whole sequences want kv_b_proj in one");
  const int64_t heads = c.num_attention_heads;
  const Tensor kv = ops::matmul(ctx, x, kv_a_proj);  // [T, kv_lora + rope]
  const Tensor latent = ops::rms_norm(ctx, kv.slice_width(0, c.kv_lora_rank), kv_a_norm, rms_norm_eps);
  const Tensor k_pe = kv.slice_width(c.kv_lora_rank, c.qk_rope_head_dim);
  ops::rope_in_place(ctx, k_pe, batch.cosine, batch.sine, rope_interleaved);

  const Tensor expanded = ops::matmul(ctx, latent, kv_b_proj).split_heads(heads);  // [T, H, nope + v]
  const Tensor k = ctx.allocate(x.rows, heads, c.qk_head_dim());
  ops::copy(ctx, expanded.slice_width(0, c.qk_nope_head_dim), k.slice_width(0, c.qk_nope_head_dim));
  // Every head has the same rotary key: a head stride of 0.
  const Tensor shared_pe{k_pe.data, k_pe.rows, heads, k_pe.width, k_pe.row_stride, 0};
  ops::copy(ctx, shared_pe, k.slice_width(c.qk_nope_head_dim, c.qk_rope_head_dim));
  const Tensor v = expanded.slice_width(c.qk_nope_head_dim, c.v_head_dim);
  return ops::causal_attention(ctx, q, k, v, c.softmax_scale, batch.sequences).merge_heads();
}

Tensor Mla::attend_absorbed(Context& ctx, const Tensor& q, const KvStream& latent,
                            std::span<const SequenceRows> sequences) const {
  const int64_t heads = c.num_attention_heads;
  const Tensor q_latent = ctx.allocate(q.rows, heads, c.latent_dim());  // [W_uk_h^T q_nope_h | q_pe_h]
  const Tensor q_nope = q.slice_width(0, c.qk_nope_head_dim);
  const Tensor q_absorbed = q_latent.slice_width(0, c.kv_lora_rank);
  if (c.split_kv_b) {
    ops::head_matmul(ctx, q_nope, k_b_proj, 0, c.kv_lora_rank, /*transposed=*/false, q_absorbed);
  } else {
    ops::head_matmul(ctx, q_nope, kv_b_proj, 0, c.qk_nope_head_dim + c.v_head_dim, /*transposed=*/true,
                     q_absorbed);
  }
  ops::copy(ctx, q.slice_width(c.qk_nope_head_dim, c.qk_rope_head_dim),
            q_latent.slice_width(c.kv_lora_rank, c.qk_rope_head_dim));

  const Tensor o_latent = ops::attend(
      ctx,
      {.q = q_latent, .keys = latent, .values = latent, .scale = c.softmax_scale, .sequences = sequences},
      c.kv_lora_rank);  // [T, H, kv_lora]
  const Tensor o = ctx.allocate(q.rows, heads, c.v_head_dim);
  expand_values(ctx, o_latent, 0, o);
  return o.merge_heads();
}

void Mla::expand_values(Context& ctx, const Tensor& x, int64_t first_head, const Tensor& y) const {
  if (c.split_kv_b) {
    ops::head_matmul(ctx, x, v_b_proj, first_head * c.v_head_dim, c.v_head_dim, /*transposed=*/false, y);
  } else {
    const int64_t head_rows = c.qk_nope_head_dim + c.v_head_dim;
    ops::head_matmul(ctx, x, kv_b_proj, first_head * head_rows + c.qk_nope_head_dim, head_rows,
                     /*transposed=*/false, y);
  }
}

bool Mla::explicit_is_cheaper(const SequenceRows& sequence, DType cache_type) const {
  // Multiply-adds per head. Absorbed: moving queries in and outputs out of the latent space, and scores and
  // values of latent width. Explicit: expanding every key and value once, then scores and values of head
  // width.
  // Products of an int8 cache's codes take a third of the time of f32 ones.
  const double latent_pair = cache_type == DType::kI8 ? 1.0 / 3 : 1.0;
  const auto rows = static_cast<double>(sequence.rows);
  const double keys = static_cast<double>(sequence.first_position) + rows;
  const double pairs = rows * (keys - rows / 2);
  const auto expand = static_cast<double>(c.kv_lora_rank * (c.qk_nope_head_dim + c.v_head_dim));
  const double absorbed =
      rows * expand + latent_pair * pairs * static_cast<double>(c.latent_dim() + c.kv_lora_rank);
  const double explicit_form = keys * expand + pairs * static_cast<double>(c.qk_head_dim() + c.v_head_dim);
  return explicit_form < absorbed;
}

void Mla::attend_explicit(Context& ctx, const Tensor& q, const KvStream& latent, const SequenceRows& sequence,
                          const Tensor& out) const {
  const int64_t keys = sequence.first_position + sequence.rows;
  const Tensor entries = ops::kv_read(ctx, latent, sequence.pages, keys);  // [S, kv_lora + rope]
  const Tensor latents = entries.slice_width(0, c.kv_lora_rank);
  const Tensor k_pe = entries.slice_width(c.kv_lora_rank, c.qk_rope_head_dim);

  // The expanded heads are handed to `attend` as a cache of their own, page i being the i-th block of rows.
  const int64_t pages = (keys + latent.page_tokens - 1) / latent.page_tokens;
  auto* page_table = ctx.arena.allocate<int32_t>(pages);
  std::iota(page_table, page_table + pages, 0);
  SequenceRows rows = sequence;
  rows.pages = page_table;

  const int64_t most = heads_at_once(c, keys);
  for (int64_t first = 0; first < c.num_attention_heads; first += most) {
    const ArenaScope scratch(ctx.arena);
    const int64_t heads = std::min(most, c.num_attention_heads - first);
    const Tensor k = ctx.allocate(keys, heads, c.qk_head_dim());
    const Tensor v = ctx.allocate(keys, heads, c.v_head_dim);
    // The same latent row is the input of every head: a head stride of 0.
    const Tensor shared{latents.data, keys, heads, latents.width, latents.row_stride, 0};
    const Tensor shared_pe{k_pe.data, keys, heads, k_pe.width, k_pe.row_stride, 0};
    const Tensor k_nope = k.slice_width(0, c.qk_nope_head_dim);
    if (c.split_kv_b) {
      ops::head_matmul(ctx, shared, k_b_proj, first * c.kv_lora_rank, c.kv_lora_rank, /*transposed=*/true,
                       k_nope);
    } else {
      const int64_t head_rows = c.qk_nope_head_dim + c.v_head_dim;
      ops::head_matmul(ctx, shared, kv_b_proj, first * head_rows, head_rows, /*transposed=*/false, k_nope);
    }
    expand_values(ctx, shared, first, v);
    ops::copy(ctx, shared_pe, k.slice_width(c.qk_nope_head_dim, c.qk_rope_head_dim));

    Tensor q_heads = q;
    q_heads.data = q.at(0, first);
    q_heads.heads = heads;
    const auto stream = [&](const Tensor& rows_of) {
      return KvStream{.data = reinterpret_cast<std::byte*>(rows_of.data),
                      .dtype = DType::kF32,
                      .width = rows_of.heads * rows_of.width,
                      .page_tokens = latent.page_tokens};
    };
    const Tensor o = ops::attend(ctx,
                                 {.q = q_heads,
                                  .keys = stream(k),
                                  .values = stream(v),
                                  .kv_heads = heads,
                                  .key_stride = c.qk_head_dim(),
                                  .value_stride = c.v_head_dim,
                                  .scale = c.softmax_scale,
                                  .sequences = std::span(&rows, 1)},
                                 c.v_head_dim);
    Tensor out_heads = out;
    out_heads.data = out.at(0, first);
    out_heads.heads = heads;
    ops::copy(ctx, o, out_heads);
  }
}

}  // namespace cadre
