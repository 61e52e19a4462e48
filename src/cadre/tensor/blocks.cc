#include "cadre/tensor/blocks.h"

#include <cstring>

#include "cadre/base/check.h"
#include "cadre/tensor/convert.h"

namespace cadre {
namespace {

/// Calls decode(value) on each element of a plain array that may be unaligned.
template <typename Element, typename Decode>
void decode_plain(const void* source, float* out, int64_t elements, Decode decode) {
  const auto* bytes = static_cast<const std::byte*>(source);
  for (int64_t i = 0; i < elements; ++i) {
    Element element;
    std::memcpy(&element, bytes + i * static_cast<int64_t>(sizeof(Element)), sizeof(Element));
    out[i] = decode(element);
  }
}

/// Calls decode(block, out) on each block of an array that may be unaligned.
template <typename Block, int kElements, typename Decode>
void decode_blocks(const void* source, float* out, int64_t elements, Decode decode) {
  const auto* bytes = static_cast<const std::byte*>(source);
  for (int64_t i = 0; i < elements / kElements; ++i) {
    Block block;
    std::memcpy(&block, bytes + i * static_cast<int64_t>(sizeof(Block)), sizeof(Block));
    decode(block, out + i * kElements);
  }
}

void decode_q8_0(const BlockQ8_0& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(block.q[j]);
}

void decode_q4_0(const BlockQ4_0& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (int j = 0; j < 16; ++j) {
    out[j] = d * static_cast<float>((block.q[j] & 15) - 8);
    out[j + 16] = d * static_cast<float>((block.q[j] >> 4) - 8);
  }
}

/// The 6-bit scale and minimum of sub-block j of 8.
void unpack_q4_k_scale(const uint8_t* s, int j, float& scale, float& minimum) {
  const int sc = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | ((s[j - 4] >> 6) << 4);
  const int m = j < 4 ? s[j + 4] & 63 : (s[j + 4] >> 4) | ((s[j] >> 6) << 4);
  scale = static_cast<float>(sc);
  minimum = static_cast<float>(m);
}

void decode_q4_k(const BlockQ4_K& block, float* out) {
  const float d = f16_to_f32(block.d);
  const float dmin = f16_to_f32(block.dmin);
  for (int64_t j = 0; j < 8; ++j) {
    float scale = 0, minimum = 0;
    unpack_q4_k_scale(block.scales, static_cast<int>(j), scale, minimum);
    const float step = d * scale;
    const float offset = dmin * minimum;
    const uint8_t* q = block.q + 32 * (j / 2);
    const int shift = 4 * static_cast<int>(j % 2);
    for (int l = 0; l < 32; ++l) out[32 * j + l] = step * static_cast<float>((q[l] >> shift) & 15) - offset;
  }
}

void decode_q6_k(const BlockQ6_K& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (int64_t half = 0; half < 2; ++half) {
    const uint8_t* ql = block.ql + 64 * half;
    const uint8_t* qh = block.qh + 32 * half;
    const int8_t* scales = block.scales + 8 * half;
    float* y = out + 128 * half;
    for (int part = 0; part < 4; ++part) {  // y[32 part + l]: 4 low bits from ql, 2 high bits from qh
      for (int l = 0; l < 32; ++l) {
        const int low = (ql[l + 32 * (part % 2)] >> (4 * (part / 2))) & 15;
        const int high = (qh[l] >> (2 * part)) & 3;
        const float step = d * static_cast<float>(scales[l / 16 + 2 * part]);
        y[32 * part + l] = step * static_cast<float>((low | (high << 4)) - 32);
      }
    }
  }
}

void decode_mxfp4(const BlockMXFP4& block, float* out) {
  const float d = f8e8m0_to_f32(block.e);
  for (int j = 0; j < 16; ++j) {
    out[j] = kE2M1[block.q[j] & 15] * d;
    out[j + 16] = kE2M1[block.q[j] >> 4] * d;
  }
}

}  // namespace

void decode_row(DType dtype, const void* source, float* out, int64_t elements) {
  if (elements == 0) return;  // where either pointer may be null
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out, source, static_cast<size_t>(elements) * sizeof(float));
      return;
    case DType::kF16:
      return decode_plain<uint16_t>(source, out, elements, f16_to_f32);
    case DType::kBF16:
      return decode_plain<uint16_t>(source, out, elements, bf16_to_f32);
    case DType::kF8E4M3:
      return decode_plain<uint8_t>(source, out, elements, f8e4m3_to_f32);
    case DType::kQ8_0:
      return decode_blocks<BlockQ8_0, 32>(source, out, elements, decode_q8_0);
    case DType::kQ4_0:
      return decode_blocks<BlockQ4_0, 32>(source, out, elements, decode_q4_0);
    case DType::kQ4_K:
      return decode_blocks<BlockQ4_K, 256>(source, out, elements, decode_q4_k);
    case DType::kQ6_K:
      return decode_blocks<BlockQ6_K, 256>(source, out, elements, decode_q6_k);
    case DType::kMXFP4:
      return decode_blocks<BlockMXFP4, 32>(source, out, elements, decode_mxfp4);
    default:
      CADRE_CHECK(false, "{} is not a weight type", name(dtype));
  }
}

}  // namespace cadre
