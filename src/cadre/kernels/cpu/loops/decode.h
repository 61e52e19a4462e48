/// Decoders of narrow weights, bit for bit what tensor/blocks.cc defines. Included after lanes.h, as
/// products.h is; only for instruction sets with byte registers (from_bytes and its kin in their
/// lanes.h).

namespace cadre {
namespace {

CADRE_INLINE float f16_scale(const void* p) {
  uint16_t bits;
  __builtin_memcpy(&bits, p, sizeof bits);
  return _cvtsh_ss(bits);
}

void decode_f16(const void* source, float* out, int64_t elements) {
  const auto* p = static_cast<const char*>(source);
  int64_t i = 0;
  for (; i + 16 <= elements; i += 16) store(out + i, load_f16(p + 2 * i));
  for (; i < elements; ++i) out[i] = f16_scale(p + 2 * i);
}

void decode_f8e4m3(const void* source, float* out, int64_t elements) {
  const auto* p = static_cast<const char*>(source);
  int64_t i = 0;
  for (; i + 16 <= elements; i += 16) store(out + i, load_f8e4m3(p + i));
  if (i < elements) {
    char padded[16] = {};
    __builtin_memcpy(padded, p + i, static_cast<unsigned long>(elements - i));
    store_tail(out + i, load_f8e4m3(padded), elements - i);
  }
}

void decode_q8_0(const void* source, float* out, int64_t elements) {
  const auto* block = static_cast<const char*>(source);  // f16 scale, 32 signed bytes
  for (int64_t i = 0; i < elements; i += 32, block += 34) {
    const Lanes d = broadcast(f16_scale(block));
    const auto* q = reinterpret_cast<const __m128i*>(block + 2);
    store(out + i, mul(d, from_bytes(_mm_loadu_si128(q))));
    store(out + i + 16, mul(d, from_bytes(_mm_loadu_si128(q + 1))));
  }
}

void decode_q4_0(const void* source, float* out, int64_t elements) {
  const auto* block = static_cast<const char*>(source);  // f16 scale, 16 bytes: low nibbles first half
  const __m128i low_bits = _mm_set1_epi8(15), eight = _mm_set1_epi8(8);
  for (int64_t i = 0; i < elements; i += 32, block += 18) {
    const Lanes d = broadcast(f16_scale(block));
    const __m128i q = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 2));
    const __m128i low = _mm_and_si128(q, low_bits);
    const __m128i high = _mm_and_si128(_mm_srli_epi16(q, 4), low_bits);
    store(out + i, mul(d, from_bytes(_mm_sub_epi8(low, eight))));
    store(out + i + 16, mul(d, from_bytes(_mm_sub_epi8(high, eight))));
  }
}

CADRE_INLINE __m128i load_bytes(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
/// Bits [shift, shift + width) of each byte, width given by `mask`.
CADRE_INLINE __m128i bits_of(__m128i bytes, int shift, int mask) {
  return _mm_and_si128(_mm_srl_epi16(bytes, _mm_cvtsi32_si128(shift)),
                       _mm_set1_epi8(static_cast<char>(mask)));
}

void decode_q4_k(const void* source, float* out, int64_t elements) {
  const auto* block =
      static_cast<const char*>(source);  // f16 d, f16 dmin, 12 bytes of scales, 128 of nibbles
  for (int64_t i = 0; i < elements; i += 256, block += 144) {
    const float d = f16_scale(block), dmin = f16_scale(block + 2);
    const auto* s = reinterpret_cast<const uint8_t*>(block + 4);
    for (int j = 0; j < 8; ++j) {
      const int scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | ((s[j - 4] >> 6) << 4);
      const int minimum = j < 4 ? s[j + 4] & 63 : (s[j + 4] >> 4) | ((s[j] >> 6) << 4);
      const Lanes step = broadcast(d * static_cast<float>(scale));
      const Lanes offset = broadcast(dmin * static_cast<float>(minimum));
      const char* q = block + 16 + 32 * (j / 2);
      for (int l = 0; l < 32; l += 16)
        store(out + i + 32 * j + l,
              sub(mul(step, from_bytes(bits_of(load_bytes(q + l), 4 * (j % 2), 15))), offset));
    }
  }
}

void decode_q6_k(const void* source, float* out, int64_t elements) {
  const auto* block = static_cast<const char*>(source);  // 128 low nibbles, 64 high pairs, 16 scales, f16 d
  for (int64_t i = 0; i < elements; i += 256, block += 210) {
    const float d = f16_scale(block + 208);
    const auto* scales = reinterpret_cast<const signed char*>(block + 192);
    for (int v = 0; v < 16; ++v) {  // 16 values each
      const int half = v / 8, part = v / 2 % 4, l = 16 * (v % 2);
      const __m128i low = bits_of(load_bytes(block + 64 * half + 32 * (part % 2) + l), 4 * (part / 2), 15);
      const __m128i high = bits_of(load_bytes(block + 128 + 32 * half + l), 2 * part, 3);
      const __m128i q = _mm_sub_epi8(_mm_or_si128(low, _mm_slli_epi16(high, 4)), _mm_set1_epi8(32));
      store(out + i + 16 * v, mul(broadcast(d * static_cast<float>(scales[v])), from_bytes(q)));
    }
  }
}

/// 2^(bits - 127), or NaN for 255.
CADRE_INLINE float e8m0_scale(uint8_t bits) {
  const uint32_t wide = bits == 255 ? 0x7FC00000u
                        : bits == 0 ? 0x00400000u
                                    : static_cast<uint32_t>(bits) << 23;
  float scale;
  __builtin_memcpy(&scale, &wide, sizeof scale);
  return scale;
}

void decode_mxfp4(const void* source, float* out, int64_t elements) {
  const auto* block = static_cast<const char*>(source);  // E8M0 scale, 16 bytes: low nibbles first half
  for (int64_t i = 0; i < elements; i += 32, block += 17) {
    const Lanes d = broadcast(e8m0_scale(static_cast<uint8_t>(block[0])));
    const __m128i q = load_bytes(block + 1);
    store(out + i, mul(from_e2m1(bits_of(q, 0, 15)), d));
    store(out + i + 16, mul(from_e2m1(bits_of(q, 4, 15)), d));
  }
}

void fill_decode(CpuTable& table) {
  table.decode_f16 = decode_f16;
  table.decode_f8e4m3 = decode_f8e4m3;
  table.decode_q8_0 = decode_q8_0;
  table.decode_q4_0 = decode_q4_0;
  table.decode_q4_k = decode_q4_k;
  table.decode_q6_k = decode_q6_k;
  table.decode_mxfp4 = decode_mxfp4;
}

}  // namespace
}  // namespace cadre
