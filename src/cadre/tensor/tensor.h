#pragma once
/// Views of tensors: activations (f32), stored tensors (a checkpoint's), and weights (what matrix products
/// read). Views are small, freely copied, and never own or free anything.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cadre/base/check.h"
#include "cadre/tensor/dtype.h"

namespace cadre {

/// Sizes, outermost first. Rank 0 to 4.
using Shape = std::vector<int64_t>;

/// "[256, 2048]"
std::string to_string(const Shape& shape);
int64_t element_count(const Shape& shape);

/// An f32 activation of two or three dimensions: rows of heads of channels. The last dimension is
/// contiguous; rows and heads have strides, so that a slice of the channels is a view too.
struct Tensor {
  float* data = nullptr;
  int64_t rows = 0;
  int64_t heads = 1;
  int64_t width = 0;        ///< channels of a head
  int64_t row_stride = 0;   ///< in elements
  int64_t head_stride = 0;  ///< in elements

  static Tensor dense(float* data, int64_t rows, int64_t width) {
    return {data, rows, 1, width, width, width};
  }
  static Tensor dense(float* data, int64_t rows, int64_t heads, int64_t width) {
    return {data, rows, heads, width, heads * width, width};
  }

  float* row(int64_t r) const { return data + r * row_stride; }
  float* at(int64_t r, int64_t h) const { return data + r * row_stride + h * head_stride; }

  /// Rows [begin, begin + count).
  Tensor slice_rows(int64_t begin, int64_t count) const {
    CADRE_DCHECK(begin >= 0 && begin + count <= rows);
    return {data + begin * row_stride, count, heads, width, row_stride, head_stride};
  }
  /// Channels [begin, begin + count) of every head.
  Tensor slice_width(int64_t begin, int64_t count) const {
    CADRE_DCHECK(begin >= 0 && begin + count <= width);
    return {data + begin, rows, heads, count, row_stride, head_stride};
  }
  /// [rows, width] seen as [rows, heads, width / heads].
  Tensor split_heads(int64_t count) const {
    CADRE_DCHECK(heads == 1 && width % count == 0);
    return {data, rows, count, width / count, row_stride, width / count};
  }
  /// [rows, heads, width] seen as [rows, heads * width]; the heads must be adjacent.
  Tensor merge_heads() const {
    CADRE_DCHECK(heads == 1 || head_stride == width);
    return {data, rows, 1, heads * width, row_stride, heads * width};
  }
};

/// A tensor as a file holds it. The bytes belong to the file's mapping and need no alignment.
struct StoredTensor {
  DType dtype = DType::kF32;
  Shape shape;
  std::span<const std::byte> bytes;
};

/// A matrix [rows, cols] of weights, y = W x: row o makes output o. Plain, FP8 with block scales,
/// block-quantised, or packed. Points into a mapped file or a buffer that outlives it.
struct Weight {
  const std::byte* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_bytes = 0;  ///< packed: a sixteenth of a block of 16 rows
  /// FP8: the value of element (r, c) is multiplied by scales[(r + row_offset) / block_rows][c / block_cols].
  const float* scales = nullptr;
  int64_t scale_stride = 0;  ///< scales in a row of blocks
  int32_t block_rows = 0;
  int32_t block_cols = 0;
  int64_t row_offset = 0;  ///< of row 0; packed: within the block of 16 rows at `data`

  bool empty() const { return data == nullptr; }
  /// Where row r begins; packed: row_offset + r is a multiple of 16.
  const std::byte* row(int64_t r) const { return data + r * row_bytes; }
  int64_t bytes() const { return rows * row_bytes; }

  /// Rows [begin, begin + count) as a matrix of their own.
  Weight slice_rows(int64_t begin, int64_t count) const {
    CADRE_DCHECK(begin >= 0 && begin + count <= rows);
    Weight slice = *this;
    slice.rows = count;
    slice.row_offset = row_offset + begin;
    if (is_packed(dtype)) {
      slice.row_offset %= kPackedRows;
      slice.data = data + (row_offset + begin - slice.row_offset) * row_bytes;
    } else {
      slice.data = row(begin);
    }
    return slice;
  }
};

/// Decodes row `r` of `w` to `out` [cols], scales included: one rounding per scale product.
void decode_weight_row(const Weight& w, int64_t r, float* out);

}  // namespace cadre
