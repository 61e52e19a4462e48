#pragma once
/// Rounding weights to the packed types of tensor/packed.h: scales by search, codes by nearest value.
///
/// A group's scale is the one of least weighted squared error
///
///     E(s) = sum_i h_i (w_i - s v_i(s))^2,   v_i(s) the value nearest to w_i / s,
///
/// among those that the type can store. E has many local minima, so candidates over the useful range are
/// tried, and the best is then improved by turns: the scale that fits the values best, sum h w v / sum h v^2,
/// and the values nearest under it. Results depend on the group's numbers alone.

#include <cstdint>
#include <span>

#include "cadre/base/result.h"
#include "cadre/tensor/packed.h"

namespace cadre {

/// The largest magnitude that `type` can encode, from the largest scale that it can store.
float largest_encodable(DType type);

/// The scale of a group. `weights` are kPackedGroup finite values of at most largest_encodable(type);
/// `importance` is as many finite factors, not negative, or null: all 1. All zero counts as all 1.
/// The result is exactly what the type stores; 0 only for a group of zeros, or where no scale is better.
float best_group_scale(DType type, const float* weights, const float* importance);

/// Rounds single values under a scale that is given: for those who choose the values one after another.
class GroupRounder {
 public:
  GroupRounder(DType type, float scale);
  /// The code of the value nearest to weight / scale; with a scale of 0, one that stands for 0 or for the
  /// smallest value there is.
  uint8_t code(float weight) const;
  /// What a code decodes to.
  float decoded(uint8_t code) const { return scale_ * static_cast<float>(codes_->values[code]); }

 private:
  const PackedCodes* codes_;
  DType type_;
  float scale_;
  float inverse_;
};

/// A group's weighted squared error under a scale, codes by nearest value; `importance` as above.
double group_error(DType type, float scale, const float* weights, const float* importance);

/// Encodes one block: `rows` <= 16 rows of `cols` weights, a multiple of 32, row-major; missing rows become
/// zeros. `importance[r]` are the factors of row r's columns; an empty span: all 1. `block` has
/// packed_block_bytes(type, cols) bytes. Weights as check_encodable asks.
void encode_block(DType type, const float* weights, int64_t rows, int64_t cols,
                  std::span<const float* const> importance, std::byte* block);

/// The same block from codes [rows, cols] and scales [rows, cols / 32] that were chosen before.
void pack_block(DType type, const uint8_t* codes, const float* scales, int64_t rows, int64_t cols,
                std::byte* block);

/// Errors: kInvalid for a NaN, an infinity or a magnitude above largest_encodable(type) among `rows` rows of
/// `cols` weights, naming its row (the first has number `first_row`) and column. `type` may be plain: any
/// finite value then passes that the type can hold.
Status check_encodable(DType type, const float* weights, int64_t rows, int64_t cols, int64_t first_row);

}  // namespace cadre
