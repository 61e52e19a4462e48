/// Outer products where all of x fits the registers beside the sums; avx2/lanes.h has its own. Included after
/// an instruction set's lanes.h.

namespace cadre {
namespace {

/// Adds the products of sixteen elements of kRows rows of x with those of kCols rows of w, which lie packed,
/// to the partial sums of each pair.
template <int kRows, int kCols>
CADRE_INLINE void add_outer(const float* x, const float* w, Lanes (&sums)[kRows * kCols]) {
  Lanes rows[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) rows[r] = load(x + r * 16);
#pragma GCC unroll 8
  for (int c = 0; c < kCols; ++c) {
    const Lanes all = load(w + c * 16);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sums[r * kCols + c] = fma(rows[r], all, sums[r * kCols + c]);
  }
}

}  // namespace
}  // namespace cadre
