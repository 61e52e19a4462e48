#pragma once
/// Products with packed weights on one thread, and the rounding of their inputs to int8 (Compute::kInt8).

#include "cadre/kernels/cpu/context.h"

namespace cadre::cpu {

/// True where a product reads w packed and rounds its inputs.
inline bool takes_int8(const Weight& w, Compute compute) {
  return compute == Compute::kInt8 && is_packed(w.dtype);
}

/// Room for `rows` rows of `width` (a multiple of 32) in `scratch`, until its next use.
QuantisedRows quantised_rows(Scratch& scratch, int64_t rows, int64_t width);

/// Columns [begin, begin + width) of row r of `out` from x; both multiples of 32.
void quantise_row(const CpuTable& table, const float* x, int64_t begin, int64_t width,
                  const QuantisedRows& out, int64_t r);

/// All rows of x (one head) to `out`, on all threads.
void quantise(CpuContext& ctx, const Tensor& x, const QuantisedRows& out);

/// Rows `from` of `all`, of `width` columns, side by side in `to`.
void gather_rows(const QuantisedRows& all, std::span<const int32_t> from, int64_t width,
                 const QuantisedRows& to);

/// Rows [first, ...) of `x`, whose groups lie as they do.
inline QuantisedRows from_row(const QuantisedRows& x, int64_t first) {
  return {x.codes + first * kPackedGroup, x.scales + first, x.sums + first, x.rows};
}

/// y[r * y_stride + j] = x_r . w_j for the first `rows` rows of x; w begins at a block.
void packed_product(const CpuTable& table, const QuantisedRows& x, int64_t rows, const Weight& w, float* y,
                    int64_t y_stride);

/// Columns [begin, begin + count), multiples of 32, of row r of a packed matrix as f32.
void decode_packed(const CpuTable& table, const Weight& w, int64_t r, int64_t begin, int64_t count,
                   float* out);

}  // namespace cadre::cpu
