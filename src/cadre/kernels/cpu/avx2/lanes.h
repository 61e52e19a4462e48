#pragma once
/// Sixteen f32 lanes as two 256-bit registers. Meanings: generic/lanes.h.

#include <immintrin.h>

#include <cstdint>

#define CADRE_INLINE static inline __attribute__((always_inline))

namespace cadre {
namespace {

struct Lanes {
  __m256 low;   ///< lanes 0 to 7
  __m256 high;  ///< lanes 8 to 15
};

/// All bits set in the first n of 8 lanes.
CADRE_INLINE __m256i first_lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

CADRE_INLINE Lanes broadcast(float value) { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
CADRE_INLINE Lanes load(const void* p) {
  const auto* f = static_cast<const float*>(p);
  return {_mm256_loadu_ps(f), _mm256_loadu_ps(f + 8)};
}
CADRE_INLINE Lanes load_tail(const void* p, int64_t n) {
  const auto* f = static_cast<const float*>(p);
  return {_mm256_maskload_ps(f, first_lanes(n)), _mm256_maskload_ps(f + 8, first_lanes(n - 8))};
}
CADRE_INLINE void store(float* p, Lanes a) {
  _mm256_storeu_ps(p, a.low);
  _mm256_storeu_ps(p + 8, a.high);
}
CADRE_INLINE void store_tail(float* p, Lanes a, int64_t n) {
  _mm256_maskstore_ps(p, first_lanes(n), a.low);
  _mm256_maskstore_ps(p + 8, first_lanes(n - 8), a.high);
}

CADRE_INLINE Lanes add(Lanes a, Lanes b) {
  return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
CADRE_INLINE Lanes sub(Lanes a, Lanes b) {
  return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
CADRE_INLINE Lanes mul(Lanes a, Lanes b) {
  return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
CADRE_INLINE Lanes div(Lanes a, Lanes b) {
  return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
CADRE_INLINE Lanes square_root(Lanes a) { return {_mm256_sqrt_ps(a.low), _mm256_sqrt_ps(a.high)}; }
CADRE_INLINE Lanes fma(Lanes a, Lanes b, Lanes c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
CADRE_INLINE Lanes max_else_second(Lanes a, Lanes b) {
  return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
CADRE_INLINE Lanes min_else_second(Lanes a, Lanes b) {
  return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}

/// Pairs, quads and halves of rows are brought side by side in turn.
CADRE_INLINE void transpose_8(__m256 (&r)[8]) {
  __m256 pairs[8], quads[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    pairs[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    pairs[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    quads[4 * i] = _mm256_shuffle_ps(pairs[4 * i], pairs[4 * i + 2], 0x44);
    quads[4 * i + 1] = _mm256_shuffle_ps(pairs[4 * i], pairs[4 * i + 2], 0xEE);
    quads[4 * i + 2] = _mm256_shuffle_ps(pairs[4 * i + 1], pairs[4 * i + 3], 0x44);
    quads[4 * i + 3] = _mm256_shuffle_ps(pairs[4 * i + 1], pairs[4 * i + 3], 0xEE);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm256_permute2f128_ps(quads[i], quads[4 + i], 0x20);
    r[4 + i] = _mm256_permute2f128_ps(quads[i], quads[4 + i], 0x31);
  }
}
CADRE_INLINE void transpose(Lanes (&rows)[16]) {
  __m256 quarters[4][8];  // low and high halves of rows 0 to 7, then of rows 8 to 15
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    quarters[0][i] = rows[i].low;
    quarters[1][i] = rows[i].high;
    quarters[2][i] = rows[8 + i].low;
    quarters[3][i] = rows[8 + i].high;
  }
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q) transpose_8(quarters[q]);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    rows[i] = {quarters[0][i], quarters[2][i]};
    rows[8 + i] = {quarters[1][i], quarters[3][i]};
  }
}

CADRE_INLINE float sum(Lanes a) {
  const __m256 eight = _mm256_add_ps(a.low, a.high);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}
CADRE_INLINE float maximum(Lanes a) {
  const __m256 eight = _mm256_max_ps(a.low, a.high);
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}
/// The sums of 8 accumulators, added as sum() adds but for all at once: each level halves the lanes of two
/// registers and puts them side by side in one.
CADRE_INLINE __m256 sums_of_8(const Lanes* a) {
  __m256 quarters[4], halves[2];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m256 p = _mm256_add_ps(a[2 * i].low, a[2 * i].high);  // lanes l and l + 8
    const __m256 q = _mm256_add_ps(a[2 * i + 1].low, a[2 * i + 1].high);
    quarters[i] =
        _mm256_add_ps(_mm256_permute2f128_ps(p, q, 0x20), _mm256_permute2f128_ps(p, q, 0x31));  // + 4
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {  // l and l + 2
    const __m256 p = quarters[2 * i], q = quarters[2 * i + 1];
    halves[i] = _mm256_add_ps(_mm256_shuffle_ps(p, q, 0x44), _mm256_shuffle_ps(p, q, 0xEE));
  }
  const __m256 mixed = _mm256_add_ps(_mm256_shuffle_ps(halves[0], halves[1], 0x88),
                                     _mm256_shuffle_ps(halves[0], halves[1], 0xDD));
  return _mm256_permutevar8x32_ps(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}
template <int kCount>
CADRE_INLINE void store_sums(const Lanes (&a)[kCount], float* y) {
  static_assert(kCount <= 8);
  if constexpr (kCount <= 3) {
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i) y[i] = sum(a[i]);
  } else {
    Lanes group[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) group[i] = a[i < kCount ? i : kCount - 1];
    _mm256_maskstore_ps(y, first_lanes(kCount), sums_of_8(group));
  }
}

CADRE_INLINE __m256 scale_half_by_power(__m256 a, __m256 shifter) {
  const __m256i n = _mm256_sub_epi32(_mm256_castps_si256(shifter), _mm256_set1_epi32(0x4B400000));
  const __m256i half = _mm256_srai_epi32(n, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const __m256i second = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(n, half), bias), 23);
  return _mm256_mul_ps(_mm256_mul_ps(a, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second));
}
CADRE_INLINE Lanes scale_by_power(Lanes a, Lanes shifter) {
  return {scale_half_by_power(a.low, shifter.low), scale_half_by_power(a.high, shifter.high)};
}

CADRE_INLINE __m256 widen_half_bf16(__m128i bits) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
CADRE_INLINE Lanes load_bf16(const void* p) {
  const auto* q = static_cast<const __m128i*>(p);
  return {widen_half_bf16(_mm_loadu_si128(q)), widen_half_bf16(_mm_loadu_si128(q + 1))};
}
CADRE_INLINE Lanes load_bf16_tail(const void* p, int64_t n) {
  uint16_t bits[16] = {};
  __builtin_memcpy(bits, p, static_cast<unsigned long>(n) * sizeof(uint16_t));
  return load_bf16(bits);
}
/// The rounded value in the high halves, the low halves 0.
CADRE_INLINE __m256i bf16_high(__m256 a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256 nan = _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i chosen = _mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(nan));
  return _mm256_and_si256(chosen, _mm256_set1_epi32(static_cast<int>(0xFFFF0000u)));
}
CADRE_INLINE void store_bf16(void* p, Lanes a) {
  const __m256i low = _mm256_srli_epi32(bf16_high(a.low), 16);
  const __m256i high = _mm256_srli_epi32(bf16_high(a.high), 16);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xD8);
  _mm256_storeu_si256(static_cast<__m256i*>(p), packed);
}
CADRE_INLINE void store_bf16_tail(void* p, Lanes a, int64_t n) {
  uint16_t bits[16];
  store_bf16(bits, a);
  __builtin_memcpy(p, bits, static_cast<unsigned long>(n) * sizeof(uint16_t));
}
CADRE_INLINE Lanes round_to_bf16(Lanes a) {
  return {_mm256_castsi256_ps(bf16_high(a.low)), _mm256_castsi256_ps(bf16_high(a.high))};
}

/// (a0 b0 a1 b1 ...) in two registers: shuffle within 128-bit halves, then put the quarters in order.
CADRE_INLINE __m256 in_order(__m256 quarters) {
  return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(quarters), 0xD8));
}
CADRE_INLINE void deinterleave(Lanes low, Lanes high, Lanes& a, Lanes& b) {
  a = {in_order(_mm256_shuffle_ps(low.low, low.high, 0x88)),
       in_order(_mm256_shuffle_ps(high.low, high.high, 0x88))};
  b = {in_order(_mm256_shuffle_ps(low.low, low.high, 0xDD)),
       in_order(_mm256_shuffle_ps(high.low, high.high, 0xDD))};
}
CADRE_INLINE Lanes interleave_half(__m256 a, __m256 b) {
  const __m256 even = _mm256_unpacklo_ps(a, b);
  const __m256 odd = _mm256_unpackhi_ps(a, b);
  return {_mm256_permute2f128_ps(even, odd, 0x20), _mm256_permute2f128_ps(even, odd, 0x31)};
}
CADRE_INLINE void interleave(Lanes a, Lanes b, Lanes& low, Lanes& high) {
  low = interleave_half(a.low, b.low);
  high = interleave_half(a.high, b.high);
}

CADRE_INLINE Lanes load_f16(const void* p) {
  const auto* q = static_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(q)), _mm256_cvtph_ps(_mm_loadu_si128(q + 1))};
}
CADRE_INLINE Lanes from_bytes(__m128i bytes) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}
CADRE_INLINE __m256 half_from_f8e4m3(__m128i bytes) {
  const __m256i bits = _mm256_cvtepu8_epi32(bytes);
  const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7F));
  const __m256i sign = _mm256_slli_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(0x80)), 24);
  // The 7 bits as the top of an f32 whose exponent is too small by 120, subnormals included.
  const __m256i small = _mm256_or_si256(sign, _mm256_slli_epi32(magnitude, 20));
  const __m256 value = _mm256_mul_ps(_mm256_castsi256_ps(small), _mm256_set1_ps(0x1p120f));
  const __m256i nan = _mm256_cmpeq_epi32(magnitude, _mm256_set1_epi32(0x7F));
  const __m256i quiet = _mm256_or_si256(sign, _mm256_set1_epi32(0x7FC00000));
  return _mm256_blendv_ps(value, _mm256_castsi256_ps(quiet), _mm256_castsi256_ps(nan));
}
CADRE_INLINE Lanes load_f8e4m3(const void* p) {
  const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(p));
  return {half_from_f8e4m3(bytes), half_from_f8e4m3(_mm_srli_si128(bytes, 8))};
}
CADRE_INLINE __m256 half_from_e2m1(__m128i nibbles) {
  const __m256 magnitudes = _mm256_setr_ps(0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f);
  const __m256i index = _mm256_cvtepu8_epi32(nibbles);
  const __m256i sign = _mm256_slli_epi32(_mm256_srli_epi32(index, 3), 31);
  return _mm256_xor_ps(_mm256_permutevar8x32_ps(magnitudes, index), _mm256_castsi256_ps(sign));
}
/// The values of 16 E2M1 numbers, one to a byte.
CADRE_INLINE Lanes from_e2m1(__m128i nibbles) {
  return {half_from_e2m1(nibbles), half_from_e2m1(_mm_srli_si128(nibbles, 8))};
}

