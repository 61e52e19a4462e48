#include "cadre/quant/gram.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cadre/base/random.h"

namespace cadre {
namespace {

std::unique_ptr<Backend> backend(int threads = 1) {
  return std::move(*make_cpu_backend({.threads = threads}));
}

std::vector<float> random_rows(int64_t rows, int64_t cols, uint64_t seed) {
  const RandomStream stream(seed, 3);
  std::vector<float> x(static_cast<size_t>(rows * cols));
  for (uint64_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(stream.normal(i));
  // Columns that go together, as those of activations do.
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 1; c < cols; ++c)
      x[static_cast<size_t>(r * cols + c)] += 0.9f * x[static_cast<size_t>(r * cols + c - 1)];
  return x;
}

std::vector<float> gram_of(std::vector<float> x, int64_t rows, int64_t cols, int threads = 1) {
  std::vector<float> gram(static_cast<size_t>(cols * cols));
  add_gram(*backend(threads), Tensor::dense(x.data(), rows, cols), 1.0f, gram.data(), cols);
  return gram;
}

TEST(Gram, IsTheProductOfColumns) {
  for (const auto& [rows, cols] :
       {std::pair{1, 1}, std::pair{7, 33}, std::pair{300, 64}, std::pair{20, 300}}) {
    const std::vector<float> x = random_rows(rows, cols, 1);
    const std::vector<float> gram = gram_of(x, rows, cols);
    for (int64_t i = 0; i < cols; ++i)
      for (int64_t j = 0; j < cols; ++j) {
        double sum = 0;
        double magnitude = 0;
        for (int64_t r = 0; r < rows; ++r) {
          const double product = static_cast<double>(x[static_cast<size_t>(r * cols + i)]) *
                                 x[static_cast<size_t>(r * cols + j)];
          sum += product;
          magnitude += std::fabs(product);
        }
        // Above the diagonal nothing is written.
        ASSERT_NEAR(gram[static_cast<size_t>(i * cols + j)], j <= i ? sum : 0.0,
                    1e-7 * (rows + 1) * magnitude)
            << rows << " x " << cols << " at " << i << ", " << j;
      }
  }
}

TEST(Gram, SubtractsFromWhatIsThereAndReadsRowsOfAStride) {
  std::vector<float> x = random_rows(5, 8, 2);
  std::vector<float> gram(6 * 7, 3.0f);
  const Tensor columns = Tensor::dense(x.data(), 5, 8).slice_width(2, 6);
  add_gram(*backend(), columns, -1.0f, gram.data(), 7);
  double sum = 0;
  for (int64_t r = 0; r < 5; ++r) sum += static_cast<double>(columns.row(r)[4]) * columns.row(r)[1];
  EXPECT_NEAR(gram[4 * 7 + 1], 3 - sum, 1e-5);
  EXPECT_EQ(gram[1 * 7 + 4], 3.0f);
  EXPECT_EQ(gram[5 * 7 + 6], 3.0f);
}

/// Beyond a panel, so that eliminations by product take part.
constexpr int64_t kGramColumns = 200;

TEST(Factorise, CostsOfErrorsAreThoseOfTheHessian) {
  const std::vector<float> h = gram_of(random_rows(400, kGramColumns, 4), 400, kGramColumns);
  constexpr double kDamping = 0.01;
  const ErrorFeedback factor = factorise(*backend(), h, kGramColumns, kDamping);
  double mean = 0;
  for (int64_t i = 0; i < kGramColumns; ++i)
    mean += h[static_cast<size_t>(i * (kGramColumns + 1))] / kGramColumns;
  const auto at = [&](int64_t i, int64_t j) {
    const double value = h[static_cast<size_t>(std::max(i, j) * kGramColumns + std::min(i, j))];
    return i == j ? value + kDamping * mean : value;
  };
  const RandomStream stream(9, 9);
  for (uint64_t trial = 0; trial < 5; ++trial) {
    std::vector<double> e(kGramColumns);
    for (uint64_t i = 0; i < kGramColumns; ++i) e[i] = stream.normal(trial * kGramColumns + i);
    double direct = 0;
    double factored = 0;
    for (int64_t k = 0; k < kGramColumns; ++k) {
      double residual = e[static_cast<size_t>(k)];
      for (int64_t j = 0; j < kGramColumns; ++j)
        direct += e[static_cast<size_t>(k)] * at(k, j) * e[static_cast<size_t>(j)];
      for (int64_t j = 0; j < k; ++j) residual += e[static_cast<size_t>(j)] * factor.row(k)[j];
      factored += factor.cost[static_cast<size_t>(k)] * residual * residual;
    }
    EXPECT_NEAR(factored / direct, 1, 1e-4);
  }
}

TEST(Factorise, ThreadsChangeNoBit) {
  const std::vector<float> x = random_rows(300, kGramColumns, 5);
  const std::vector<float> one = gram_of(x, 300, kGramColumns, 1);
  ASSERT_EQ(one, gram_of(x, 300, kGramColumns, 3));
  const ErrorFeedback a = factorise(*backend(1), one, kGramColumns, 0.01);
  const ErrorFeedback b = factorise(*backend(3), one, kGramColumns, 0.01);
  EXPECT_EQ(a.feedback, b.feedback);
  EXPECT_EQ(a.cost, b.cost);
}

TEST(Factorise, WhatRoundingMadeIndefiniteIsDampedMore) {
  // Two columns that are the same, and a correlation that cannot be.
  std::vector<float> h = {1, 0, 1.5f, 1};
  const ErrorFeedback factor = factorise(*backend(), h, 2, 0.01);
  for (const float cost : factor.cost) EXPECT_GT(cost, 0);
  EXPECT_TRUE(std::isfinite(factor.row(1)[0]));
}

TEST(Factorise, WithoutInputsNothingIsFedBack) {
  const ErrorFeedback factor = factorise(*backend(), std::vector<float>(64 * 64), 64, 0.01);
  EXPECT_EQ(factor.feedback, std::vector<float>(64 * 64));
  EXPECT_EQ(factor.cost, std::vector<float>(64, 1.0f));
}

}  // namespace
}  // namespace cadre
