#pragma once
/// Loops of training: product tiles, and gradients over one row. Included after lanes.h.

#include "cadre/kernels/cpu/loops/elements.h"

namespace cadre {
namespace {

void gemm_tile(const GemmTile& t) {
  Lanes sums[kGemmRows][kGemmVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kGemmRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < kGemmVectors; ++v) sums[r][v] = broadcast(0);
  // What the sums are added to comes from L2 or further: by the end of the loop it has arrived.
  if (t.add)
    for (int64_t r = 0; r < t.rows; ++r)
      for (int v = 0; v < kGemmVectors; ++v) __builtin_prefetch(t.c + r * t.c_stride + v * 16, 1);
  const float* a = t.a;
  const float* b = t.b;
  for (int64_t i = 0; i < t.k; ++i, a += kGemmRows, b += kGemmVectors * 16) {
    Lanes columns[kGemmVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kGemmVectors; ++v) columns[v] = load(b + v * 16);
#pragma GCC unroll 16
    for (int r = 0; r < kGemmRows; ++r) {
      const Lanes factor = broadcast(a[r]);
#pragma GCC unroll 2
      for (int v = 0; v < kGemmVectors; ++v) sums[r][v] = fma(factor, columns[v], sums[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kGemmRows; ++r) {
    if (r >= t.rows) return;
    float* c = t.c + r * t.c_stride;
#pragma GCC unroll 2
    for (int v = 0; v < kGemmVectors; ++v) {
      const int64_t left = t.columns - v * 16;
      if (left >= 16)
        store(c + v * 16, t.add ? add(load(c + v * 16), sums[r][v]) : sums[r][v]);
      else if (left > 0)
        store_tail(c + v * 16, t.add ? add(load_tail(c + v * 16, left), sums[r][v]) : sums[r][v], left);
    }
  }
}

/// 16 lines at a time. A tile of fewer overlaps its neighbour to the right, which is written after it.
void gemm_pack_along(const GemmPack& p) {
  for (int64_t first = 0; first < p.tile; first += 16) {
    float* out = p.out + first;
    for (int64_t k = 0; k < p.k; k += 16) {
      const int64_t width = p.k - k < 16 ? p.k - k : 16;
      Lanes block[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        block[i] = broadcast(0);
        if (first + i < p.count)
          block[i] = width == 16 ? load(p.rows[first + i] + k) : load_tail(p.rows[first + i] + k, width);
      }
      transpose(block);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i)
        if (i < width) store(out + (k + i) * p.tile, block[i]);
    }
  }
}

void gemm_pack_across(const GemmPack& p) {
  float* out = p.out;
  if (p.count == p.tile && p.tile % 16 == 0) {
    for (int64_t k = 0; k < p.k; ++k, out += p.tile)
      for (int64_t i = 0; i < p.tile; i += 16) store(out + i, load(p.rows[k] + i));
    return;
  }
  for (int64_t k = 0; k < p.k; ++k, out += p.tile)
    for (int64_t i = 0; i < p.tile; i += 16) {
      const int64_t left = p.count - i;
      if (left >= 16)
        store(out + i, load(p.rows[k] + i));
      else
        store(out + i, left > 0 ? load_tail(p.rows[k] + i, left) : broadcast(0));
    }
}

/// Calls full(i) and tail(i, rest) of for_lanes as one function of loads and stores of n lanes.
template <class Body>
CADRE_INLINE void for_groups(int64_t width, Body body) {
  for_lanes(
      width,
      [&](int64_t i) {
        body(
            i, [](const float* p) { return load(p); }, [](float* p, Lanes a) { store(p, a); });
      },
      [&](int64_t i, int64_t rest) {
        body(
            i, [&](const float* p) { return load_tail(p, rest); },
            [&](float* p, Lanes a) { store_tail(p, a, rest); });
      });
}

void rms_norm_grad_row(const RmsNormGradRow& a) {
  Lanes squares = broadcast(0), products = broadcast(0);
  for_groups(a.width, [&](int64_t i, auto get, auto) {
    const Lanes x = get(a.x + i);
    squares = fma(x, x, squares);
    products = fma(mul(get(a.gain + i), get(a.dy + i)), x, products);
  });
  const auto width = static_cast<float>(a.width);
  const float r = 1.0f / __builtin_sqrtf(sum(squares) / width + a.eps);
  const Lanes inverse = broadcast(r);
  const Lanes along_x = broadcast(-(r * r * r / width * sum(products)));
  for_groups(a.width, [&](int64_t i, auto get, auto put) {
    const Lanes x = get(a.x + i), dy = get(a.dy + i);
    const Lanes across = mul(inverse, mul(get(a.gain + i), dy));
    put(a.dx + i, add(get(a.dx + i), fma(along_x, x, across)));
    if (a.dgain != nullptr) put(a.dgain + i, fma(mul(dy, x), inverse, get(a.dgain + i)));
  });
}

float swiglu_grad_row(const SwigluGradRow& a) {
  const Lanes one = broadcast(1.0f), zero = broadcast(0), weight = broadcast(a.weight);
  Lanes products = broadcast(0);
  for_groups(a.width, [&](int64_t i, auto get, auto put) {
    const Lanes gate = get(a.gate + i), up = get(a.up + i), hidden = get(a.hidden + i);
    const Lanes unweighted = get(a.dhidden + i);
    products = fma(hidden, unweighted, products);
    const Lanes dhidden = mul(weight, unweighted);
    const Lanes sigmoid = div(one, add(one, exp_lanes(sub(zero, gate))));
    // silu' = sigmoid (1 + gate (1 - sigmoid))
    const Lanes slope = mul(sigmoid, fma(gate, sub(one, sigmoid), one));
    put(a.gate + i, mul(mul(dhidden, up), slope));
    put(a.up + i, mul(dhidden, mul(gate, sigmoid)));
    put(a.hidden + i, mul(weight, hidden));
  });
  return sum(products);
}

void softmax_grad_row(const SoftmaxGradRow& a) {
  Lanes products = broadcast(0);
  for_groups(a.count,
             [&](int64_t i, auto get, auto) { products = fma(get(a.p + i), get(a.dp + i), products); });
  const Lanes mean = broadcast(sum(products)), scale = broadcast(a.scale);
  for_groups(a.count, [&](int64_t i, auto get, auto put) {
    put(a.dp + i, mul(mul(get(a.p + i), sub(get(a.dp + i), mean)), scale));
  });
}

void adamw_range(const AdamWRange& a) {
  const Lanes scale = broadcast(a.gradient_scale), beta1 = broadcast(a.beta1), beta2 = broadcast(a.beta2);
  const Lanes rest1 = broadcast(1.0f - a.beta1), rest2 = broadcast(1.0f - a.beta2), eps = broadcast(a.eps);
  const Lanes inverse1 = broadcast(1.0f / a.correction1), inverse2 = broadcast(1.0f / a.correction2);
  const Lanes keep = broadcast(1.0f - a.learning_rate * a.decay), step = broadcast(-a.learning_rate);
  for_groups(a.count, [&](int64_t i, auto get, auto put) {
    const Lanes g = mul(scale, get(a.gradient + i));
    const Lanes m = fma(beta1, get(a.m + i), mul(rest1, g));
    const Lanes v = fma(beta2, get(a.v + i), mul(rest2, mul(g, g)));
    const Lanes direction = div(mul(m, inverse1), add(square_root(mul(v, inverse2)), eps));
    put(a.value + i, fma(step, direction, mul(keep, get(a.value + i))));
    put(a.m + i, m);
    put(a.v + i, v);
    put(a.gradient + i, broadcast(0));
  });
}

float square_sum(const float* x, int64_t count) {
  Lanes squares = broadcast(0);
  for_groups(count, [&](int64_t i, auto get, auto) {
    const Lanes value = get(x + i);
    squares = fma(value, value, squares);
  });
  return sum(squares);
}

void fill_gradients(CpuTable& table) {
  table.gemm_rows = kGemmRows;
  table.gemm_columns = kGemmVectors * 16;
  table.gemm_tile = gemm_tile;
  table.gemm_pack_along = gemm_pack_along;
  table.gemm_pack_across = gemm_pack_across;
  table.rms_norm_grad_row = rms_norm_grad_row;
  table.swiglu_grad_row = swiglu_grad_row;
  table.softmax_grad_row = softmax_grad_row;
  table.adamw_range = adamw_range;
  table.square_sum = square_sum;
}

}  // namespace
}  // namespace cadre
