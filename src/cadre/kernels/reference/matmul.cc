#include <algorithm>
#include <cmath>
#include <limits>

#include "cadre/kernels/reference/reference.h"
#include "cadre/tensor/convert.h"

namespace cadre::reference {

namespace {

/// x to multiples of (largest magnitude of its 32) / 127. What is not finite makes its group NaN, and
/// magnitudes below 1e-35 count as 0.
void round_to_int8(std::vector<float>& x) {
  for (size_t group = 0; group < x.size(); group += 32) {
    float largest = 0;
    bool finite = true;
    for (size_t i = group; i < group + 32; ++i) {
      largest = std::max(largest, std::abs(x[i]));
      finite = finite && std::isfinite(x[i]);
    }
    for (size_t i = group; i < group + 32; ++i) {
      if (!finite)
        x[i] = std::numeric_limits<float>::quiet_NaN();
      else if (largest < 1e-35f)
        x[i] = 0;
      else
        x[i] = std::nearbyint(x[i] * (127.0f / largest)) * (largest / 127.0f);
    }
  }
}

}  // namespace

double input(float value, Compute compute) {
  return double{compute == Compute::kBF16 ? round_to_bf16(value) : value};
}

double dot(const float* a, const float* b, int64_t count, Compute compute) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += input(a[i], compute) * input(b[i], compute);
  return sum;
}

std::vector<float> rounded_inputs(const float* x, int64_t width, const Weight& w, Compute compute) {
  std::vector<float> rounded(x, x + width);
  if (compute == Compute::kBF16)
    for (float& value : rounded) value = round_to_bf16(value);
  if (compute == Compute::kInt8 && is_packed(w.dtype)) round_to_int8(rounded);
  return rounded;
}

std::vector<float> decoded(const Weight& w, Compute compute) {
  std::vector<float> values(static_cast<size_t>(w.rows * w.cols));
  for (int64_t r = 0; r < w.rows; ++r) decode_weight_row(w, r, values.data() + r * w.cols);
  if (compute == Compute::kBF16)
    for (float& value : values) value = round_to_bf16(value);
  return values;
}

void matmul(const Matmul& args) {
  const std::vector<float> w = decoded(args.w, args.compute);
  for (int64_t t = 0; t < args.x.rows; ++t) {
    const std::vector<float> x = rounded_inputs(args.x.row(t), args.w.cols, args.w, args.compute);
    for (int64_t o = 0; o < args.w.rows; ++o) {
      double sum = 0;
      for (int64_t k = 0; k < args.w.cols; ++k)
        sum += double{x[static_cast<size_t>(k)]} * double{w[static_cast<size_t>(o * args.w.cols + k)]};
      args.y.row(t)[o] = static_cast<float>(sum);
    }
  }
}

void head_matmul(const HeadMatmul& args) {
  const int64_t rows = args.transposed ? args.x.width : args.y.width;
  const Compute inputs =
      args.compute == Compute::kInt8 && !heads_take_int8(args) ? Compute::kF32 : args.compute;
  for (int64_t h = 0; h < args.x.heads; ++h) {
    const std::vector<float> w =
        decoded(args.w.slice_rows(args.first_row + h * args.head_rows, rows), args.compute);
    for (int64_t t = 0; t < args.x.rows; ++t) {
      const std::vector<float> x = rounded_inputs(args.x.at(t, h), args.x.width, args.w, inputs);
      for (int64_t o = 0; o < args.y.width; ++o) {
        double sum = 0;
        for (int64_t i = 0; i < args.x.width; ++i) {
          const int64_t element = args.transposed ? i * args.w.cols + o : o * args.w.cols + i;
          sum += double{x[static_cast<size_t>(i)]} * double{w[static_cast<size_t>(element)]};
        }
        args.y.at(t, h)[o] = static_cast<float>(sum);
      }
    }
  }
}

}  // namespace cadre::reference
