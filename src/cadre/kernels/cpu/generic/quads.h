#pragma once
/// A quad, 64 bytes, and sixteen 32-bit integers in portable C++: what loops/packed.h is written in, beside
/// lanes.h. The meaning of every function here is the meaning of its namesakes, bit for bit.

namespace cadre {
namespace {

struct Quad {
  uint8_t b[64];
};
struct Ints {
  int32_t v[16];
};

CADRE_INLINE Quad load_quad(const void* p) {
  Quad r;
  __builtin_memcpy(&r, p, sizeof r);
  return r;
}
CADRE_INLINE void store_quad(void* p, const Quad& a) { __builtin_memcpy(p, &a, sizeof a); }
/// Each byte shifted right by kShift (left if negative), then masked.
template <int kShift, int kMask>
CADRE_INLINE Quad bits(const Quad& a) {
  Quad r;
  for (int i = 0; i < 64; ++i)
    r.b[i] = static_cast<uint8_t>((kShift < 0 ? a.b[i] << -kShift : a.b[i] >> kShift) & kMask);
  return r;
}
/// a | b
CADRE_INLINE Quad merge(const Quad& a, const Quad& b) {
  Quad r;
  for (int i = 0; i < 64; ++i) r.b[i] = a.b[i] | b.b[i];
  return r;
}
/// The table of 16 bytes at p, for lookup.
CADRE_INLINE Quad load_values(const uint8_t* p) {
  Quad r;
  for (int i = 0; i < 64; ++i) r.b[i] = p[i % 16];
  return r;
}
/// Each byte, below 16, replaced by the table's.
CADRE_INLINE Quad lookup(const Quad& values, const Quad& a) {
  Quad r;
  for (int i = 0; i < 64; ++i) r.b[i] = values.b[a.b[i]];
  return r;
}
/// The four bytes at p, sixteen times.
CADRE_INLINE Quad broadcast_quad(const int8_t* p) {
  Quad r;
  for (int i = 0; i < 64; ++i) r.b[i] = static_cast<uint8_t>(p[i % 4]);
  return r;
}

CADRE_INLINE Ints zero_ints() { return {}; }
/// What a sum of dot<kOffset> over bytes that add up to `sum` starts from.
template <int kOffset>
CADRE_INLINE Ints start(int32_t sum) {
  Ints r;
  for (int i = 0; i < 16; ++i) r.v[i] = -kOffset * sum;
  return r;
}
/// Adds to each lane the products of its four unsigned bytes of w with the signed bytes of x.
template <int kOffset>
CADRE_INLINE Ints dot(const Ints& sums, const Quad& w, const Quad& x) {
  Ints r = sums;
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 4; ++j) r.v[i] += w.b[4 * i + j] * static_cast<int8_t>(x.b[4 * i + j]);
  return r;
}
/// The products of a group, sixteen weight rows in w, with kRows rows of x, 32 bytes each: as dot<kOffset>
/// over its eight quads from start<kOffset>. No byte of w is above kLargest.
template <int kOffset, int kLargest, int kRows>
CADRE_INLINE void dot_group(const Quad (&w)[8], const int8_t* x, const int32_t* x_sums, Ints (&sums)[kRows]) {
  for (int r = 0; r < kRows; ++r) {
    sums[r] = start<kOffset>(x_sums[r]);
    for (int u = 0; u < 8; ++u) sums[r] = dot<kOffset>(sums[r], w[u], broadcast_quad(x + 32 * r + 4 * u));
  }
}
CADRE_INLINE Lanes to_lanes(const Ints& a) {
  Lanes r;
  for (int i = 0; i < 16; ++i) r.v[i] = static_cast<float>(a.v[i]);
  return r;
}

CADRE_INLINE float float_of_bits(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}
/// 16 f16.
CADRE_INLINE Lanes load_f16_lanes(const void* p) {
  uint16_t halves[16];
  __builtin_memcpy(halves, p, sizeof halves);
  Lanes r;
  for (int i = 0; i < 16; ++i) {
    const uint32_t sign = static_cast<uint32_t>(halves[i] & 0x8000u) << 16;
    const uint32_t magnitude = halves[i] & 0x7FFFu;
    if (magnitude >= 0x7C00u) {
      const uint32_t quiet = magnitude > 0x7C00u ? 0x400000u : 0;
      r.v[i] = float_of_bits(sign | 0x7F800000u | quiet | ((magnitude & 0x3FFu) << 13));
    } else {
      // As the top of an f32 whose exponent is too small by 112, subnormals included.
      r.v[i] = float_of_bits(sign | (magnitude << 13)) * 0x1p112f;
    }
  }
  return r;
}
/// 16 E8M0, halved: 2^(byte - 128), NaN for 255.
CADRE_INLINE Lanes load_e8m0_halves(const uint8_t* p) {
  Lanes r;
  for (int i = 0; i < 16; ++i) {
    uint32_t value = p[i] < 2 ? 0x00200000u << p[i] : static_cast<uint32_t>(p[i] - 1) << 23;
    if (p[i] == 255) value = 0x7FC00000u;
    r.v[i] = float_of_bits(value);
  }
  return r;
}

/// The bits of the largest of 32 magnitudes.
CADRE_INLINE uint32_t largest_magnitude_bits(const Lanes& a, const Lanes& b) {
  uint32_t largest = 0;
  for (int i = 0; i < 32; ++i) {
    uint32_t value;
    __builtin_memcpy(&value, i < 16 ? &a.v[i] : &b.v[i - 16], sizeof value);
    value &= 0x7FFFFFFFu;
    largest = value > largest ? value : largest;
  }
  return largest;
}
/// Stores 16 values of magnitude below 128 rounded to bytes, ties to even; returns the sum of the bytes.
CADRE_INLINE int32_t store_rounded(int8_t* p, const Lanes& a) {
  int32_t sum = 0;
  for (int i = 0; i < 16; ++i) {
    p[i] = static_cast<int8_t>(__builtin_nearbyintf(a.v[i]));
    sum += p[i];
  }
  return sum;
}
CADRE_INLINE void store_zero_bytes(int8_t* p) { __builtin_memset(p, 0, 16); }

/// Four quads of 16 entries, `from_stride` bytes apart, each byte + 128, to four quads of 16 channels: quad k
/// has entries 4 k to 4 k + 3 as signed bytes.
CADRE_INLINE void transpose_quads(const uint8_t* from, int64_t from_stride, int8_t* to, int64_t to_stride) {
  for (int k = 0; k < 4; ++k)
    for (int c = 0; c < 16; ++c)
      for (int j = 0; j < 4; ++j)
        to[k * to_stride + c * 4 + j] =
            static_cast<int8_t>(from[c / 4 * from_stride + (4 * k + j) * 4 + c % 4] ^ 0x80);
}

CADRE_INLINE void prefetch(const void*) {}
/// Rows and quads of a tile in attention.
constexpr int kCodedRows = 2;
constexpr int kCodedVectors = 1;
constexpr int kPackedBlocks = 1;      ///< blocks of weights taken together with many rows of x
constexpr int kPackedRowsAtOnce = 1;  ///< of them

}  // namespace
}  // namespace cadre
