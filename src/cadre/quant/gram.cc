#include "cadre/quant/gram.h"

#include <algorithm>
#include <cmath>

namespace cadre {
namespace {

/// Rows of the result at once: bounds what is computed above the diagonal and thrown away.
constexpr int64_t kBlockRows = 256;
/// Rows that are eliminated one by one before a product eliminates them from all others.
constexpr int64_t kPanelRows = 64;
/// The last adds a hundred times the mean: with that a matrix of inputs is definite, however it was rounded.
constexpr int kDampings = 5;

Weight as_weight(const float* data, int64_t rows, int64_t cols) {
  return {.data = reinterpret_cast<const std::byte*>(data),
          .dtype = DType::kF32,
          .rows = rows,
          .cols = cols,
          .row_bytes = cols * static_cast<int64_t>(sizeof(float))};
}

/// [rows, n] to [n, rows], in squares that stay in the cache.
std::vector<float> transposed(const Tensor& x) {
  constexpr int64_t kSquare = 32;
  std::vector<float> out(static_cast<size_t>(x.rows * x.width));
  for (int64_t r0 = 0; r0 < x.rows; r0 += kSquare)
    for (int64_t c0 = 0; c0 < x.width; c0 += kSquare)
      for (int64_t c = c0; c < std::min(c0 + kSquare, x.width); ++c)
        for (int64_t r = r0; r < std::min(r0 + kSquare, x.rows); ++r)
          out[static_cast<size_t>(c * x.rows + r)] = x.row(r)[c];
  return out;
}

/// a -= factor * b
void subtract_scaled(float* a, float factor, const float* b, int64_t count) {
  for (int64_t i = 0; i < count; ++i) a[i] -= factor * b[i];
}

/// Lower triangle of H to that of R^T: row k holds R[0..k][k]. From the last row up. False where a pivot is
/// not above `least`.
bool factor_in_place(Backend& backend, float* a, int64_t n, float least) {
  for (int64_t end = n; end > 0;) {
    const int64_t begin = std::max<int64_t>(0, end - kPanelRows);
    for (int64_t k = end - 1; k >= begin; --k) {
      float* row = a + k * n;
      if (!(row[k] > least)) return false;
      const float inverse_root = 1.0f / std::sqrt(row[k]);
      for (int64_t j = 0; j <= k; ++j) row[j] *= inverse_root;
      for (int64_t i = begin; i < k; ++i) subtract_scaled(a + i * n, row[i], row, i + 1);
    }
    if (begin > 0) {
      const Tensor panel{a + begin * n, end - begin, 1, begin, n, begin};
      add_gram(backend, panel, -1.0f, a, n);
    }
    end = begin;
  }
  return true;
}

}  // namespace

void add_gram(Backend& backend, const Tensor& x, float sign, float* gram, int64_t stride) {
  if (x.rows == 0) return;
  std::vector<float> columns = transposed(x);  // [n, T]
  const int64_t n = x.width;
  std::vector<float> products(static_cast<size_t>(std::min(kBlockRows, n) * n));
  for (int64_t begin = 0; begin < n; begin += kBlockRows) {
    const int64_t end = std::min(begin + kBlockRows, n);
    const Tensor left = Tensor::dense(columns.data() + begin * x.rows, end - begin, x.rows);
    const Tensor y = Tensor::dense(products.data(), end - begin, end);
    backend.matmul({.x = left, .w = as_weight(columns.data(), end, x.rows), .y = y});
    for (int64_t i = begin; i < end; ++i) subtract_scaled(gram + i * stride, -sign, y.row(i - begin), i + 1);
  }
}

ErrorFeedback factorise(Backend& backend, const std::vector<float>& h, int64_t n, double damping) {
  double mean = 0;
  for (int64_t i = 0; i < n; ++i)
    mean += static_cast<double>(h[static_cast<size_t>(i * n + i)]) / static_cast<double>(n);
  ErrorFeedback result{.n = n};
  bool factored = false;
  for (int tries = 0; tries < kDampings && mean > 0 && !factored; ++tries, damping *= 10) {
    result.feedback = h;
    const auto added = static_cast<float>(damping * mean);
    for (int64_t i = 0; i < n; ++i) result.feedback[static_cast<size_t>(i * n + i)] += added;
    // Exact pivots are not below what was added.
    factored = factor_in_place(backend, result.feedback.data(), n, 0.1f * added);
  }
  if (!factored) {
    result.feedback.assign(static_cast<size_t>(n * n), 0.0f);
    result.cost.assign(static_cast<size_t>(n), 1.0f);
    return result;
  }
  result.cost.resize(static_cast<size_t>(n));
  for (int64_t k = 0; k < n; ++k) {
    float* row = result.feedback.data() + k * n;
    const float root = row[k];
    result.cost[static_cast<size_t>(k)] = root * root;
    for (int64_t j = 0; j < k; ++j) row[j] /= root;
  }
  return result;
}

}  // namespace cadre
