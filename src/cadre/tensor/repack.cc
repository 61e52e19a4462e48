#include "cadre/tensor/repack.h"

#include <cstring>

#include "cadre/base/check.h"
#include "cadre/tensor/blocks.h"

namespace cadre {
namespace {

constexpr int64_t kQuadBytes = 4;  // of one row
constexpr int64_t kQuadsOfRows = kPackedRows * kQuadBytes;

/// Spreads `bytes` of one row, taken as quads, over a plane: quad u of row r to bytes [64 u + 4 r, + 4).
/// `flip` is added without carry to every byte.
void scatter_quads(const std::byte* bytes, int64_t quads, uint32_t flip, std::byte* plane) {
  for (int64_t u = 0; u < quads; ++u) {
    uint32_t quad = 0;
    std::memcpy(&quad, bytes + u * kQuadBytes, sizeof(quad));
    quad ^= flip;
    std::memcpy(plane + u * kQuadsOfRows, &quad, sizeof(quad));
  }
}

void gather_quads(const std::byte* plane, int64_t quads, std::byte* bytes) {
  for (int64_t u = 0; u < quads; ++u)
    std::memcpy(bytes + u * kQuadBytes, plane + u * kQuadsOfRows, static_cast<size_t>(kQuadBytes));
}

/// q8's codes are the integers plus 128.
constexpr uint32_t kFlipSigns = 0x80808080;

/// The code that stands for 0, in every byte of a plane.
std::byte zero_codes(DType packed) {
  if (packed == DType::kPackedQ8) return std::byte{0x80};
  return packed == DType::kPackedQ4 ? std::byte{0x88} : std::byte{0};
}

/// One group of one row. A 4-bit plane pairs columns j and j + 16 in one byte, and so do ggml's blocks: whole
/// bytes move.
template <typename Block>
void pack_group(const std::byte* source, int64_t row, std::byte* scales, std::byte* codes) {
  constexpr size_t kScaleBytes = sizeof(Block) - sizeof(Block::q);
  constexpr bool kIs8 = sizeof(Block::q) == kPackedGroup;
  std::memcpy(scales + row * static_cast<int64_t>(kScaleBytes), source, kScaleBytes);
  scatter_quads(source + kScaleBytes, sizeof(Block::q) / kQuadBytes, kIs8 ? kFlipSigns : 0,
                codes + row * kQuadBytes);
}

template <typename Block>
void pack(DType packed, std::span<const std::byte* const> rows, int64_t cols, std::byte* block) {
  for (int64_t group = 0; group < cols / kPackedGroup; ++group) {
    std::byte* scales = block + packed_scales_offset(packed, group);
    std::byte* codes = block + packed_codes_offset(packed, group);
    if (rows.size() < static_cast<size_t>(kPackedRows)) {
      std::memset(scales, 0, static_cast<size_t>(packed_scale_bytes(packed)));
      std::memset(codes, std::to_integer<int>(zero_codes(packed)),
                  static_cast<size_t>(packed_code_bytes(packed)));
    }
    for (size_t row = 0; row < rows.size(); ++row)
      pack_group<Block>(rows[row] + group * static_cast<int64_t>(sizeof(Block)), static_cast<int64_t>(row),
                        scales, codes);
  }
}

/// A group of any packed type with an f16 scale, as integers.
void unpack_to_q8_0(DType packed, const std::byte* scales, const std::byte* codes, int64_t row,
                    std::byte* out) {
  BlockQ8_0 block;
  std::memcpy(&block.d, scales + row * static_cast<int64_t>(sizeof(block.d)), sizeof(block.d));
  const std::span<const int8_t> values = packed_codes(packed).values;
  for (int64_t c = 0; c < kPackedGroup; ++c) block.q[c] = values[packed_code(packed, codes, row, c)];
  std::memcpy(out, &block, sizeof(block));
}

template <typename Block>
void unpack_bytes(const std::byte* scales, const std::byte* codes, int64_t row, std::byte* out) {
  constexpr size_t kScaleBytes = sizeof(Block) - sizeof(Block::q);
  std::memcpy(out, scales + row * static_cast<int64_t>(kScaleBytes), kScaleBytes);
  gather_quads(codes + row * kQuadBytes, sizeof(Block::q) / kQuadBytes, out + kScaleBytes);
}

}  // namespace

std::optional<DType> packed_twin(DType rows) {
  switch (rows) {
    case DType::kQ4_0:
      return DType::kPackedQ4;
    case DType::kQ8_0:
      return DType::kPackedQ8;
    case DType::kMXFP4:
      return DType::kPackedMXFP4;
    default:
      return std::nullopt;
  }
}

DType row_twin(DType packed) {
  CADRE_CHECK(is_packed(packed), "{}", name(packed));
  if (packed == DType::kPackedQ4) return DType::kQ4_0;
  return packed == DType::kPackedMXFP4 ? DType::kMXFP4 : DType::kQ8_0;
}

void pack_rows(DType packed, std::span<const std::byte* const> rows, int64_t cols, std::byte* block) {
  CADRE_CHECK(rows.size() <= static_cast<size_t>(kPackedRows), "{} rows", rows.size());
  switch (packed) {
    case DType::kPackedQ4:
      return pack<BlockQ4_0>(packed, rows, cols, block);
    case DType::kPackedQ8:
      return pack<BlockQ8_0>(packed, rows, cols, block);
    case DType::kPackedMXFP4:
      return pack<BlockMXFP4>(packed, rows, cols, block);
    default:
      CADRE_CHECK(false, "{} has no type of rows", name(packed));
  }
}

void unpack_row(DType packed, const std::byte* matrix, int64_t cols, int64_t row, std::byte* out) {
  const std::byte* block = matrix + row / kPackedRows * packed_block_bytes(packed, cols);
  const int64_t within = row % kPackedRows;
  const int64_t group_bytes = row_bytes(row_twin(packed), kPackedGroup);
  for (int64_t group = 0; group < cols / kPackedGroup; ++group, out += group_bytes) {
    const std::byte* scales = block + packed_scales_offset(packed, group);
    const std::byte* codes = block + packed_codes_offset(packed, group);
    if (packed == DType::kPackedQ4) {
      unpack_bytes<BlockQ4_0>(scales, codes, within, out);
    } else if (packed == DType::kPackedMXFP4) {
      unpack_bytes<BlockMXFP4>(scales, codes, within, out);
    } else {
      unpack_to_q8_0(packed, scales, codes, within, out);
    }
  }
}

}  // namespace cadre
