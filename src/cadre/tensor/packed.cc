#include "cadre/tensor/packed.h"

#include <array>
#include <cmath>
#include <cstring>

#include "cadre/base/check.h"
#include "cadre/tensor/convert.h"

namespace cadre {
namespace {

/// Codes that stand for consecutive integers from `first` on.
template <size_t kCount>
constexpr std::array<int8_t, kCount> consecutive(int first) {
  std::array<int8_t, kCount> values{};
  for (size_t i = 0; i < kCount; ++i) values[i] = static_cast<int8_t>(first + static_cast<int>(i));
  return values;
}

/// q8 leaves -128 to code 0, which no encoder writes: magnitudes stay equal on both sides.
constexpr auto kValuesQ8 = consecutive<256>(-128);
constexpr auto kValuesQ6 = consecutive<64>(-32);
constexpr auto kValuesQ4 = consecutive<16>(-8);
/// E2M1 doubled; the two zeros are one.
constexpr std::array<int8_t, 16> kValuesMxfp4 = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
/// The quantiser of least squared error for a normal distribution (Max, "Quantizing for minimum distortion",
/// 1960): +-0.245, 0.756, 1.344, 2.152 at 8 levels, +-0.453, 1.510 at 4, as nearly as small integers go.
constexpr std::array<int8_t, 8> kValuesQ3 = {-70, -44, -25, -8, 8, 25, 44, 70};
constexpr std::array<int8_t, 4> kValuesQ2 = {-10, -3, 3, 10};

/// A plane: `bits` bits of every code of a group.
struct Plane {
  int bits;
  int64_t bytes() const { return bits * kPackedRows * kPackedGroup / 8; }
};
struct Planes {
  std::array<Plane, 2> plane;  ///< low bits first; a second of 0 bits is none
};

constexpr Planes planes_of(DType type) {
  switch (type) {
    case DType::kPackedQ8:
      return {{{{8}, {0}}}};
    case DType::kPackedQ6:
      return {{{{4}, {2}}}};
    case DType::kPackedQ3:
      return {{{{2}, {1}}}};
    case DType::kPackedQ2:
      return {{{{2}, {0}}}};
    default:
      return {{{{4}, {0}}}};
  }
}

/// The byte of a plane that holds (row, column), and the shift of its bits in it.
struct Place {
  int64_t byte;
  int shift;
};

Place place(int bits, int64_t row, int64_t column) {
  const int64_t quad = column / 4;
  const int64_t within = row * 4 + column % 4;
  if (bits == 4) return {quad % 4 * 64 + within, static_cast<int>(quad / 4) * 4};
  const int64_t quads_per_vector = 8 / bits;
  return {quad / quads_per_vector * 64 + within, static_cast<int>(quad % quads_per_vector) * bits};
}

}  // namespace

const PackedCodes& packed_codes(DType type) {
  static constexpr PackedCodes kQ8{8, kValuesQ8, 127};
  static constexpr PackedCodes kQ6{6, kValuesQ6, 32};
  static constexpr PackedCodes kQ4{4, kValuesQ4, 8};
  static constexpr PackedCodes kMxfp4{4, kValuesMxfp4, 12};
  static constexpr PackedCodes kQ3{3, kValuesQ3, 70};
  static constexpr PackedCodes kQ2{2, kValuesQ2, 10};
  switch (type) {
    case DType::kPackedQ8:
      return kQ8;
    case DType::kPackedQ6:
      return kQ6;
    case DType::kPackedQ4:
      return kQ4;
    case DType::kPackedMXFP4:
      return kMxfp4;
    case DType::kPackedQ3:
      return kQ3;
    case DType::kPackedQ2:
      return kQ2;
    default:
      CADRE_CHECK(false, "{} is not a packed type", name(type));
  }
}

int64_t packed_scale_bytes(DType type) { return kPackedRows * (type == DType::kPackedMXFP4 ? 1 : 2); }

int64_t packed_code_bytes(DType type) { return packed_codes(type).bits * kPackedRows * kPackedGroup / 8; }

int64_t packed_block_bytes(DType type, int64_t cols) {
  CADRE_CHECK(cols % kPackedGroup == 0, "{} columns in groups of {}", cols, kPackedGroup);
  return cols / kPackedGroup * packed_group_bytes(type);
}

uint8_t packed_code(DType type, const std::byte* codes, int64_t row, int64_t column) {
  int code = 0;
  int shift = 0;
  for (const Plane& plane : planes_of(type).plane) {
    if (plane.bits == 0) break;
    const Place at = place(plane.bits, row, column);
    const int byte = std::to_integer<int>(codes[at.byte]);
    code |= ((byte >> at.shift) & ((1 << plane.bits) - 1)) << shift;
    shift += plane.bits;
    codes += plane.bytes();
  }
  return static_cast<uint8_t>(code);
}

void set_packed_code(DType type, std::byte* codes, int64_t row, int64_t column, uint8_t code) {
  int rest = code;
  for (const Plane& plane : planes_of(type).plane) {
    if (plane.bits == 0) break;
    const Place at = place(plane.bits, row, column);
    const int mask = (1 << plane.bits) - 1;
    const int byte = std::to_integer<int>(codes[at.byte]);
    codes[at.byte] = static_cast<std::byte>((byte & ~(mask << at.shift)) | ((rest & mask) << at.shift));
    rest >>= plane.bits;
    codes += plane.bytes();
  }
}

void pack_group(DType type, const uint8_t* source, std::byte* codes) {
  constexpr int64_t kQuadBytes = 4 * kPackedRows;
  std::array<uint8_t, kPackedRows * kPackedGroup> quads;  // [quad][row][column]
  for (int64_t row = 0; row < kPackedRows; ++row)
    for (int64_t quad = 0; quad < kPackedGroup / 4; ++quad)
      std::memcpy(quads.data() + quad * kQuadBytes + row * 4, source + row * kPackedGroup + quad * 4, 4);
  std::memset(codes, 0, static_cast<size_t>(packed_code_bytes(type)));
  auto* out = reinterpret_cast<uint8_t*>(codes);
  int low_bit = 0;
  for (const Plane& plane : planes_of(type).plane) {
    if (plane.bits == 0) break;
    const int mask = (1 << plane.bits) - 1;
    for (int64_t quad = 0; quad < kPackedGroup / 4; ++quad) {
      const Place at = place(plane.bits, 0, quad * 4);
      const uint8_t* from = quads.data() + quad * kQuadBytes;
      for (int64_t i = 0; i < kQuadBytes; ++i)
        out[at.byte + i] |= static_cast<uint8_t>(((from[i] >> low_bit) & mask) << at.shift);
    }
    low_bit += plane.bits;
    out += plane.bytes();
  }
}

float packed_scale(DType type, const std::byte* scales, int64_t row) {
  // Values of E2M1 are doubled, so the scale is halved.
  if (type == DType::kPackedMXFP4) return 0.5f * f8e8m0_to_f32(std::to_integer<uint8_t>(scales[row]));
  uint16_t bits = 0;
  std::memcpy(&bits, scales + row * 2, sizeof(bits));
  return f16_to_f32(bits);
}

void set_packed_scale(DType type, std::byte* scales, int64_t row, float scale) {
  CADRE_DCHECK(scale == 0 || std::isfinite(scale));
  if (type == DType::kPackedMXFP4) {
    // 2^(byte - 128); 0 is as good as the smallest.
    const int byte = scale == 0 ? 0 : std::ilogb(scale) + 128;
    CADRE_DCHECK(byte >= 0 && byte <= 254, "{}", scale);
    scales[row] = static_cast<std::byte>(byte);
    return;
  }
  const uint16_t bits = f32_to_f16(scale);
  std::memcpy(scales + row * 2, &bits, sizeof(bits));
}

void decode_packed_row(DType type, const std::byte* matrix, int64_t cols, int64_t row, int64_t begin,
                       int64_t count, float* out) {
  const PackedCodes& codes = packed_codes(type);
  const std::byte* block = matrix + row / kPackedRows * packed_block_bytes(type, cols);
  const int64_t within = row % kPackedRows;
  for (int64_t group = begin / kPackedGroup; group < (begin + count) / kPackedGroup; ++group) {
    const float scale = packed_scale(type, block + packed_scales_offset(type, group), within);
    const std::byte* planes = block + packed_codes_offset(type, group);
    for (int64_t c = 0; c < kPackedGroup; ++c)
      *out++ = scale * static_cast<float>(codes.values[packed_code(type, planes, within, c)]);
  }
}

}  // namespace cadre
