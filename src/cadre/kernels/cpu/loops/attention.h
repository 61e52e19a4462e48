/// Attention over an int8 cache, written in lanes and quads. Included after an instruction set's lanes.h and
/// quads.h. Sums of products of codes are integers and exact, so only the f32 steps have an order.

namespace cadre {
namespace {

/// Magnitudes below this are taken as 0: 127 divided by them would leave the range of f32.
constexpr float kSmallestCoded = 1e-35f;

/// What codes of values up to `largest` are multiplied with, and the factor that makes them.
struct CodeScale {
  float scale;
  float inverse;
};

CADRE_INLINE CodeScale code_scale(float largest) {
  if (!(largest < __builtin_huge_valf())) return {largest - largest, 0.0f};  // NaN
  if (largest < kSmallestCoded) return {0.0f, 0.0f};
  return {largest / 127.0f, 127.0f / largest};
}

void code_group(const CodeGroup& a) {
  const int64_t vectors = (a.count + 15) / 16;
  Lanes x[4];
  uint32_t bits = 0;
  for (int64_t i = 0; i < vectors; ++i) {
    const int64_t rest = a.count - 16 * i;
    x[i] = rest >= 16 ? load(a.x + 16 * i) : load_tail(a.x + 16 * i, rest);
    // As integers, magnitudes keep their order, infinity comes after all numbers, and NaN after infinity.
    const uint32_t largest = largest_magnitude_bits(x[i], x[i]);
    bits = largest > bits ? largest : bits;
  }
  float largest;
  __builtin_memcpy(&largest, &bits, sizeof largest);
  const CodeScale scale = code_scale(largest);
  *a.scale = scale.scale;
  *a.sum = 0;
  for (int64_t i = 0; i < vectors; ++i) {
    if (scale.inverse == 0)
      store_zero_bytes(a.codes + 16 * i);
    else
      *a.sum += store_rounded(a.codes + 16 * i, mul(x[i], broadcast(scale.inverse)));
  }
}

/// kRows queries from `row` on with kVectors times 16 keys from `key` on.
template <int kRows, int kVectors>
CADRE_INLINE void coded_score_tile(const CodedScores& a, int64_t row, int64_t key) {
  const CodedQuery* q = a.queries + row;
  Lanes scores[kRows][kVectors];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) scores[r][i] = broadcast(0);
  const char* plain = static_cast<const char*>(a.key_plain) + key * 2;
  for (int64_t c = 0; c < a.plain; ++c, plain += a.page_tokens * 2) {
    Lanes keys[kVectors];
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) keys[i] = load_bf16(plain + i * 32);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const Lanes x = broadcast(q[r].plain[c]);
#pragma GCC unroll 4
      for (int i = 0; i < kVectors; ++i) scores[r][i] = fma(x, keys[i], scores[r][i]);
    }
  }
  const uint8_t* codes = a.key_codes + key * 4;
  const float* scales = a.key_scales + key;
  // The next page is fetched a share per tile of queries, or the multiplications would wait for it.
  const int64_t share = (a.next_bytes / 64 * kRows / a.count + 1) * 64;
  const int64_t ahead_begin = row / kRows * share;
  const int64_t ahead_end = key > 0                              ? 0
                            : ahead_begin + share < a.next_bytes ? ahead_begin + share
                                                                 : a.next_bytes;
  int64_t ahead = ahead_begin;
  for (int64_t c = 0, g = 0; c < a.channels; ++g, scales += a.page_tokens) {
    const int64_t end = c + 64 < a.channels ? c + 64 : a.channels;
    Ints sums[kRows][kVectors];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int i = 0; i < kVectors; ++i) sums[r][i] = start<128>(q[r].sums[g]);
    for (; c < end; c += 4, codes += a.page_tokens * 4) {
      Quad keys[kVectors];
#pragma GCC unroll 4
      for (int i = 0; i < kVectors; ++i) keys[i] = load_quad(codes + i * 64);
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i, ahead += 64)
        if (ahead < ahead_end) prefetch(a.next + ahead);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const Quad x = broadcast_quad(q[r].codes + c);
#pragma GCC unroll 4
        for (int i = 0; i < kVectors; ++i) sums[r][i] = dot<128>(sums[r][i], keys[i], x);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) {
      const Lanes key_scale = load(scales + i * 16);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
        scores[r][i] = fma(to_lanes(sums[r][i]), mul(broadcast(q[r].scales[g]), key_scale), scores[r][i]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) store(a.y + (row + r) * a.y_stride + key + i * 16, scores[r][i]);
}

