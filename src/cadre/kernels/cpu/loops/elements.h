#pragma once
/// What loops over the elements of a row are made of, and exp. Included after lanes.h.

namespace cadre {
namespace {

/// Calls full(i) for each whole group of 16 in [0, width) and tail(i, rest) for what remains.
template <class Full, class Tail>
CADRE_INLINE void for_lanes(int64_t width, Full full, Tail tail) {
  int64_t i = 0;
  for (; i + 16 <= width; i += 16) full(i);
  if (i < width) tail(i, width - i);
}

/// y[i] = f(x[i])
template <class F>
CADRE_INLINE void map_row(const float* x, float* y, int64_t width, F f) {
  for_lanes(
      width, [&](int64_t i) { store(y + i, f(load(x + i))); },
      [&](int64_t i, int64_t rest) { store_tail(y + i, f(load_tail(x + i, rest)), rest); });
}

/// y[i] = f(a[i], b[i])
template <class F>
CADRE_INLINE void map_rows(const float* a, const float* b, float* y, int64_t width, F f) {
  for_lanes(
      width, [&](int64_t i) { store(y + i, f(load(a + i), load(b + i))); },
      [&](int64_t i, int64_t rest) {
        store_tail(y + i, f(load_tail(a + i, rest), load_tail(b + i, rest)), rest);
      });
}

/// exp(x) within 1.1 units in the last place, 0 below the smallest subnormal, NaN for NaN.
/// x = n ln 2 + r, |r| <= ln 2 / 2; exp(r) = 1 + r + r^2 q(r), q interpolating at Chebyshev nodes
/// (relative error 1.1e-8).
CADRE_INLINE Lanes exp_lanes(Lanes x) {
  x = min_else_second(broadcast(89.0f), x);  // exp(89) overflows, and NaN passes
  x = max_else_second(broadcast(-105.0f), x);
  // Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits.
  const Lanes shift = broadcast(0x1.8p23f);
  const Lanes shifted = fma(x, broadcast(0x1.715476p+0f), shift);
  const Lanes n = sub(shifted, shift);
  Lanes r = fma(n, broadcast(-0x1.62e43p-1f), x);
  r = fma(n, broadcast(0x1.05c61p-29f), r);
  Lanes q = broadcast(0x1.6d1106p-10f);
  q = fma(q, r, broadcast(0x1.120b6cp-7f));
  q = fma(q, r, broadcast(0x1.55551ap-5f));
  q = fma(q, r, broadcast(0x1.5554dcp-3f));
  q = fma(q, r, broadcast(0x1.0p-1f));
  const Lanes p = add(fma(mul(r, r), q, r), broadcast(1.0f));
  return scale_by_power(p, shifted);
}

}  // namespace
}  // namespace cadre
