/// Decoders of narrow weights, bit for bit what tensor/blocks.cc defines. Included after lanes.h, as
/// products.h is; only for instruction sets with byte registers (from_bytes, load_f16, load_f8e4m3).

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

void fill_decode(CpuTable& table) {
  table.decode_f16 = decode_f16;
  table.decode_f8e4m3 = decode_f8e4m3;
  table.decode_q8_0 = decode_q8_0;
  table.decode_q4_0 = decode_q4_0;
}

}  // namespace
}  // namespace cadre
