#pragma once
/// Sixteen f32 lanes as one 512-bit register. Meanings: generic/lanes.h.

#include <immintrin.h>

#include <cstdint>

#define CADRE_INLINE static inline __attribute__((always_inline))

namespace cadre {
namespace {

struct Lanes {
  __m512 v;
};

CADRE_INLINE __mmask16 first_lanes(int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }

CADRE_INLINE Lanes broadcast(float value) { return {_mm512_set1_ps(value)}; }
CADRE_INLINE Lanes load(const void* p) { return {_mm512_loadu_ps(p)}; }
CADRE_INLINE Lanes load_tail(const void* p, int64_t n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
CADRE_INLINE void store(float* p, Lanes a) { _mm512_storeu_ps(p, a.v); }
CADRE_INLINE void store_tail(float* p, Lanes a, int64_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), a.v); }

CADRE_INLINE Lanes add(Lanes a, Lanes b) { return {_mm512_add_ps(a.v, b.v)}; }
CADRE_INLINE Lanes sub(Lanes a, Lanes b) { return {_mm512_sub_ps(a.v, b.v)}; }
CADRE_INLINE Lanes mul(Lanes a, Lanes b) { return {_mm512_mul_ps(a.v, b.v)}; }
CADRE_INLINE Lanes div(Lanes a, Lanes b) { return {_mm512_div_ps(a.v, b.v)}; }
CADRE_INLINE Lanes square_root(Lanes a) { return {_mm512_sqrt_ps(a.v)}; }
CADRE_INLINE Lanes fma(Lanes a, Lanes b, Lanes c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
CADRE_INLINE Lanes max_else_second(Lanes a, Lanes b) { return {_mm512_max_ps(a.v, b.v)}; }
CADRE_INLINE Lanes min_else_second(Lanes a, Lanes b) { return {_mm512_min_ps(a.v, b.v)}; }

/// Pairs of rows, then fours, are brought side by side within 128 bits; then the 128-bit quarters are moved.
CADRE_INLINE void transpose(Lanes (&rows)[16]) {
  __m512 pairs[16], fours[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i].v, rows[2 * i + 1].v);
    pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i].v, rows[2 * i + 1].v);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    fours[4 * i] = _mm512_shuffle_ps(pairs[4 * i], pairs[4 * i + 2], 0x44);
    fours[4 * i + 1] = _mm512_shuffle_ps(pairs[4 * i], pairs[4 * i + 2], 0xEE);
    fours[4 * i + 2] = _mm512_shuffle_ps(pairs[4 * i + 1], pairs[4 * i + 3], 0x44);
    fours[4 * i + 3] = _mm512_shuffle_ps(pairs[4 * i + 1], pairs[4 * i + 3], 0xEE);
  }
  // Quarter q of fours[4 i + j] is column 4 q + j of rows 4 i to 4 i + 3.
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512 even_low = _mm512_shuffle_f32x4(fours[j], fours[4 + j], 0x88);
    const __m512 odd_low = _mm512_shuffle_f32x4(fours[j], fours[4 + j], 0xDD);
    const __m512 even_high = _mm512_shuffle_f32x4(fours[8 + j], fours[12 + j], 0x88);
    const __m512 odd_high = _mm512_shuffle_f32x4(fours[8 + j], fours[12 + j], 0xDD);
    rows[j].v = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
    rows[4 + j].v = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
    rows[8 + j].v = _mm512_shuffle_f32x4(even_low, even_high, 0xDD);
    rows[12 + j].v = _mm512_shuffle_f32x4(odd_low, odd_high, 0xDD);
  }
}
CADRE_INLINE float sum(Lanes a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}
CADRE_INLINE float maximum(Lanes a) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}
/// The sums of 16 accumulators, added as sum() adds but for all at once: each level halves the lanes of two
/// registers and puts them side by side in one.
CADRE_INLINE __m512 sums_of_16(const Lanes* a) {
  __m512 eighths[8], quarters[4], halves[2];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {  // lanes l and l + 8
    const __m512 p = a[2 * i].v, q = a[2 * i + 1].v;
    eighths[i] = _mm512_add_ps(_mm512_shuffle_f32x4(p, q, 0x44), _mm512_shuffle_f32x4(p, q, 0xEE));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {  // l and l + 4
    const __m512 p = eighths[2 * i], q = eighths[2 * i + 1];
    quarters[i] = _mm512_add_ps(_mm512_shuffle_f32x4(p, q, 0x88), _mm512_shuffle_f32x4(p, q, 0xDD));
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {  // l and l + 2
    const __m512 p = quarters[2 * i], q = quarters[2 * i + 1];
    halves[i] = _mm512_add_ps(_mm512_shuffle_ps(p, q, 0x44), _mm512_shuffle_ps(p, q, 0xEE));
  }
  const __m512 mixed = _mm512_add_ps(_mm512_shuffle_ps(halves[0], halves[1], 0x88),
                                     _mm512_shuffle_ps(halves[0], halves[1], 0xDD));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_ps(order, mixed);
}
template <int kCount>
CADRE_INLINE void store_sums(const Lanes (&a)[kCount], float* y) {
  if constexpr (kCount <= 4) {
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i) y[i] = sum(a[i]);
  } else {
#pragma GCC unroll 4
    for (int first = 0; first < kCount; first += 16) {
      Lanes group[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) group[i] = a[first + i < kCount ? first + i : kCount - 1];
      _mm512_mask_storeu_ps(y + first, first_lanes(kCount - first < 16 ? kCount - first : 16),
                            sums_of_16(group));
    }
  }
}

CADRE_INLINE Lanes scale_by_power(Lanes a, Lanes shifter) {
  const __m512i n = _mm512_sub_epi32(_mm512_castps_si512(shifter.v), _mm512_set1_epi32(0x4B400000));
  const __m512i half = _mm512_srai_epi32(n, 1);
  const __m512i bias = _mm512_set1_epi32(127);
  const __m512i first = _mm512_slli_epi32(_mm512_add_epi32(half, bias), 23);
  const __m512i second = _mm512_slli_epi32(_mm512_add_epi32(_mm512_sub_epi32(n, half), bias), 23);
  return {_mm512_mul_ps(_mm512_mul_ps(a.v, _mm512_castsi512_ps(first)), _mm512_castsi512_ps(second))};
}

CADRE_INLINE Lanes widen_bf16(__m256i bits) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
}
CADRE_INLINE Lanes load_bf16(const void* p) {
  return widen_bf16(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
}
CADRE_INLINE Lanes load_bf16_tail(const void* p, int64_t n) {
  return widen_bf16(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}
/// The rounded value in the high halves, the low halves 0.
CADRE_INLINE __m512i bf16_high(Lanes a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
  rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
  return _mm512_and_si512(rounded, _mm512_set1_epi32(static_cast<int>(0xFFFF0000u)));
}
CADRE_INLINE __m256i narrow_bf16(Lanes a) {
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bf16_high(a), 16));
}
CADRE_INLINE void store_bf16(void* p, Lanes a) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), narrow_bf16(a));
}
CADRE_INLINE void store_bf16_tail(void* p, Lanes a, int64_t n) {
  _mm256_mask_storeu_epi16(p, first_lanes(n), narrow_bf16(a));
}
CADRE_INLINE Lanes round_to_bf16(Lanes a) { return {_mm512_castsi512_ps(bf16_high(a))}; }

