#include "cadre/train/muon.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace cadre::train {

void nesterov_momentum(std::span<float> gradient, float scale, float beta, float* momentum,
                       std::span<float> direction) {
  for (size_t i = 0; i < gradient.size(); ++i) {
    const float g = scale * gradient[i];
    momentum[i] = beta * momentum[i] + g;
    direction[i] = g + beta * momentum[i];
    gradient[i] = 0;
  }
}

void orthogonalise(const Tensor& x, GradientBackend& device) {
  constexpr int kSteps = 5;
  constexpr float kA = 3.4445f;
  constexpr float kB = -4.7750f;
  constexpr float kC = 2.0315f;
  const auto count = static_cast<size_t>(x.rows * x.width);
  const double norm = std::sqrt(device.square_sum({x.data, count}));
  if (!(norm > 0)) return;
  const auto inverse = static_cast<float>(1 / norm);
  for (size_t i = 0; i < count; ++i) x.data[i] *= inverse;

  // The smaller of X X^T and X^T X: (X X^T) X = X (X^T X).
  const bool wide = x.rows <= x.width;
  const int64_t n = std::min(x.rows, x.width);
  std::vector<float> memory(static_cast<size_t>(2 * n * n) + count);
  const Tensor a = Tensor::dense(memory.data(), n, n);
  const Tensor polynomial = Tensor::dense(memory.data() + n * n, n, n);
  const Tensor product = Tensor::dense(memory.data() + 2 * n * n, x.rows, x.width);
  for (int step = 0; step < kSteps; ++step) {
    device.gemm({.a = x, .b = x, .c = a, .a_transposed = !wide, .b_transposed = wide, .add = false});
    device.gemm({.a = a, .b = a, .c = polynomial, .add = false});
    for (int64_t i = 0; i < n * n; ++i) polynomial.data[i] = kB * a.data[i] + kC * polynomial.data[i];
    if (wide)
      device.gemm({.a = polynomial, .b = x, .c = product, .add = false});
    else
      device.gemm({.a = x, .b = polynomial, .c = product, .add = false});
    for (size_t i = 0; i < count; ++i) x.data[i] = kA * x.data[i] + product.data[i];
  }
}

void step_along(std::span<const float> direction, float step, float keep, std::span<float> values) {
  for (size_t i = 0; i < values.size(); ++i) values[i] = keep * values[i] - step * direction[i];
}

}  // namespace cadre::train
