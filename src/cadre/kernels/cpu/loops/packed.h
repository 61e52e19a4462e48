/// Products with packed weights (tensor/packed.h), written in quads: 64 bytes, four columns of 16 rows.
/// Included after an instruction set's lanes.h and quads.h.
///
/// Per group of 32 columns the products are integers, summed exactly; then y = fma(sum, w scale * x scale,
/// y), one chain in ascending groups. Codes are read as unsigned bytes, value + offset, because that is what
/// the dot-product instructions take; the offset is taken back by starting the sum at -offset * (sum of x).

namespace cadre {
namespace {

/// Codes of consecutive values in a 4-bit plane.
struct CodesQ4 {
  static constexpr int kOffset = 8;
  static constexpr int kLargest = 15;  ///< of value + offset
  static constexpr int64_t kCodeBytes = 256;
  static constexpr int64_t kScaleBytes = 32;
  CADRE_INLINE Lanes scales(const uint8_t* p) { return load_f16_lanes(p); }
  CADRE_INLINE void quads(const uint8_t* p, const Quad&, Quad (&w)[8]) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      const Quad both = load_quad(p + 64 * v);
      w[v] = bits<0, 0x0F>(both);
      w[v + 4] = bits<4, 0x0F>(both);
    }
  }
};

struct CodesMxfp4 {
  static constexpr int kOffset = 12;
  static constexpr int kLargest = 24;
  static constexpr int64_t kCodeBytes = 256;
  static constexpr int64_t kScaleBytes = 16;
  CADRE_INLINE Lanes scales(const uint8_t* p) { return load_e8m0_halves(p); }
  CADRE_INLINE void quads(const uint8_t* p, const Quad& values, Quad (&w)[8]) {
    CodesQ4::quads(p, values, w);
#pragma GCC unroll 8
    for (int u = 0; u < 8; ++u) w[u] = lookup(values, w[u]);
  }
};

struct CodesQ8 {
  static constexpr int kOffset = 128;
  static constexpr int kLargest = 255;
  static constexpr int64_t kCodeBytes = 512;
  static constexpr int64_t kScaleBytes = 32;
  CADRE_INLINE Lanes scales(const uint8_t* p) { return load_f16_lanes(p); }
  CADRE_INLINE void quads(const uint8_t* p, const Quad&, Quad (&w)[8]) {
#pragma GCC unroll 8
    for (int u = 0; u < 8; ++u) w[u] = load_quad(p + 64 * u);
  }
};

/// A 4-bit plane with the low bits and a 2-bit plane with the high ones.
struct CodesQ6 {
  static constexpr int kOffset = 32;
  static constexpr int kLargest = 63;
  static constexpr int64_t kCodeBytes = 384;
  static constexpr int64_t kScaleBytes = 32;
  CADRE_INLINE Lanes scales(const uint8_t* p) { return load_f16_lanes(p); }
  CADRE_INLINE void quads(const uint8_t* p, const Quad& values, Quad (&w)[8]) {
    CodesQ4::quads(p, values, w);
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      const Quad high = load_quad(p + 256 + 64 * v);
      w[4 * v] = merge(w[4 * v], bits<-4, 0x30>(high));
      w[4 * v + 1] = merge(w[4 * v + 1], bits<-2, 0x30>(high));
      w[4 * v + 2] = merge(w[4 * v + 2], bits<0, 0x30>(high));
      w[4 * v + 3] = merge(w[4 * v + 3], bits<2, 0x30>(high));
    }
  }
};

CADRE_INLINE void pairs_of_bits(const uint8_t* p, Quad (&w)[8]) {
#pragma GCC unroll 2
  for (int v = 0; v < 2; ++v) {
    const Quad four = load_quad(p + 64 * v);
    w[4 * v] = bits<0, 0x03>(four);
    w[4 * v + 1] = bits<2, 0x03>(four);
    w[4 * v + 2] = bits<4, 0x03>(four);
    w[4 * v + 3] = bits<6, 0x03>(four);
  }
}

