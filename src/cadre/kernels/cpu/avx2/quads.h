#pragma once
/// A quad as two 256-bit registers. Meanings: generic/quads.h. Included by avxvnni/ too, which has the dot
/// product as one instruction.

namespace cadre {
namespace {

struct Quad {
  __m256i low, high;  ///< rows 0 to 7, 8 to 15
};
struct Ints {
  __m256i low, high;
};

CADRE_INLINE Quad load_quad(const void* p) {
  const auto* q = static_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
CADRE_INLINE void store_quad(void* p, Quad a) {
  auto* q = static_cast<__m256i*>(p);
  _mm256_storeu_si256(q, a.low);
  _mm256_storeu_si256(q + 1, a.high);
}
template <int kShift, int kMask>
CADRE_INLINE __m256i half_bits(__m256i a) {
  __m256i shifted = a;
  if constexpr (kShift > 0) shifted = _mm256_srli_epi16(a, kShift);
  if constexpr (kShift < 0) shifted = _mm256_slli_epi16(a, -kShift);
  return _mm256_and_si256(shifted, _mm256_set1_epi8(kMask));
}
template <int kShift, int kMask>
CADRE_INLINE Quad bits(Quad a) {
  return {half_bits<kShift, kMask>(a.low), half_bits<kShift, kMask>(a.high)};
}
CADRE_INLINE Quad merge(Quad a, Quad b) {
  return {_mm256_or_si256(a.low, b.low), _mm256_or_si256(a.high, b.high)};
}
CADRE_INLINE Quad load_values(const uint8_t* p) {
  const __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return {table, table};
}
CADRE_INLINE Quad lookup(Quad values, Quad a) {
  return {_mm256_shuffle_epi8(values.low, a.low), _mm256_shuffle_epi8(values.high, a.high)};
}
CADRE_INLINE Quad broadcast_quad(const int8_t* p) {
  int32_t four;
  __builtin_memcpy(&four, p, sizeof four);
  const __m256i all = _mm256_set1_epi32(four);
  return {all, all};
}

CADRE_INLINE Ints zero_ints() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
CADRE_INLINE Ints broadcast_int(int32_t value) {
  const __m256i all = _mm256_set1_epi32(value);
  return {all, all};
}

#if defined(__AVXVNNI__)
template <int kOffset>
CADRE_INLINE Ints start(int32_t sum) {
  return broadcast_int(-kOffset * sum);
}
template <int kOffset>
CADRE_INLINE Ints dot(Ints sums, Quad w, Quad x) {
  return {_mm256_dpbusd_avx_epi32(sums.low, w.low, x.low),
          _mm256_dpbusd_avx_epi32(sums.high, w.high, x.high)};
}
/// Whether results of products are added in 16 bits before they are widened.
template <int kOffset>
constexpr bool kAddsWords = false;
#else
/// vpmaddubsw saturates pairs of products at 16 bits: 2 * 127 * 127 is safe, and so are codes of up to 6
/// bits. Wider ones are multiplied as magnitude of w times x with the sign of w.
template <int kOffset>
constexpr bool kSigned = kOffset > 32;

template <int kOffset>
CADRE_INLINE Ints start(int32_t sum) {
  return kSigned<kOffset> ? zero_ints() : broadcast_int(-kOffset * sum);
}
template <int kOffset>
CADRE_INLINE __m256i half_dot(__m256i sums, __m256i w, __m256i x) {
  if constexpr (kSigned<kOffset>) {
    w = _mm256_sub_epi8(w, _mm256_set1_epi8(static_cast<char>(kOffset)));
    x = _mm256_sign_epi8(x, w);
    w = _mm256_abs_epi8(w);
  }
  const __m256i pairs = _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), _mm256_set1_epi16(1));
  return _mm256_add_epi32(sums, pairs);
}
template <int kOffset>
CADRE_INLINE Ints dot(Ints sums, Quad w, Quad x) {
  return {half_dot<kOffset>(sums.low, w.low, x.low), half_dot<kOffset>(sums.high, w.high, x.high)};
}
template <int kOffset>
constexpr bool kAddsWords = !kSigned<kOffset>;
#endif

/// Results of vpmaddubsw that can be added in 16 bits, a divisor of 8, if codes go up to kLargest.
template <int kLargest>
constexpr int kWords = 32767 / (2 * 127 * kLargest) >= 8   ? 8
                       : 32767 / (2 * 127 * kLargest) >= 4 ? 4
                                                           : 2;

CADRE_INLINE __m256i add_words(__m256i sums, __m256i words) {
  sums = _mm256_add_epi16(sums, words);
  // In this order: as a tree, which compilers prefer, the words of a group do not fit the registers.
  asm("" : "+x"(sums));
  return sums;
}
/// Adds the pairs of 16-bit words.
CADRE_INLINE __m256i add_pairs(__m256i sums, __m256i words) {
  return _mm256_add_epi32(sums, _mm256_madd_epi16(words, _mm256_set1_epi16(1)));
}

/// Quads [first, first + kWords) of a group.
template <int kLargest, int kRows>
CADRE_INLINE void add_narrow(const Quad (&w)[8], int first, const int8_t* x, Ints (&sums)[kRows]) {
  Ints words[kRows];
#pragma GCC unroll 8
  for (int u = first; u < first + kWords<kLargest>; ++u)
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const __m256i four = broadcast_quad(x + 32 * r + 4 * u).low;
      const __m256i low = _mm256_maddubs_epi16(w[u].low, four), high = _mm256_maddubs_epi16(w[u].high, four);
      words[r] =
          u == first ? Ints{low, high} : Ints{add_words(words[r].low, low), add_words(words[r].high, high)};
    }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r)
    sums[r] = {add_pairs(sums[r].low, words[r].low), add_pairs(sums[r].high, words[r].high)};
}

