#pragma once
/// A quad as one 512-bit register, with the dot-product instruction of AVX-512 VNNI. Meanings:
/// generic/quads.h.

namespace cadre {
namespace {

struct Quad {
  __m512i v;
};
struct Ints {
  __m512i v;
};

CADRE_INLINE Quad load_quad(const void* p) { return {_mm512_loadu_si512(p)}; }
CADRE_INLINE void store_quad(void* p, Quad a) { _mm512_storeu_si512(p, a.v); }
template <int kShift, int kMask>
CADRE_INLINE Quad bits(Quad a) {
  __m512i shifted = a.v;
  if constexpr (kShift > 0) shifted = _mm512_srli_epi16(a.v, kShift);
  if constexpr (kShift < 0) shifted = _mm512_slli_epi16(a.v, -kShift);
  return {_mm512_and_si512(shifted, _mm512_set1_epi8(kMask))};
}
CADRE_INLINE Quad merge(Quad a, Quad b) { return {_mm512_or_si512(a.v, b.v)}; }
CADRE_INLINE Quad load_values(const uint8_t* p) {
  return {_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
CADRE_INLINE Quad lookup(Quad values, Quad a) { return {_mm512_shuffle_epi8(values.v, a.v)}; }
CADRE_INLINE Quad broadcast_quad(const int8_t* p) {
  int32_t four;
  __builtin_memcpy(&four, p, sizeof four);
  return {_mm512_set1_epi32(four)};
}

CADRE_INLINE Ints zero_ints() { return {_mm512_setzero_si512()}; }
template <int kOffset>
CADRE_INLINE Ints start(int32_t sum) {
  return {_mm512_set1_epi32(-kOffset * sum)};
}
template <int kOffset>
CADRE_INLINE Ints dot(Ints sums, Quad w, Quad x) {
  return {_mm512_dpbusd_epi32(sums.v, w.v, x.v)};
}
/// A row after the other: rows overlap in the processor, and more sums would not leave registers for the
/// weights.
template <int kOffset, int kLargest, int kRows>
CADRE_INLINE void dot_group(const Quad (&w)[8], const int8_t* x, const int32_t* x_sums, Ints (&sums)[kRows]) {
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    sums[r] = start<kOffset>(x_sums[r]);
#pragma GCC unroll 8
    for (int u = 0; u < 8; ++u) sums[r] = dot<kOffset>(sums[r], w[u], broadcast_quad(x + 32 * r + 4 * u));
  }
}
CADRE_INLINE Lanes to_lanes(Ints a) { return {_mm512_cvtepi32_ps(a.v)}; }

CADRE_INLINE Lanes load_f16_lanes(const void* p) { return load_f16(p); }
CADRE_INLINE Lanes load_e8m0_halves(const uint8_t* p) {
  const __m512i e = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  __m512i value = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
  value = _mm512_mask_sllv_epi32(value, _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2)),
                                 _mm512_set1_epi32(0x00200000), e);
  value = _mm512_mask_set1_epi32(value, _mm512_cmpeq_epi32_mask(e, _mm512_set1_epi32(255)), 0x7FC00000);
  return {_mm512_castsi512_ps(value)};
}

CADRE_INLINE uint32_t largest_magnitude_bits(Lanes a, Lanes b) {
  const __m512i mask = _mm512_set1_epi32(0x7FFFFFFF);
  return static_cast<uint32_t>(_mm512_reduce_max_epi32(_mm512_max_epi32(
      _mm512_and_si512(_mm512_castps_si512(a.v), mask), _mm512_and_si512(_mm512_castps_si512(b.v), mask))));
}
CADRE_INLINE int32_t store_rounded(int8_t* p, Lanes a) {
  const __m512i rounded = _mm512_cvtps_epi32(a.v);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(rounded));
  return _mm512_reduce_add_epi32(rounded);
}
CADRE_INLINE void store_zero_bytes(int8_t* p) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_setzero_si128());
}

CADRE_INLINE void transpose_quads(const uint8_t* from, int64_t from_stride, int8_t* to, int64_t to_stride) {
  const __m512i a = _mm512_loadu_si512(from), b = _mm512_loadu_si512(from + from_stride);
  const __m512i c = _mm512_loadu_si512(from + 2 * from_stride);
  const __m512i d = _mm512_loadu_si512(from + 3 * from_stride);
  // As 128-bit pieces: entries 4 k to 4 k + 3 of each quad to quad k.
  const __m512i ab_low = _mm512_shuffle_i32x4(a, b, 0x44), ab_high = _mm512_shuffle_i32x4(a, b, 0xEE);
  const __m512i cd_low = _mm512_shuffle_i32x4(c, d, 0x44), cd_high = _mm512_shuffle_i32x4(c, d, 0xEE);
  const __m512i pieces[4] = {
      _mm512_shuffle_i32x4(ab_low, cd_low, 0x88), _mm512_shuffle_i32x4(ab_low, cd_low, 0xDD),
      _mm512_shuffle_i32x4(ab_high, cd_high, 0x88), _mm512_shuffle_i32x4(ab_high, cd_high, 0xDD)};
  const __m512i order =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k)
    _mm512_storeu_si512(to + k * to_stride, _mm512_xor_si512(_mm512_shuffle_epi8(pieces[k], order),
                                                             _mm512_set1_epi8(static_cast<char>(0x80))));
}

CADRE_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
// 16 registers of sums, 4 of keys or values, 1 of the other side: 8 loads for 16 dot products.
constexpr int kCodedRows = 4;
constexpr int kCodedVectors = 4;
// 16 registers of weights, 2 of scales, and what two rows of sums need.
constexpr int kPackedBlocks = 2;
constexpr int kPackedRowsAtOnce = 1;

}  // namespace
}  // namespace cadre