/// A 2-bit plane with the low bits and a 1-bit plane with the high one.
struct CodesQ3 {
  static constexpr int kOffset = 70;
  static constexpr int kLargest = 140;
  static constexpr int64_t kCodeBytes = 192;
  static constexpr int64_t kScaleBytes = 32;
  CADRE_INLINE Lanes scales(const uint8_t* p) { return load_f16_lanes(p); }
  CADRE_INLINE void quads(const uint8_t* p, const Quad& values, Quad (&w)[8]) {
    pairs_of_bits(p, w);
    const Quad high = load_quad(p + 128);
    w[0] = lookup(values, merge(w[0], bits<-2, 0x04>(high)));
    w[1] = lookup(values, merge(w[1], bits<-1, 0x04>(high)));
    w[2] = lookup(values, merge(w[2], bits<0, 0x04>(high)));
    w[3] = lookup(values, merge(w[3], bits<1, 0x04>(high)));
    w[4] = lookup(values, merge(w[4], bits<2, 0x04>(high)));
    w[5] = lookup(values, merge(w[5], bits<3, 0x04>(high)));
    w[6] = lookup(values, merge(w[6], bits<4, 0x04>(high)));
    w[7] = lookup(values, merge(w[7], bits<5, 0x04>(high)));
  }
};

struct CodesQ2 {
  static constexpr int kOffset = 10;
  static constexpr int kLargest = 20;
  static constexpr int64_t kCodeBytes = 128;
  static constexpr int64_t kScaleBytes = 32;
  CADRE_INLINE Lanes scales(const uint8_t* p) { return load_f16_lanes(p); }
  CADRE_INLINE void quads(const uint8_t* p, const Quad& values, Quad (&w)[8]) {
    pairs_of_bits(p, w);
#pragma GCC unroll 8
    for (int u = 0; u < 8; ++u) w[u] = lookup(values, w[u]);
  }
};

/// A group's scales and codes lie together.
template <class Codes>
constexpr int64_t kGroupBytes = Codes::kScaleBytes + Codes::kCodeBytes;

/// Fetches the group that is a few groups ahead. With one row of x the processor does so by itself; with
/// more, the products of a group take longer than it looks ahead, and memory would wait for them.
template <class Codes>
CADRE_INLINE void prefetch_ahead(const uint8_t* group) {
  constexpr int64_t kAheadBytes = 1280;
#pragma GCC unroll 9
  for (int64_t i = 0; i < kGroupBytes<Codes>; i += 64) prefetch(group + kAheadBytes + i);
}

/// One group of kRows rows of x.
struct GroupOfX {
  const int8_t* codes;  ///< [rows][32]
  const float* scales;
  const int32_t* sums;
};

CADRE_INLINE GroupOfX group_of_x(const QuantisedRows& x, int64_t group, int64_t row) {
  const int64_t at = group * x.rows + row;
  return {x.codes + at * 32, x.scales + at, x.sums + at};
}

/// Adds one group: sixteen weight rows, unpacked in w, with kRows rows of x.
template <class Codes, int kRows>
CADRE_INLINE void add_group(const Quad (&w)[8], Lanes scales, const GroupOfX& x, Lanes (&y)[kRows]) {
  Ints sums[kRows];
  dot_group<Codes::kOffset, Codes::kLargest>(w, x.codes, x.sums, sums);
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) y[r] = fma(to_lanes(sums[r]), mul(scales, broadcast(x.scales[r])), y[r]);
}

CADRE_INLINE void store_columns(float* y, Lanes sums, int64_t cols) {
  if (cols >= 16)
    store(y, sums);
  else
    store_tail(y, sums, cols);
}

