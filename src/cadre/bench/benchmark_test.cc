#include "cadre/bench/benchmark.h"

#include <gtest/gtest.h>

#include "cadre/base/fixtures.h"
#include "cadre/bench/test_model.h"

namespace cadre {
namespace {

class Benchmark : public testing::Test {
 protected:
  const Model model_ = make_test_model();
};

TEST_F(Benchmark, MeasuresEveryCombination) {
  const auto report = run_benchmark(model_,
                                    {.prompts = {9, 20},
                                     .predicts = {5},
                                     .depths = {0, 70},
                                     .batches = {1, 3},
                                     .threads = {1},
                                     .repeat = 3},
                                    fixtures::kNoProgress);
  ASSERT_TRUE(report) << report.error().message;
  ASSERT_EQ(report->results.size(), 2u * 2 * 3);
  for (const BenchmarkResult& result : report->results) {
    EXPECT_GT(result.tokens_per_second.lowest, 0);
    EXPECT_LE(result.tokens_per_second.lowest, result.tokens_per_second.median);
    EXPECT_LE(result.tokens_per_second.median, result.tokens_per_second.highest);
    EXPECT_GE(result.experts_per_step, 2);
    EXPECT_LE(result.experts_per_step, 8);
  }
}

TEST_F(Benchmark, OneTokenReadsTheActiveBytes) {
  const auto report = run_benchmark(
      model_,
      {.prompts = {}, .predicts = {4}, .depths = {10}, .batches = {1, 40}, .threads = {1}, .repeat = 1},
      fixtures::kNoProgress);
  ASSERT_TRUE(report) << report.error().message;
  const BenchmarkResult& one = report->results[0];
  EXPECT_EQ(one.experts_per_step, 2);
  // Besides the tied table, read as the head, the token's own row of it.
  EXPECT_EQ(one.weight_bytes_per_token, static_cast<double>(model_.size().active_bytes + 64 * 4));
  // 10 tokens before, then 11 to 14 with their own.
  const auto kv_bytes = static_cast<double>(kv_bytes_per_token(model_.transformer(), DType::kBF16));
  EXPECT_EQ(one.kv_bytes_per_token, 12.5 * kv_bytes);
  // Forty sequences use nearly all experts, and share every weight.
  const BenchmarkResult& many = report->results[1];
  EXPECT_GT(many.experts_per_step, 6);
  EXPECT_LE(many.weight_bytes_per_token, static_cast<double>(model_.size().bytes) / 40 + 64 * 4);
  EXPECT_EQ(many.flops_per_token, one.flops_per_token);
}

TEST_F(Benchmark, PackedWeightsCountInIntegers) {
  const Model packed = make_test_model(DType::kPackedQ4);
  BenchmarkOptions options{.prompts = {16}, .predicts = {}, .threads = {1}, .repeat = 1};
  options.engine.compute = Compute::kInt8;
  const auto integers = run_benchmark(packed, options, fixtures::kNoProgress);
  ASSERT_TRUE(integers) << integers.error().message;
  options.engine.compute = Compute::kF32;
  const auto floats = run_benchmark(packed, options, fixtures::kNoProgress);
  ASSERT_TRUE(floats) << floats.error().message;
  const BenchmarkResult& in_integers = integers->results[0];
  const BenchmarkResult& in_floats = floats->results[0];
  EXPECT_EQ(in_floats.int8_ops_per_token, 0);
  EXPECT_EQ(in_integers.int8_ops_per_token + in_integers.flops_per_token, in_floats.flops_per_token);
  // Routers are all that is left in f32: two of 8 by 64.
  EXPECT_EQ(in_integers.flops_per_token, 2 * 2 * 8 * 64);
  EXPECT_GT(in_integers.compute_fraction(integers->limits.at(1)), 0);
}

TEST_F(Benchmark, ProfilesEachSettingAlone) {
  const auto report = run_benchmark(
      model_, {.prompts = {9}, .predicts = {5}, .depths = {70}, .threads = {2}, .repeat = 2, .profile = true},
      fixtures::kNoProgress);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->results[0].profile.steps, 2);   // of 9 tokens
  EXPECT_EQ(report->results[1].profile.steps, 10);  // of one
  for (const BenchmarkResult& result : report->results) {
    EXPECT_FALSE(result.profile.rows.empty());
    EXPECT_LE(result.profile.explained_seconds(), result.profile.wall_seconds);
  }
}

TEST_F(Benchmark, SaysWhatItTookToGetReady) {
  const auto report = run_benchmark(model_, {.prompts = {4}, .predicts = {}, .threads = {1, 2}, .repeat = 1},
                                    fixtures::kNoProgress);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_GT(report->ready_seconds, 0);
  EXPECT_GT(report->memory.anonymous_bytes, 0);
  EXPECT_EQ(report->limits.size(), 2u);
  EXPECT_EQ(report->results[0].threads, 1);
  EXPECT_EQ(report->results[1].threads, 2);
}

TEST_F(Benchmark, BeyondTheContextIsAnError) {
  const auto report = run_benchmark(model_, {.prompts = {200}, .depths = {100}}, fixtures::kNoProgress);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind, ErrorKind::kUsage);
  EXPECT_NE(report.error().message.find("256"), std::string::npos) << report.error().message;
  EXPECT_FALSE(run_benchmark(model_, {.prompts = {0}, .predicts = {0}}, fixtures::kNoProgress));
}

TEST(Spread, MedianOfOddAndEven) {
  EXPECT_EQ(spread_of({3, 1, 2}).median, 2);
  EXPECT_EQ(spread_of({4, 1, 2, 3}).median, 2.5);
  EXPECT_EQ(spread_of({4, 1, 2, 3}).lowest, 1);
  EXPECT_EQ(spread_of({4, 1, 2, 3}).highest, 4);
}

}  // namespace
}  // namespace cadre
