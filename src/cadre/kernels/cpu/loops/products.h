/// The product loops over sixteen lanes. Included after an instruction set's lanes.h, which is why it has no
/// include guard of its own and no includes: one text, compiled once per instruction set, gives one order.

namespace cadre {
namespace {

struct F32Source {
  static constexpr int64_t kBytes = 4;
  CADRE_INLINE Lanes lanes(const void* p) { return load(p); }
  CADRE_INLINE Lanes lanes_tail(const void* p, int64_t n) { return load_tail(p, n); }
};
struct Bf16Source {
  static constexpr int64_t kBytes = 2;
  CADRE_INLINE Lanes lanes(const void* p) { return load_bf16(p); }
  CADRE_INLINE Lanes lanes_tail(const void* p, int64_t n) { return load_bf16_tail(p, n); }
};

/// Adds the products of one step of 16 elements to a column of kRows x kCols partial sums.
template <int kRows, int kCols>
CADRE_INLINE void add_step(const Lanes (&x)[kRows], Lanes w, int column, Lanes (&sums)[kRows * kCols]) {
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) sums[r * kCols + column] = fma(x[r], w, sums[r * kCols + column]);
}

template <class Source, int kRows, int kCols>
CADRE_INLINE void dot_tile(const DotRows& a, int64_t row, int64_t col) {
  Lanes sums[kRows * kCols];
#pragma GCC unroll 32
  for (int i = 0; i < kRows * kCols; ++i) sums[i] = broadcast(0);
  const char* w = static_cast<const char*>(a.w) + col * a.w_stride;
  int64_t k = 0;
  for (; k + 16 <= a.k; k += 16) {
    Lanes x[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) x[r] = load(a.x[row + r] + k);
#pragma GCC unroll 8
    for (int c = 0; c < kCols; ++c)
      add_step<kRows, kCols>(x, Source::lanes(w + c * a.w_stride + k * Source::kBytes), c, sums);
  }
  if (const int64_t rest = a.k - k; rest > 0) {
    Lanes x[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) x[r] = load_tail(a.x[row + r] + k, rest);
#pragma GCC unroll 8
    for (int c = 0; c < kCols; ++c)
      add_step<kRows, kCols>(x, Source::lanes_tail(w + c * a.w_stride + k * Source::kBytes, rest), c, sums);
  }
  float results[kRows * kCols];
  store_sums(sums, results);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int c = 0; c < kCols; ++c) a.y[(row + r) * a.y_stride + col + c] = results[r * kCols + c];
}

/// kRows rows of x, starting at `row`, with the weight rows [begin, end).
template <class Source, int kRows>
CADRE_INLINE void dot_row_group(const DotRows& a, int64_t row, int64_t begin, int64_t end) {
  constexpr int kCols = kDotColumns[kRows];
  int64_t col = begin;
  for (; col + kCols <= end; col += kCols) dot_tile<Source, kRows, kCols>(a, row, col);
  for (; col < end; ++col) dot_tile<Source, kRows, 1>(a, row, col);
}

/// Weight rows are the outer loop: they come from memory once and stay in the cache for all rows of x.
template <class Source>
void dot_rows(const DotRows& a) {
  const int64_t group = a.x_rows <= 4 ? a.w_rows : 24;
  for (int64_t begin = 0; begin < a.w_rows; begin += group) {
    const int64_t end = begin + group < a.w_rows ? begin + group : a.w_rows;
    int64_t row = 0;
    for (; row + 4 <= a.x_rows; row += 4) dot_row_group<Source, 4>(a, row, begin, end);
    if (a.x_rows - row == 3) dot_row_group<Source, 3>(a, row, begin, end);
    if (a.x_rows - row == 2) dot_row_group<Source, 2>(a, row, begin, end);
    if (a.x_rows - row == 1) dot_row_group<Source, 1>(a, row, begin, end);
  }
}

template <class Source>
void pack_rows(const PackRows& a) {
  const int64_t steps = (a.k + 15) / 16;
  for (int64_t r = 0; r < a.tile; ++r) {
    float* out = a.out + r * 16;
    if (r >= a.count) {
      for (int64_t s = 0; s < steps; ++s) store(out + s * a.tile * 16, broadcast(0));
      continue;
    }
    const char* row = static_cast<const char*>(a.rows[r]);
    int64_t k = 0;
    for (; k + 16 <= a.k; k += 16, out += a.tile * 16) store(out, Source::lanes(row + k * Source::kBytes));
    if (k < a.k) store(out, Source::lanes_tail(row + k * Source::kBytes, a.k - k));
  }
}

