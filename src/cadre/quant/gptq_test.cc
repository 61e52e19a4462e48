#include "cadre/quant/gptq.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cadre/base/random.h"
#include "cadre/quant/encode.h"

namespace cadre {
namespace {

constexpr DType kTypes[] = {DType::kPackedQ8,    DType::kPackedQ6, DType::kPackedQ4,
                            DType::kPackedMXFP4, DType::kPackedQ3, DType::kPackedQ2};

/// More than a panel of columns and not a multiple of it; rows that 16 does not divide.
constexpr int64_t kRows = 37;
constexpr int64_t kColumns = 288;

std::vector<float> normal(int64_t count, uint64_t seed) {
  const RandomStream stream(seed, 17);
  std::vector<float> values(static_cast<size_t>(count));
  for (uint64_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(0.05 * stream.normal(i));
  return values;
}

/// Inputs that share directions, so that columns can make one another's errors good.
std::vector<float> inputs(int64_t rows) {
  constexpr int64_t kDirections = 40;
  const std::vector<float> basis = normal(kDirections * kColumns, 21);
  const std::vector<float> mix = normal(rows * kDirections, 22);
  std::vector<float> x = normal(rows * kColumns, 23);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < kColumns; ++c)
      for (int64_t i = 0; i < kDirections; ++i)
        x[static_cast<size_t>(r * kColumns + c)] += 200 * mix[static_cast<size_t>(r * kDirections + i)] *
                                                    basis[static_cast<size_t>(i * kColumns + c)];
  return x;
}

struct Setting {
  std::unique_ptr<Backend> backend;
  ThreadPool pool;
  explicit Setting(int threads)
      : backend(std::move(*make_cpu_backend({.threads = threads}))), pool(threads) {}

