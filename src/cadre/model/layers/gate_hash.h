#pragma once
/// The hash gate (Roller et al., arXiv:2106.04426; DeepSeek-V4's first layers): a table says which experts a
/// token of the vocabulary goes to, before anything is computed. A linear gate weighs them.

#include "cadre/base/random.h"
#include "cadre/base/result.h"
#include "cadre/model/layers/gate_input.h"
#include "cadre/model/weights.h"
#include "cadre/ops/ops.h"

namespace cadre {

struct HashGate {
  Weight weight;       ///< [E, d]
  VectorWeight table;  ///< [V, k] experts of each token, as whole numbers
  int64_t width = 0;   ///< k of the table; a run with fewer experts per token takes the first ones

  /// x: [T, d] -> [T, E]
  Tensor logits(Context& ctx, const Tensor& x, const GateInput&) const {
    return ops::matmul_f32(ctx, x, weight);
  }
  std::span<const float> experts_of(int32_t token) const {
    return std::span(table).subspan(static_cast<size_t>(token) * static_cast<size_t>(width),
                                    static_cast<size_t>(width));
  }
};

/// Token `token`'s row of a random table: distinct experts of [0, experts).
void fill_hash_row(const RandomStream& random, int64_t token, int64_t experts, std::span<float> row);

/// Errors: kInvalid when a row of `table` [V, width] is not of distinct experts of [0, experts), naming the
/// token and what it has.
Status check_hash_table(std::span<const float> table, int64_t width, int64_t experts);

}  // namespace cadre