/// kRows rows of x, from `row` on: each block of weights is read once, its sums stay in registers.
template <class Codes, int kRows>
void packed_few_rows(const PackedProduct& a, int64_t row) {
  const Quad values = load_values(a.values);
  for (int64_t block = 0; block * 16 < a.cols; ++block) {
    const uint8_t* group = a.w + block * a.block_bytes;
    Lanes y[kRows];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) y[r] = broadcast(0);
    for (int64_t g = 0; g < a.groups; ++g, group += kGroupBytes<Codes>) {
      Quad w[8];
      Codes::quads(group + Codes::kScaleBytes, values, w);
      const Lanes w_scales = Codes::scales(group);
      if (kRows > 1) prefetch_ahead<Codes>(group);
      add_group<Codes>(w, w_scales, group_of_x(a.x, g, row), y);
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
      store_columns(a.y + (row + r) * a.y_stride + block * 16, y[r], a.cols - block * 16);
  }
}

/// Rows of x whose sums are kept while the groups of a weight block pass: their quantised group and their
/// sums take 4 to 10 KiB of the first-level cache.
constexpr int kPackedRowTile = 64;
/// Up to this many rows, products take no longer than fetching the weights.
constexpr int64_t kMemoryBoundRows = 16;

/// Adds one group to sums in memory: `rows` rows of x, kRows at a time while there are as many, with kBlocks
/// blocks of weights.
template <class Codes, int kRows, int kBlocks>
CADRE_INLINE void add_group_in_memory(const Quad (&w)[kBlocks][8], const Lanes (&w_scales)[kBlocks],
                                      GroupOfX x, float (*y)[kBlocks * 16], int64_t rows) {
  for (; rows >= kRows; rows -= kRows, y += kRows) {
#pragma GCC unroll 2
    for (int b = 0; b < kBlocks; ++b) {
      Lanes sums[kRows];
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) sums[r] = load(y[r] + b * 16);
      add_group<Codes>(w[b], w_scales[b], x, sums);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) store(y[r] + b * 16, sums[r]);
    }
    x = {x.codes + kRows * 32, x.scales + kRows, x.sums + kRows};
  }
  if constexpr (kRows > 1) add_group_in_memory<Codes, 1>(w, w_scales, x, y, rows);  // the rest
}

/// Rows [row, row + rows) with kBlocks blocks of weights from `block` on: each group is unpacked once for all
/// the rows, whose sums lie in memory.
template <class Codes, int kBlocks>
void packed_row_tile(const PackedProduct& a, int64_t row, int64_t rows, int64_t block) {
  alignas(64) float y[kPackedRowTile][kBlocks * 16];
  for (int64_t r = 0; r < rows; ++r)
#pragma GCC unroll 2
    for (int b = 0; b < kBlocks; ++b) store(y[r] + b * 16, broadcast(0));
  const Quad values = load_values(a.values);
  const uint8_t* first = a.w + block * a.block_bytes;
  for (int64_t g = 0; g < a.groups; ++g) {
    Quad w[kBlocks][8];
    Lanes w_scales[kBlocks];
#pragma GCC unroll 2
    for (int b = 0; b < kBlocks; ++b) {
      const uint8_t* group = first + b * a.block_bytes + g * kGroupBytes<Codes>;
      Codes::quads(group + Codes::kScaleBytes, values, w[b]);
      w_scales[b] = Codes::scales(group);
      if (rows <= kMemoryBoundRows) prefetch_ahead<Codes>(group);
    }
    add_group_in_memory<Codes, kPackedRowsAtOnce>(w, w_scales, group_of_x(a.x, g, row), y, rows);
  }
  for (int64_t r = 0; r < rows; ++r)
    for (int b = 0; b < kBlocks; ++b)
      store_columns(a.y + (row + r) * a.y_stride + (block + b) * 16, load(y[r] + b * 16),
                    a.cols - (block + b) * 16);
}