/// One half of the lanes: a register of w at a time meets those of x.
template <int kRows, int kCols>
CADRE_INLINE void add_outer_half(const float* x, const float* w, __m256 Lanes::*half,
                                 Lanes (&sums)[kRows * kCols]) {
  __m256 rows[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) rows[r] = _mm256_loadu_ps(x + r * 16);
#pragma GCC unroll 8
  for (int c = 0; c < kCols; ++c) {
    __m256 all = _mm256_loadu_ps(w + c * 16);
    asm("" : "+x"(all));  // loaded once, where compilers would load it in each multiply-add
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      __m256& sum = sums[r * kCols + c].*half;
      sum = _mm256_fmadd_ps(rows[r], all, sum);
    }
  }
}
/// All of x beside the sums would be more than the registers hold, so that each multiply-add would load.
template <int kRows, int kCols>
CADRE_INLINE void add_outer(const float* x, const float* w, Lanes (&sums)[kRows * kCols]) {
  add_outer_half<kRows, kCols>(x, w, &Lanes::low, sums);
  add_outer_half<kRows, kCols>(x + 8, w + 8, &Lanes::high, sums);
}

// 6 partial sums of two registers each, with add_outer 15 of 16 registers.
constexpr int kXTile = 2;
constexpr int kWTile = 3;
constexpr int kDotColumns[5] = {0, 4, 3, 2, 1};
constexpr int kColumnRows = 4;
constexpr int kColumnVectors[kColumnRows + 1] = {0, 4, 2, 1, 1};
constexpr int kGemmRows = 6;  // 12 sums, two registers of b, a broadcast of a
constexpr int kGemmVectors = 1;

}  // namespace
}  // namespace cadre