CADRE_INLINE void deinterleave(Lanes low, Lanes high, Lanes& a, Lanes& b) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  a.v = _mm512_permutex2var_ps(low.v, even, high.v);
  b.v = _mm512_permutex2var_ps(low.v, odd, high.v);
}
CADRE_INLINE void interleave(Lanes a, Lanes b, Lanes& low, Lanes& high) {
  const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i second = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  low.v = _mm512_permutex2var_ps(a.v, first, b.v);
  high.v = _mm512_permutex2var_ps(a.v, second, b.v);
}

// Sources of decode.h: 16 consecutive elements, or 16 bytes of nibbles.
CADRE_INLINE Lanes load_f16(const void* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
CADRE_INLINE Lanes from_bytes(__m128i bytes) { return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))}; }
CADRE_INLINE Lanes load_f8e4m3(const void* p) {
  const __m512i bits = _mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7F));
  const __m512i sign = _mm512_slli_epi32(_mm512_and_si512(bits, _mm512_set1_epi32(0x80)), 24);
  // The 7 bits as the top of an f32 whose exponent is too small by 120, subnormals included.
  const __m512i small = _mm512_or_si512(sign, _mm512_slli_epi32(magnitude, 20));
  const __m512 value = _mm512_mul_ps(_mm512_castsi512_ps(small), _mm512_set1_ps(0x1p120f));
  const __mmask16 nan = _mm512_cmpeq_epi32_mask(magnitude, _mm512_set1_epi32(0x7F));
  const __m512i quiet = _mm512_or_si512(sign, _mm512_set1_epi32(0x7FC00000));
  return {_mm512_mask_blend_ps(nan, value, _mm512_castsi512_ps(quiet))};
}
/// The values of 16 E2M1 numbers, one to a byte.
CADRE_INLINE Lanes from_e2m1(__m128i nibbles) {
  const __m512 values = _mm512_setr_ps(0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f, -0.0f, -0.5f, -1.0f,
                                       -1.5f, -2.0f, -3.0f, -4.0f, -6.0f);
  return {_mm512_permutexvar_ps(_mm512_cvtepu8_epi32(nibbles), values)};
}

// 24 partial sums, 4 rows of x and a row of w: 29 of 32 registers, 10 loads for 24 multiply-adds.
constexpr int kXTile = 4;
constexpr int kWTile = 6;
constexpr int kDotColumns[5] = {0, 8, 8, 8, 6};
constexpr int kColumnRows = 4;
constexpr int kColumnVectors[kColumnRows + 1] = {0, 6, 6, 6, 6};
constexpr int kGemmRows = 14;  // 28 sums, two registers of b; a is broadcast from memory
constexpr int kGemmVectors = 2;

}  // namespace
}  // namespace cadre