template <int kRows>
CADRE_INLINE void coded_score_rows(const CodedScores& a, int64_t row) {
  const int64_t keys = (a.keys + 15) / 16 * 16;
  int64_t key = 0;
  for (; key + kCodedVectors * 16 <= keys; key += kCodedVectors * 16)
    coded_score_tile<kRows, kCodedVectors>(a, row, key);
  for (; key < keys; key += 16) coded_score_tile<kRows, 1>(a, row, key);
}

void coded_scores(const CodedScores& a) {
  int64_t row = 0;
  for (; row + kCodedRows <= a.count; row += kCodedRows) coded_score_rows<kCodedRows>(a, row);
  for (; row < a.count; ++row) coded_score_rows<1>(a, row);
}

void transpose_codes(const TransposeCodes& a) {
  // 16 channels of 16 entries at a time.
  for (int64_t key = 0; key < a.keys; key += 16)
    for (int64_t c = 0; c < a.channels; c += 16)
      transpose_quads(a.codes + (c * a.page_tokens + key * 4), a.page_tokens * 4,
                      a.out + (key * a.channels + c * 4), a.channels * 4);
}

void coded_weights(const CodedWeights& a) {
  const int64_t whole = a.keys / 16 * 16, rest = a.keys - whole;
  for (int64_t g = 0; g < a.groups; ++g) {
    const float* scales = a.value_scales + g * a.page_tokens;
    int8_t* u = a.u + g * a.page_tokens;
    Lanes highest = broadcast(0), poison = broadcast(0);
    const auto take = [&](Lanes w) {
      highest = max_else_second(w, highest);
      poison = fma(w, broadcast(0), poison);  // a maximum forgets a NaN
    };
    for (int64_t j = 0; j < whole; j += 16) take(mul(load(a.p + j), load(scales + j)));
    if (rest > 0) take(mul(load_tail(a.p + whole, rest), load_tail(scales + whole, rest)));
    const CodeScale scale = code_scale(maximum(highest) + sum(poison));
    const Lanes inverse = broadcast(scale.inverse);
    a.scales[g] = scale.scale;
    if (scale.inverse == 0) {
      for (int64_t j = 0; j < a.keys; j += 16) store_zero_bytes(u + j);
      continue;
    }
    for (int64_t j = 0; j < whole; j += 16)
      store_rounded(u + j, mul(mul(load(a.p + j), load(scales + j)), inverse));
    if (rest > 0)
      store_rounded(u + whole,
                    mul(mul(load_tail(a.p + whole, rest), load_tail(scales + whole, rest)), inverse));
  }
}

/// kRows queries from `row` on, kVectors times 16 channels of group g from channel c on.
template <int kRows, int kVectors>
CADRE_INLINE void coded_value_tile(const CodedValues& a, int64_t row, int64_t g, int64_t c) {
  Ints sums[kRows][kVectors];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) sums[r][i] = zero_ints();
  const int8_t* u = a.u + (row * a.groups + g) * a.page_tokens;
  const int8_t* codes = a.codes + c * 4;
  for (int64_t j = 0; j < a.keys; j += 4, codes += a.channels * 4) {
    Quad values[kVectors];
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) values[i] = load_quad(codes + i * 64);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const Quad w = broadcast_quad(u + r * a.groups * a.page_tokens + j);
#pragma GCC unroll 4
      for (int i = 0; i < kVectors; ++i) sums[r][i] = dot<0>(sums[r][i], w, values[i]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    const Lanes scale = broadcast(a.scales[(row + r) * a.groups + g]);
    const Lanes rescale = broadcast(a.rescale[row + r]);
    float* y = a.y + (row + r) * a.y_stride + c;
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i)
      store(y + i * 16, fma(to_lanes(sums[r][i]), scale, mul(load(y + i * 16), rescale)));
  }
}

template <int kRows>
CADRE_INLINE void coded_value_rows(const CodedValues& a, int64_t row, int64_t g) {
  const int64_t end = 64 * g + 64 < a.width ? 64 * g + 64 : a.width;
  int64_t c = 64 * g;
  for (; c + kCodedVectors * 16 <= end; c += kCodedVectors * 16)
    coded_value_tile<kRows, kCodedVectors>(a, row, g, c);
  for (; c < end; c += 16) coded_value_tile<kRows, 1>(a, row, g, c);
}

void coded_values(const CodedValues& a) {
  for (int64_t g = 0; 64 * g < a.width; ++g) {
    int64_t row = 0;
    for (; row + kCodedRows <= a.rows; row += kCodedRows) coded_value_rows<kCodedRows>(a, row, g);
    for (; row < a.rows; ++row) coded_value_rows<1>(a, row, g);
  }
}

void fill_coded_attention(CpuTable& table) {
  table.code_group = code_group;
  table.coded_scores = coded_scores;
  table.transpose_codes = transpose_codes;
  table.coded_weights = coded_weights;
  table.coded_values = coded_values;
}

}  // namespace
}  // namespace cadre