void tile_product(const TileProduct& a) {
  constexpr int kSums = kXTile * kWTile;
  Lanes sums[kSums];
#pragma GCC unroll 32
  for (int i = 0; i < kSums; ++i) sums[i] = a.first ? broadcast(0) : load(a.partial + i * 16);
  const float* x = a.x;
  const float* w = a.w;
  for (int64_t step = 0; step < a.steps; ++step, x += kXTile * 16, w += kWTile * 16)
    add_outer<kXTile, kWTile>(x, w, sums);
  if (!a.last) {
#pragma GCC unroll 32
    for (int i = 0; i < kSums; ++i) store(a.partial + i * 16, sums[i]);
    return;
  }
  float results[kSums];
  store_sums(sums, results);
  for (int64_t r = 0; r < a.rows; ++r)
    for (int64_t c = 0; c < a.cols; ++c) a.y[r * a.y_stride + c] = results[r * kWTile + c];
}

/// kRows rows of a strip of kVectors * 16 columns; with kTail a strip of only `tail` < 16 columns.
template <class Source, int kRows, int kVectors, bool kTail>
CADRE_INLINE void column_tile(const ColumnProduct& a, int64_t row, int64_t column, int64_t tail) {
  Lanes sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    const float* y = a.y + (row + r) * a.y_stride + column;
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) {
      sums[r][i] = broadcast(0);
      if (a.rescale != nullptr)
        sums[r][i] =
            mul(kTail ? load_tail(y + i * 16, tail) : load(y + i * 16), broadcast(a.rescale[row + r]));
    }
  }
  const char* v = static_cast<const char*>(a.v) + column * Source::kBytes;
  const float* p = a.p + row * a.p_stride;
  for (int64_t j = 0; j < a.count; ++j, v += a.v_stride, ++p) {
    Lanes values[kVectors];
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) {
      const char* source = v + i * 16 * Source::kBytes;
      values[i] = kTail ? Source::lanes_tail(source, tail) : Source::lanes(source);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Lanes factor = broadcast(p[r * a.p_stride]);
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; ++i) sums[r][i] = fma(factor, values[i], sums[r][i]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    float* y = a.y + (row + r) * a.y_stride + column;
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) {
      if (kTail)
        store_tail(y + i * 16, sums[r][i], tail);
      else
        store(y + i * 16, sums[r][i]);
    }
  }
}

/// Rows [begin, end) of a strip, kRows at a time.
template <class Source, int kRows, int kVectors, bool kTail>
CADRE_INLINE void column_strip(const ColumnProduct& a, int64_t begin, int64_t end, int64_t column,
                               int64_t tail) {
  for (int64_t row = begin; row < end; row += kRows)
    column_tile<Source, kRows, kVectors, kTail>(a, row, column, tail);
}

/// The rows from `begin` on: kRows at a time while there are as many, then the rest.
template <class Source, int kRows>
CADRE_INLINE void column_rows(const ColumnProduct& a, int64_t begin) {
  constexpr int kVectors = kColumnVectors[kRows];
  const int64_t end = begin + (a.rows - begin) / kRows * kRows;
  int64_t column = 0;
  for (; column + kVectors * 16 <= a.width; column += kVectors * 16)
    column_strip<Source, kRows, kVectors, false>(a, begin, end, column, 0);
  for (; column + 16 <= a.width; column += 16)
    column_strip<Source, kRows, 1, false>(a, begin, end, column, 0);
  if (column < a.width) column_strip<Source, kRows, 1, true>(a, begin, end, column, a.width - column);
  if constexpr (kRows > 1) column_rows<Source, kRows / 2>(a, end);
}

template <class Source>
void column_product(const ColumnProduct& a) {
  column_rows<Source, kColumnRows>(a, 0);
}

void fill_products(CpuTable& table) {
  table.dot_rows_f32 = dot_rows<F32Source>;
  table.dot_rows_bf16 = dot_rows<Bf16Source>;
  table.x_tile = kXTile;
  table.w_tile = kWTile;
  table.pack_f32 = pack_rows<F32Source>;
  table.pack_bf16 = pack_rows<Bf16Source>;
  table.tile_product = tile_product;
  table.column_product_f32 = column_product<F32Source>;
  table.column_product_bf16 = column_product<Bf16Source>;
}

}  // namespace
}  // namespace cadre
