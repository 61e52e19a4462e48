#pragma once
/// Packed weights: cadre's own quantised types, in the layout that the kernels read.
///
/// Elements of a row are quantised in groups of 32 consecutive columns. A group has one scale, and an element
/// is a code of 2 to 8 bits that stands for a small integer: w = scale * value(code).
///
/// Rows lie 16 at a time, interleaved, because a kernel makes 16 outputs at once. A matrix [rows, cols], cols
/// a multiple of 32, is ceil(rows / 16) blocks (the last filled up with zero rows), a block of 16 rows is
/// cols / 32 groups, and a group is
///
///     scales  [16]       f16; for mxfp4 E8M0
///     codes   [planes]
///
/// A kernel so reads one stream of bytes from the first to the last: processors fetch that ahead on their own
/// at the full speed of memory, where scales kept apart from codes take half as long again.
///
/// Four consecutive columns of 16 rows are a quad: 64 bytes [row][column], one element to a byte. A group has
/// eight quads. A plane holds some bits of all of a group's codes, several quads to 64 bytes:
///
///     8 bits: 512 bytes, quad u at bytes [64 u, +64)
///     4 bits: 256 bytes, quad u in bits [4 (u / 4), +4) of bytes [64 (u % 4), +64)
///     2 bits: 128 bytes, quad u in bits [2 (u % 4), +2) of bytes [64 (u / 4), +64)
///     1 bit:   64 bytes, quad u in bit u
///
/// q6 is a 4-bit plane with the low bits, then a 2-bit plane; q3 a 2-bit plane, then a 1-bit plane.

#include <cstdint>
#include <span>

#include "cadre/tensor/dtype.h"

namespace cadre {

/// What a packed type's codes stand for.
struct PackedCodes {
  int bits;
  std::span<const int8_t> values;  ///< by code: 2^bits of them
  int8_t largest;                  ///< the largest magnitude among the values
};

/// `type` must be packed.
const PackedCodes& packed_codes(DType type);

/// Bytes of the scales and of the codes of one group of a block of rows.
int64_t packed_scale_bytes(DType type);
int64_t packed_code_bytes(DType type);
inline int64_t packed_group_bytes(DType type) { return packed_scale_bytes(type) + packed_code_bytes(type); }

/// Bytes of a block of 16 rows of `cols` columns: of a file's rows as a stored tensor [blocks, this].
int64_t packed_block_bytes(DType type, int64_t cols);
inline int64_t packed_blocks(int64_t rows) { return (rows + kPackedRows - 1) / kPackedRows; }

/// The code of element (row, column) of a group, and its replacement. `codes` are the group's planes;
/// `row` < 16, `column` < 32.
uint8_t packed_code(DType type, const std::byte* codes, int64_t row, int64_t column);
void set_packed_code(DType type, std::byte* codes, int64_t row, int64_t column, uint8_t code);

/// Replaces all codes of a group: `source` [16][32], a code to a byte, row-major.
void pack_group(DType type, const uint8_t* source, std::byte* codes);

/// The scale of row `row` of a group as f32, and its replacement, which must be one that the type can store.
/// `scales` are the group's 16.
float packed_scale(DType type, const std::byte* scales, int64_t row);
void set_packed_scale(DType type, std::byte* scales, int64_t row, float scale);

/// Where in a block the scales and the codes of a group lie.
inline int64_t packed_scales_offset(DType type, int64_t group) { return group * packed_group_bytes(type); }
inline int64_t packed_codes_offset(DType type, int64_t group) {
  return packed_scales_offset(type, group) + packed_scale_bytes(type);
}

/// Decodes columns [begin, begin + count) of row `row` (of the matrix) to f32: scale * value, one rounding.
/// `matrix` is the first block; begin and count are multiples of 32.
void decode_packed_row(DType type, const std::byte* matrix, int64_t cols, int64_t row, int64_t begin,
                       int64_t count, float* out);

}  // namespace cadre
