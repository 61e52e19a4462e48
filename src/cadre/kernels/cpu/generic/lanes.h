#pragma once
/// Sixteen f32 lanes in portable C++: what cpu/loops/ is written in. The meaning of every function here is
/// the meaning of its namesake in avx2/lanes.h and avx512/lanes.h, bit for bit.

#include <cstdint>

#define CADRE_INLINE static inline __attribute__((always_inline))

namespace cadre {
namespace {

struct Lanes {
  float v[16];
};

CADRE_INLINE Lanes broadcast(float value) {
  Lanes r;
  for (int i = 0; i < 16; ++i) r.v[i] = value;
  return r;
}
CADRE_INLINE Lanes load(const void* p) {
  Lanes r;
  __builtin_memcpy(&r, p, sizeof r);
  return r;
}
/// The first n lanes; the others are 0.
CADRE_INLINE Lanes load_tail(const void* p, int64_t n) {
  Lanes r = broadcast(0);
  __builtin_memcpy(&r, p, static_cast<unsigned long>(n) * sizeof(float));
  return r;
}
CADRE_INLINE void store(float* p, const Lanes& a) { __builtin_memcpy(p, &a, sizeof a); }
CADRE_INLINE void store_tail(float* p, const Lanes& a, int64_t n) {
  __builtin_memcpy(p, &a, static_cast<unsigned long>(n) * sizeof(float));
}

CADRE_INLINE Lanes add(const Lanes& a, const Lanes& b) {
  Lanes r;
  for (int i = 0; i < 16; ++i) r.v[i] = a.v[i] + b.v[i];
  return r;
}
CADRE_INLINE Lanes sub(const Lanes& a, const Lanes& b) {
  Lanes r;
  for (int i = 0; i < 16; ++i) r.v[i] = a.v[i] - b.v[i];
  return r;
}
CADRE_INLINE Lanes mul(const Lanes& a, const Lanes& b) {
  Lanes r;
  for (int i = 0; i < 16; ++i) r.v[i] = a.v[i] * b.v[i];
  return r;
}
CADRE_INLINE Lanes div(const Lanes& a, const Lanes& b) {
  Lanes r;
  for (int i = 0; i < 16; ++i) r.v[i] = a.v[i] / b.v[i];
  return r;
}
CADRE_INLINE Lanes square_root(const Lanes& a) {
  Lanes r;
  for (int i = 0; i < 16; ++i) r.v[i] = __builtin_sqrtf(a.v[i]);
  return r;
}
/// a * b + c, rounded once.
CADRE_INLINE Lanes fma(const Lanes& a, const Lanes& b, const Lanes& c) {
  Lanes r;
  for (int i = 0; i < 16; ++i) r.v[i] = __builtin_fmaf(a.v[i], b.v[i], c.v[i]);
  return r;
}
/// a > b ? a : b, so b where either is not a number.
CADRE_INLINE Lanes max_else_second(const Lanes& a, const Lanes& b) {
  Lanes r;
  for (int i = 0; i < 16; ++i) r.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
  return r;
}
CADRE_INLINE Lanes min_else_second(const Lanes& a, const Lanes& b) {
  Lanes r;
  for (int i = 0; i < 16; ++i) r.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
  return r;
}

/// The transposed 16 x 16 matrix, in place.
CADRE_INLINE void transpose(Lanes (&rows)[16]) {
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < i; ++j) {
      const float other = rows[i].v[j];
      rows[i].v[j] = rows[j].v[i];
      rows[j].v[i] = other;
    }
}

/// s[l] += s[l + 8], then + 4, + 2, + 1.
CADRE_INLINE float sum(const Lanes& a) {
  float s[16];
  __builtin_memcpy(s, &a, sizeof s);
  for (int half = 8; half >= 1; half /= 2)
    for (int i = 0; i < half; ++i) s[i] += s[i + half];
  return s[0];
}
CADRE_INLINE float maximum(const Lanes& a) {
  float s[16];
  __builtin_memcpy(s, &a, sizeof s);
  for (int half = 8; half >= 1; half /= 2)
    for (int i = 0; i < half; ++i) s[i] = s[i] > s[i + half] ? s[i] : s[i + half];
  return s[0];
}
/// y[i] = sum(a[i])
template <int kCount>
CADRE_INLINE void store_sums(const Lanes (&a)[kCount], float* y) {
  for (int i = 0; i < kCount; ++i) y[i] = sum(a[i]);
}

/// a * 2^n, n being the integer in the low bits of `shifter` (1.5 * 2^23 + n), in two exact steps so that
/// results may be subnormal or overflow.
CADRE_INLINE Lanes scale_by_power(const Lanes& a, const Lanes& shifter) {
  Lanes r;
  for (int i = 0; i < 16; ++i) {
    int32_t n;
    __builtin_memcpy(&n, &shifter.v[i], sizeof n);
    n -= 0x4B400000;
    const int32_t half = n >> 1;
    const uint32_t first = static_cast<uint32_t>(half + 127) << 23;
    const uint32_t second = static_cast<uint32_t>(n - half + 127) << 23;
    float f, s;
    __builtin_memcpy(&f, &first, sizeof f);
    __builtin_memcpy(&s, &second, sizeof s);
    r.v[i] = a.v[i] * f * s;
  }
  return r;
}

/// Nearest even to bfloat16; a NaN stays one and becomes quiet.
CADRE_INLINE uint16_t bf16_bits(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}
CADRE_INLINE Lanes load_bf16_tail(const void* p, int64_t n) {
  uint16_t bits[16] = {};
  __builtin_memcpy(bits, p, static_cast<unsigned long>(n) * sizeof(uint16_t));
  Lanes r;
  for (int i = 0; i < 16; ++i) {
    const uint32_t wide = static_cast<uint32_t>(bits[i]) << 16;
    __builtin_memcpy(&r.v[i], &wide, sizeof wide);
  }
  return r;
}
CADRE_INLINE Lanes load_bf16(const void* p) { return load_bf16_tail(p, 16); }
CADRE_INLINE void store_bf16_tail(void* p, const Lanes& a, int64_t n) {
  uint16_t bits[16];
  for (int i = 0; i < 16; ++i) bits[i] = bf16_bits(a.v[i]);
  __builtin_memcpy(p, bits, static_cast<unsigned long>(n) * sizeof(uint16_t));
}
CADRE_INLINE void store_bf16(void* p, const Lanes& a) { store_bf16_tail(p, a, 16); }
CADRE_INLINE Lanes round_to_bf16(const Lanes& a) {
  Lanes r;
  for (int i = 0; i < 16; ++i) {
    const uint32_t wide = static_cast<uint32_t>(bf16_bits(a.v[i])) << 16;
    __builtin_memcpy(&r.v[i], &wide, sizeof wide);
  }
  return r;
}

/// (a0, b0, a1, b1, ...) of 32 values to (a0, a1, ...) and (b0, b1, ...), and back.
CADRE_INLINE void deinterleave(const Lanes& low, const Lanes& high, Lanes& a, Lanes& b) {
  for (int i = 0; i < 8; ++i) {
    a.v[i] = low.v[2 * i];
    b.v[i] = low.v[2 * i + 1];
    a.v[i + 8] = high.v[2 * i];
    b.v[i + 8] = high.v[2 * i + 1];
  }
}
CADRE_INLINE void interleave(const Lanes& a, const Lanes& b, Lanes& low, Lanes& high) {
  for (int i = 0; i < 8; ++i) {
    low.v[2 * i] = a.v[i];
    low.v[2 * i + 1] = b.v[i];
    high.v[2 * i] = a.v[i + 8];
    high.v[2 * i + 1] = b.v[i + 8];
  }
}

// Tile shapes, small where the registers are unknown: rows of x and of w in tile_product, weight rows taken
// together with 1, 2, 3 or 4 rows of x, and rows and, by their number, registers of columns in
// column_product.
constexpr int kXTile = 2;
constexpr int kWTile = 2;
constexpr int kDotColumns[5] = {0, 2, 2, 1, 1};
constexpr int kColumnRows = 2;
constexpr int kColumnVectors[kColumnRows + 1] = {0, 1, 1};
constexpr int kGemmRows = 4;
constexpr int kGemmVectors = 1;

}  // namespace
}  // namespace cadre
