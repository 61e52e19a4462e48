#pragma once
/// Between ggml's rows of blocks and our packed blocks of 16 rows: the same scales and codes in another
/// order, so no value changes in either direction.

#include <cstddef>
#include <optional>
#include <span>

#include "cadre/tensor/packed.h"

namespace cadre {

/// The packed type that holds the values of a type of rows: Q4_0 -> q4, Q8_0 -> q8, MXFP4 -> mxfp4.
std::optional<DType> packed_twin(DType rows);

/// The type of rows that holds the values of a packed type: q4 -> Q4_0, mxfp4 -> MXFP4, all others -> Q8_0,
/// whose 8-bit integers take the codes' values with the same f16 scale.
DType row_twin(DType packed);

/// Packs up to 16 rows of type T into one block of packed_twin(T) = `packed`; rows that are missing are zero.
/// Each row has `cols` columns, a multiple of 32; `block` takes packed_block_bytes(packed, cols).
void pack_rows(DType packed, std::span<const std::byte* const> rows, int64_t cols, std::byte* block);

/// Row `row` of the packed matrix at `matrix` as a row of row_twin(packed); `out` takes its row_bytes.
void unpack_row(DType packed, const std::byte* matrix, int64_t cols, int64_t row, std::byte* out);

}  // namespace cadre
