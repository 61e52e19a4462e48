#pragma once
/// Grouped-query attention (Ainslie et al. 2023, as Llama uses it): heads in groups share a key and a value.
///
///   q_h = rope(W_q x)_h,   k_g = rope(W_k x)_g,   v_g = (W_v x)_g
///   o_h = sum_t softmax_t(scale q_h . k_g(t)) v_g(t),   g = h / (H / G);   out = W_o [o_1 ... o_H]

#include <vector>

#include "cadre/model/batch.h"
#include "cadre/model/config.h"
#include "cadre/model/weights.h"
#include "cadre/ops/ops.h"

namespace cadre {

struct Gqa {
  GqaConfig c;
  bool rope_interleaved = false;

  Weight q_proj;  ///< [H * head_dim, d]
  Weight k_proj;  ///< [G * head_dim, d]
  Weight v_proj;  ///< [G * head_dim, d]
  Weight o_proj;  ///< [d, H * head_dim]

  std::vector<CacheStream> cache_streams() const {
    const int64_t width = c.num_key_value_heads * c.head_dim;
    return {{.name = "keys", .width = width, .parts = c.num_key_value_heads},
            {.name = "values", .width = width, .parts = c.num_key_value_heads}};
  }

  /// x: [T, d], normed -> [T, d]
  Tensor forward(Context& ctx, const Tensor& x, const Batch& batch, LayerCache cache) const;
};

}  // namespace cadre
