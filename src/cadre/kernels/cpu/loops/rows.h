/// Loops over one row: norms, rotations, activations, softmax, conversions. Included after lanes.h, as
/// products.h is.

#include "cadre/kernels/cpu/loops/elements.h"

namespace cadre {
namespace {

/// exp of one number, in the arithmetic of exp_lanes.
CADRE_INLINE float exp_one(float x) {
  float lane[16];
  store(lane, exp_lanes(broadcast(x)));
  return lane[0];
}

constexpr float kInfinity = __builtin_huge_valf();

float softmax_block(const SoftmaxBlock& a) {
  float* s = a.scores;
  const Lanes scale = broadcast(a.scale);
  // Lanes beyond the end repeat -infinity, the neutral element of a maximum.
  Lanes highest = broadcast(-kInfinity);
  for_lanes(
      a.count,
      [&](int64_t i) {
        const Lanes scaled = mul(load(s + i), scale);
        store(s + i, scaled);
        highest = max_else_second(scaled, highest);
      },
      [&](int64_t i, int64_t rest) {
        float padded[16];
        store(padded, broadcast(-kInfinity));
        store_tail(padded, mul(load_tail(s + i, rest), scale), rest);
        store_tail(s + i, load(padded), rest);
        highest = max_else_second(load(padded), highest);
      });
  const float block_maximum = maximum(highest);
  const float before = *a.maximum;
  const float now = block_maximum > before ? block_maximum : before;
  // While every score is -infinity nothing has weight, and exp(-inf - -inf) would not be 0.
  const float reference = now == -kInfinity ? 0.0f : now;
  const Lanes subtract = broadcast(reference);
  Lanes sums = broadcast(0);
  for_lanes(
      a.count,
      [&](int64_t i) {
        const Lanes weight = exp_lanes(sub(load(s + i), subtract));
        store(s + i, weight);
        sums = add(sums, weight);
      },
      [&](int64_t i, int64_t rest) {
        store_tail(s + i, exp_lanes(sub(load_tail(s + i, rest), subtract)), rest);
        sums = add(sums, load_tail(s + i, rest));
      });
  const float rescale = exp_one(before - reference);
  *a.maximum = now;
  *a.sum = __builtin_fmaf(*a.sum, rescale, sum(sums));
  return rescale;
}

void softmax_merge(const SoftmaxMerge& a) {
  const float before = *a.maximum;
  const float now = a.from_maximum > before ? a.from_maximum : before;
  const float reference = now == -kInfinity ? 0.0f : now;
  const float keep = exp_one(before - reference), take = exp_one(a.from_maximum - reference);
  *a.maximum = now;
  *a.sum = __builtin_fmaf(a.from_sum, take, *a.sum * keep);
  const Lanes keep_lanes = broadcast(keep), take_lanes = broadcast(take);
  map_rows(a.from_values, a.values, a.values, a.width,
           [&](Lanes from, Lanes into) { return fma(from, take_lanes, mul(into, keep_lanes)); });
}

void rms_norm_row(const RmsNormRow& a) {
  Lanes squares = broadcast(0);
  for_lanes(
      a.width,
      [&](int64_t i) {
        const Lanes x = load(a.x + i);
        squares = fma(x, x, squares);
      },
      [&](int64_t i, int64_t rest) {
        const Lanes x = load_tail(a.x + i, rest);
        squares = fma(x, x, squares);
      });
  const float mean = sum(squares) / static_cast<float>(a.width);
  const Lanes inverse = broadcast(1.0f / __builtin_sqrtf(mean + a.eps));
  if (a.gain == nullptr)
    map_row(a.x, a.y, a.width, [&](Lanes x) { return mul(x, inverse); });
  else
    map_rows(a.x, a.gain, a.y, a.width, [&](Lanes x, Lanes gain) { return mul(mul(x, inverse), gain); });
}

CADRE_INLINE void rotate(Lanes& first, Lanes& second, Lanes cosine, Lanes sine) {
  const Lanes rotated = sub(mul(first, cosine), mul(second, sine));
  second = add(mul(first, sine), mul(second, cosine));
  first = rotated;
}

void rope_row(const RopeRow& a) {
  if (!a.interleaved) {
    float* upper = a.x + a.pairs;
    for_lanes(
        a.pairs,
        [&](int64_t i) {
          Lanes first = load(a.x + i), second = load(upper + i);
          rotate(first, second, load(a.cosine + i), load(a.sine + i));
          store(a.x + i, first);
          store(upper + i, second);
        },
        [&](int64_t i, int64_t rest) {
          Lanes first = load_tail(a.x + i, rest), second = load_tail(upper + i, rest);
          rotate(first, second, load_tail(a.cosine + i, rest), load_tail(a.sine + i, rest));
          store_tail(a.x + i, first, rest);
          store_tail(upper + i, second, rest);
        });
    return;
  }
  const auto rotate_pairs = [&](float* x, Lanes cosine, Lanes sine) {
    Lanes low = load(x), high = load(x + 16), first, second;
    deinterleave(low, high, first, second);
    rotate(first, second, cosine, sine);
    interleave(first, second, low, high);
    store(x, low);
    store(x + 16, high);
  };
  for_lanes(
      a.pairs, [&](int64_t i) { rotate_pairs(a.x + 2 * i, load(a.cosine + i), load(a.sine + i)); },
      [&](int64_t i, int64_t rest) {
        float padded[32] = {};
        for (int64_t j = 0; j < 2 * rest; ++j) padded[j] = a.x[2 * i + j];
        rotate_pairs(padded, load_tail(a.cosine + i, rest), load_tail(a.sine + i, rest));
        for (int64_t j = 0; j < 2 * rest; ++j) a.x[2 * i + j] = padded[j];
      });
}

void swiglu_row(const SwigluRow& a) {
  const Lanes one = broadcast(1.0f), zero = broadcast(0);
  const auto swiglu = [&](Lanes gate, Lanes up) {
    return mul(div(gate, add(one, exp_lanes(sub(zero, gate)))), up);
  };
  if (a.round_to_bf16)
    map_rows(a.gate, a.up, a.y, a.width,
             [&](Lanes gate, Lanes up) { return round_to_bf16(swiglu(gate, up)); });
  else
    map_rows(a.gate, a.up, a.y, a.width, swiglu);
}

void add_row(const float* x, float* y, int64_t width) {
  map_rows(x, y, y, width, [](Lanes a, Lanes b) { return add(b, a); });
}

void multiply_add_row(float factor, const float* x, float* y, int64_t width) {
  const Lanes f = broadcast(factor);
  map_rows(x, y, y, width, [&](Lanes a, Lanes b) { return fma(f, a, b); });
}

void multiply_row(float factor, float* y, int64_t width) {
  const Lanes f = broadcast(factor);
  map_row(y, y, width, [&](Lanes a) { return mul(a, f); });
}

void divide_row(const float* x, float divisor, float* y, int64_t width) {
  const Lanes d = broadcast(divisor);
  map_row(x, y, width, [&](Lanes a) { return div(a, d); });
}

void round_to_bf16_row(const float* x, float* y, int64_t width) {
  map_row(x, y, width, [](Lanes a) { return round_to_bf16(a); });
}

void store_bf16_row(const float* x, void* y, int64_t width) {
  auto* out = static_cast<char*>(y);
  for_lanes(
      width, [&](int64_t i) { store_bf16(out + 2 * i, load(x + i)); },
      [&](int64_t i, int64_t rest) { store_bf16_tail(out + 2 * i, load_tail(x + i, rest), rest); });
}

void decode_bf16(const void* source, float* out, int64_t elements) {
  const auto* bytes = static_cast<const char*>(source);
  for_lanes(
      elements, [&](int64_t i) { store(out + i, load_bf16(bytes + 2 * i)); },
      [&](int64_t i, int64_t rest) { store_tail(out + i, load_bf16_tail(bytes + 2 * i, rest), rest); });
}

void fill_rows(CpuTable& table) {
  table.softmax_block = softmax_block;
  table.softmax_merge = softmax_merge;
  table.rms_norm_row = rms_norm_row;
  table.rope_row = rope_row;
  table.swiglu_row = swiglu_row;
  table.add_row = add_row;
  table.multiply_add_row = multiply_add_row;
  table.multiply_row = multiply_row;
  table.divide_row = divide_row;
  table.round_to_bf16_row = round_to_bf16_row;
  table.store_bf16_row = store_bf16_row;
  table.decode_bf16 = decode_bf16;
}

}  // namespace
}  // namespace cadre