  ErrorFeedback feedback() const {
    std::vector<float> x = inputs(500);
    std::vector<float> h(static_cast<size_t>(kColumns * kColumns));
    add_gram(*backend, Tensor::dense(x.data(), 500, kColumns), 1.0f, h.data(), kColumns);
    return factorise(*backend, h, kColumns, 0.01);
  }
  RoundedRows round(DType type, const ErrorFeedback& feedback, const std::vector<float>& weights) {
    RoundedRows out(kRows, kColumns);
    round_with_feedback(type, feedback, weights.data(), 0, kRows, 0, *backend, pool, out);
    return out;
  }
};

std::vector<float> decoded(DType type, const RoundedRows& rounded) {
  std::vector<float> values(rounded.codes.size());
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = GroupRounder(type, rounded.scales[i / kPackedGroup]).decoded(rounded.codes[i]);
  return values;
}

/// Squared error of the outputs for other inputs of the same kind, relative to the outputs'.
double output_error(const std::vector<float>& weights, const std::vector<float>& values) {
  const std::vector<float> x = inputs(600);  // the last hundred are new
  double error = 0;
  double size = 0;
  for (int64_t t = 500; t < 600; ++t)
    for (int64_t r = 0; r < kRows; ++r) {
      double exact = 0;
      double difference = 0;
      for (int64_t c = 0; c < kColumns; ++c) {
        const double input = x[static_cast<size_t>(t * kColumns + c)];
        const double weight = weights[static_cast<size_t>(r * kColumns + c)];
        exact += input * weight;
        difference += input * (weight - values[static_cast<size_t>(r * kColumns + c)]);
      }
      error += difference * difference;
      size += exact * exact;
    }
  return error / size;
}

TEST(RoundWithFeedback, OutputsAreNearerThanWithNearestValues) {
  Setting setting(1);
  const ErrorFeedback feedback = setting.feedback();
  const std::vector<float> weights = normal(kRows * kColumns, 1);
  for (const DType type : kTypes) {
    std::vector<std::byte> blocks(
        static_cast<size_t>(packed_blocks(kRows) * packed_block_bytes(type, kColumns)));
    std::vector<float> nearest(weights.size());
    for (int64_t row = 0; row < kRows; row += kPackedRows)
      encode_block(type, weights.data() + row * kColumns, std::min(kPackedRows, kRows - row), kColumns, {},
                   blocks.data() + row / kPackedRows * packed_block_bytes(type, kColumns));
    for (int64_t row = 0; row < kRows; ++row)
      decode_packed_row(type, blocks.data(), kColumns, row, 0, kColumns, nearest.data() + row * kColumns);
    const double plain = output_error(weights, nearest);
    const double compensated = output_error(weights, decoded(type, setting.round(type, feedback, weights)));
    EXPECT_LT(compensated, 0.5 * plain) << name(type);
  }
}

/// The definition, column by column in f64.
TEST(RoundWithFeedback, IsColumnAfterColumn) {
  Setting setting(1);
  const ErrorFeedback feedback = setting.feedback();
  const std::vector<float> weights = normal(kRows * kColumns, 2);
  const RoundedRows rounded = setting.round(DType::kPackedQ4, feedback, weights);
  const std::vector<float> values = decoded(DType::kPackedQ4, rounded);
  for (int64_t row = 0; row < kRows; ++row)
    for (int64_t k = 0; k < kColumns; ++k) {
      const auto at = [&](int64_t column) { return static_cast<size_t>(row * kColumns + column); };
      double target = weights[at(k)];
      for (int64_t j = 0; j < k; ++j)
        target += (static_cast<double>(weights[at(j)]) - values[at(j)]) * feedback.row(k)[j];
      const double step = std::fabs(rounded.scales[at(k) / kPackedGroup]);
      // Within half a step, or cut off at the end of the range; scales may be negative.
      if (std::fabs(target) < 7 * step) {
        ASSERT_NEAR(values[at(k)], target, step * 0.501) << row << ", " << k;
      } else {
        ASSERT_GE(std::fabs(values[at(k)]), step * 6.99);
      }
    }
}

TEST(RoundWithFeedback, WithoutFeedbackItIsTheNearestValue) {
  Setting setting(1);
  ErrorFeedback none{.n = kColumns};
  none.feedback.assign(static_cast<size_t>(kColumns * kColumns), 0.0f);
  none.cost.assign(static_cast<size_t>(kColumns), 1.0f);
  const std::vector<float> weights = normal(kRows * kColumns, 3);
  for (const DType type : kTypes) {
    const RoundedRows rounded = setting.round(type, none, weights);
    const auto bytes = static_cast<size_t>(packed_block_bytes(type, kColumns));
    std::vector<std::byte> expected(bytes);
    std::vector<std::byte> packed(bytes);
    for (const auto& [row, rows] : {std::pair<int64_t, int64_t>{0, 16}, std::pair<int64_t, int64_t>{32, 5}}) {
      encode_block(type, weights.data() + row * kColumns, rows, kColumns, {}, expected.data());
      pack_block(type, rounded.codes.data() + row * kColumns,
                 rounded.scales.data() + row * kColumns / kPackedGroup, rows, kColumns, packed.data());
      EXPECT_TRUE(expected == packed) << name(type) << " rows from " << row;
    }
  }
}

TEST(RoundWithFeedback, ThreadsChangeNoBitAndRowsStandAlone) {
  Setting one(1);
  Setting three(3);
  const ErrorFeedback feedback = one.feedback();
  const std::vector<float> weights = normal(kRows * kColumns, 4);
  const RoundedRows a = one.round(DType::kPackedQ3, feedback, weights);
  const RoundedRows b = three.round(DType::kPackedQ3, feedback, weights);
  EXPECT_EQ(a.codes, b.codes);
  EXPECT_EQ(a.scales, b.scales);
  RoundedRows alone(kRows, kColumns);
  round_with_feedback(DType::kPackedQ3, feedback, weights.data(), 20, 1, 0, *one.backend, one.pool, alone);
  for (int64_t c = 0; c < kColumns; ++c)
    EXPECT_EQ(alone.codes[static_cast<size_t>(20 * kColumns + c)],
              a.codes[static_cast<size_t>(20 * kColumns + c)]);
}

TEST(RoundWithFeedback, EnormousWeightsStayFinite) {
  Setting setting(1);
  const ErrorFeedback feedback = setting.feedback();
  for (const DType type : kTypes) {
    const std::vector<float> weights(static_cast<size_t>(kRows * kColumns), largest_encodable(type));
    for (const float value : decoded(type, setting.round(type, feedback, weights)))
      ASSERT_TRUE(std::isfinite(value)) << name(type);
  }
}

}  // namespace
}  // namespace cadre
