#pragma once
/// Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1).
///
///   q_h      = [q_nope_h | q_pe_h]           of  W_q x, or W_qb rms(W_qa x)
///   [c | k]  = W_kva x;   c = rms(c);   k_pe = rope(k);   q_pe_h = rope(q_pe_h)
///   k_h(t)   = [W_uk_h c_t | k_pe_t],   v_h(t) = W_uv_h c_t
///   o_h      = sum_t softmax_t(scale q_h . k_h(t)) v_h(t);   out = W_o [o_1 ... o_H]
///
/// The cache keeps c (after the norm) and k_pe (after the rotation) only.

#include <vector>

#include "cadre/model/batch.h"
#include "cadre/model/config.h"
#include "cadre/model/weights.h"
#include "cadre/ops/ops.h"

namespace cadre {

struct Mla {
  MlaConfig c;
  float rms_norm_eps = 1e-6f;
  bool rope_interleaved = true;

  Weight q_proj;              ///< [H * qk, d] without q_lora
  Weight q_a_proj, q_b_proj;  ///< [q_lora, d], [H * qk, q_lora]
  VectorWeight q_a_norm;
  Weight kv_a_proj;  ///< [kv_lora + rope, d]
  VectorWeight kv_a_norm;
  Weight kv_b_proj;           ///< [H * (nope + v), kv_lora]: per head W_uk then W_uv
  Weight k_b_proj, v_b_proj;  ///< instead, if split: [H * kv_lora, nope] (W_uk transposed), [H * v, kv_lora]
  Weight o_proj;              ///< [d, H * v]

  std::vector<CacheStream> cache_streams() const {
    return {{.name = "latent", .width = c.latent_dim(), .plain = c.qk_rope_head_dim}};
  }

  /// x: [T, d], normed -> [T, d]. Without a cache the batch is whole sequences, as in training.
  Tensor forward(Context& ctx, const Tensor& x, const Batch& batch, LayerCache cache) const;

  /// Expanded keys and values of as many heads as fit are alive at once; a bound on memory, not on speed.
  static constexpr int64_t kExplicitScratchFloats = int64_t{16} << 20;

  /// Floats that the explicit form takes for `keys` keys, beside its output: the latents of all of them, and
  /// the keys and values of as many heads as are alive at once.
  static int64_t explicit_floats(const MlaConfig& c, int64_t keys);

 private:
  /// -> [T, H, nope + rope], the rotary part rotated
  Tensor queries(Context& ctx, const Tensor& x, const Batch& batch) const;
  /// Writes the rows' [c | k_pe] to the cache.
  void extend_cache(Context& ctx, const Tensor& x, const Batch& batch, const KvStream& latent) const;
  /// Attention among the rows of the batch, keys and values expanded per head. -> [T, H * v]
  Tensor attend_whole(Context& ctx, const Tensor& q, const Tensor& x, const Batch& batch) const;
  /// Attention in latent space: q_h W_uk_h against c. -> [T, H * v]
  Tensor attend_absorbed(Context& ctx, const Tensor& q, const KvStream& latent,
                         std::span<const SequenceRows> sequences) const;
  /// Attention of one sequence's rows with keys and values expanded per head, into `out` [rows, H, v].
  void attend_explicit(Context& ctx, const Tensor& q, const KvStream& latent, const SequenceRows& sequence,
                       const Tensor& out) const;
  bool explicit_is_cheaper(const SequenceRows& sequence, DType cache_type) const;
  /// y[t, h] = W_uv_h x[t, h]
  void expand_values(Context& ctx, const Tensor& x, int64_t first_head, const Tensor& y) const;
};

}  // namespace cadre