template <class Codes>
void packed_product(const PackedProduct& a) {
  if (a.x_rows == 1) return packed_few_rows<Codes, 1>(a, 0);
  if (a.x_rows == 2) return packed_few_rows<Codes, 2>(a, 0);
  if (a.x_rows == 3) return packed_few_rows<Codes, 3>(a, 0);
  if (a.x_rows == 4) return packed_few_rows<Codes, 4>(a, 0);
  const int64_t blocks = (a.cols + 15) / 16;
  int64_t block = 0;
  for (; block + kPackedBlocks <= blocks; block += kPackedBlocks)
    for (int64_t row = 0; row < a.x_rows; row += kPackedRowTile)
      packed_row_tile<Codes, kPackedBlocks>(
          a, row, a.x_rows - row < kPackedRowTile ? a.x_rows - row : kPackedRowTile, block);
  for (; block < blocks; ++block)
    for (int64_t row = 0; row < a.x_rows; row += kPackedRowTile)
      packed_row_tile<Codes, 1>(a, row, a.x_rows - row < kPackedRowTile ? a.x_rows - row : kPackedRowTile,
                                block);
}

/// Magnitudes below this are taken as 0: 127 divided by them would leave the range of f32.
constexpr float kSmallestMagnitude = 1e-35f;

void quantise_row(const QuantiseRow& a) {
  for (int64_t g = 0; g < a.groups; ++g) {
    const Lanes low = load(a.x + 32 * g);
    const Lanes high = load(a.x + 32 * g + 16);
    int8_t* codes = a.codes + g * a.code_stride;
    // As integers, magnitudes keep their order, infinity comes after all numbers, and NaN after infinity.
    const uint32_t bits = largest_magnitude_bits(low, high);
    float largest;
    __builtin_memcpy(&largest, &bits, sizeof largest);
    float scale = largest - largest;  // 0, or NaN for what is not finite
    float inverse = 0;
    if (bits < 0x7F800000u && largest >= kSmallestMagnitude) {
      scale = largest / 127.0f;
      inverse = 127.0f / largest;
    }
    int32_t sum = 0;
    if (inverse == 0) {
      store_zero_bytes(codes);
      store_zero_bytes(codes + 16);
    } else {
      sum = store_rounded(codes, mul(low, broadcast(inverse)));
      sum += store_rounded(codes + 16, mul(high, broadcast(inverse)));
    }
    a.scales[g * a.stride] = scale;
    a.sums[g * a.stride] = sum;
  }
}

/// Unpacks all sixteen rows, which are together in the registers anyway, and keeps one.
template <class Codes>
void decode_packed_row(const DecodePackedRow& a) {
  const Quad values = load_values(a.values);
  const uint8_t* group = a.block + a.first * kGroupBytes<Codes>;
  float* out = a.out;
  for (int64_t g = 0; g < a.count; ++g, out += 32, group += kGroupBytes<Codes>) {
    Quad w[8];
    Codes::quads(group + Codes::kScaleBytes, values, w);
    alignas(64) uint8_t bytes[8][64];
#pragma GCC unroll 8
    for (int u = 0; u < 8; ++u) store_quad(bytes[u], w[u]);
    alignas(64) float row_scales[16];
    store(row_scales, Codes::scales(group));
    const float scale = row_scales[a.row];
    for (int u = 0; u < 8; ++u)
      for (int j = 0; j < 4; ++j)
        out[4 * u + j] = scale * static_cast<float>(bytes[u][4 * a.row + j] - Codes::kOffset);
  }
}

template <class Codes>
constexpr PackedLoops kPackedLoops{packed_product<Codes>, decode_packed_row<Codes>};

void fill_packed(CpuTable& table) {
  table.quantise_row = quantise_row;
  table.q8 = kPackedLoops<CodesQ8>;
  table.q6 = kPackedLoops<CodesQ6>;
  table.q4 = kPackedLoops<CodesQ4>;
  table.mxfp4 = kPackedLoops<CodesMxfp4>;
  table.q3 = kPackedLoops<CodesQ3>;
  table.q2 = kPackedLoops<CodesQ2>;
}

}  // namespace
}  // namespace cadre