/// Rows side by side: a quad of w serves them all while it is in the registers.
template <int kOffset, int kLargest, int kRows>
CADRE_INLINE void dot_group(const Quad (&w)[8], const int8_t* x, const int32_t* x_sums, Ints (&sums)[kRows]) {
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) sums[r] = start<kOffset>(x_sums[r]);
  if constexpr (kAddsWords<kOffset>) {
#pragma GCC unroll 8
    for (int u = 0; u < 8; u += kWords<kLargest>) add_narrow<kLargest>(w, u, x, sums);
  } else {
#pragma GCC unroll 8
    for (int u = 0; u < 8; ++u)
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
        sums[r] = dot<kOffset>(sums[r], w[u], broadcast_quad(x + 32 * r + 4 * u));
  }
}

CADRE_INLINE Lanes to_lanes(Ints a) { return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)}; }

CADRE_INLINE Lanes load_f16_lanes(const void* p) { return load_f16(p); }
CADRE_INLINE __m256 half_e8m0_halves(__m128i bytes) {
  const __m256i e = _mm256_cvtepu8_epi32(bytes);
  __m256i value = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
  const __m256i subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
  value = _mm256_blendv_epi8(value, subnormal, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e));
  value =
      _mm256_blendv_epi8(value, _mm256_set1_epi32(0x7FC00000), _mm256_cmpeq_epi32(e, _mm256_set1_epi32(255)));
  return _mm256_castsi256_ps(value);
}
CADRE_INLINE Lanes load_e8m0_halves(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {half_e8m0_halves(bytes), half_e8m0_halves(_mm_srli_si128(bytes, 8))};
}

CADRE_INLINE uint32_t largest_magnitude_bits(Lanes a, Lanes b) {
  const __m256i mask = _mm256_set1_epi32(0x7FFFFFFF);
  const auto magnitude = [&](__m256 v) { return _mm256_and_si256(_mm256_castps_si256(v), mask); };
  const __m256i eight = _mm256_max_epi32(_mm256_max_epi32(magnitude(a.low), magnitude(a.high)),
                                         _mm256_max_epi32(magnitude(b.low), magnitude(b.high)));
  __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xB1));
  return static_cast<uint32_t>(_mm_cvtsi128_si32(four));
}
CADRE_INLINE int32_t store_rounded(int8_t* p, Lanes a) {
  const __m256i low = _mm256_cvtps_epi32(a.low);
  const __m256i high = _mm256_cvtps_epi32(a.high);
  // Packing works within 128-bit halves; the permutation puts the eights of words in order.
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xD8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
  const __m256i eight = _mm256_add_epi32(low, high);
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xB1));
  return _mm_cvtsi128_si32(four);
}
CADRE_INLINE void store_zero_bytes(int8_t* p) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_setzero_si128());
}

CADRE_INLINE void transpose_quads(const uint8_t* from, int64_t from_stride, int8_t* to, int64_t to_stride) {
  const __m128i order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m128i shift = _mm_set1_epi8(static_cast<char>(0x80));
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k)
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const __m128i four = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + c * from_stride + 16 * k));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + k * to_stride + 16 * c),
                       _mm_xor_si128(_mm_shuffle_epi8(four, order), shift));
    }
}

CADRE_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
// Of 16 registers: 8 of sums, 4 of keys or values, 1 of the other side, and what vpmaddubsw needs.
constexpr int kCodedRows = 2;
constexpr int kCodedVectors = 2;
constexpr int kPackedBlocks = 1;
constexpr int kPackedRowsAtOnce = 4;

}  // namespace
}  // namespace cadre
