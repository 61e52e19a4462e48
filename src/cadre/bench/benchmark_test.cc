#include "cadre/bench/benchmark.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>

#include "cadre/bench/traffic.h"
#include "cadre/model/shapes.h"
#include "cadre/runtime/random_model.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;

/// A model small enough for milliseconds, of two MoE layers of eight experts.
class Benchmark : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              (std::string("cadre_bench_") + testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    Json config = *named_shape("cadre-s");
    config["num_hidden_layers"] = 3;
    config["hidden_size"] = 64;
    config["vocab_size"] = 300;
    config["n_routed_experts"] = 8;
    config["num_experts_per_tok"] = 2;
    config["max_position_embeddings"] = 256;
    const auto written = write_random_model(config, folder_, {.type = DType::kF32}, [](int64_t, int64_t) {});
    ASSERT_TRUE(written) << written.error().message;
    auto model = Model::load(folder_);
    ASSERT_TRUE(model) << model.error().message;
    model_.emplace(std::move(*model));
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path folder_;
  std::optional<Model> model_;
};

constexpr auto no_progress = [](const std::string&, int64_t, int64_t) {};

TEST_F(Benchmark, MeasuresEveryCombination) {
  const auto report = run_benchmark(*model_,
                                    {.prompts = {9, 20},
                                     .predicts = {5},
                                     .depths = {0, 70},
                                     .batches = {1, 3},
                                     .threads = {1},
                                     .repeat = 3},
                                    no_progress);
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
      *model_,
      {.prompts = {}, .predicts = {4}, .depths = {10}, .batches = {1, 40}, .threads = {1}, .repeat = 1},
      no_progress);
  ASSERT_TRUE(report) << report.error().message;
  const BenchmarkResult& one = report->results[0];
  EXPECT_EQ(one.experts_per_step, 2);
  // Besides the tied table, read as the head, the token's own row of it.
  EXPECT_EQ(one.weight_bytes_per_token, static_cast<double>(model_->size().active_bytes + 64 * 4));
  // 10 tokens before, then 11 to 14 with their own.
  const auto kv_bytes = static_cast<double>(kv_bytes_per_token(model_->transformer(), DType::kBF16));
  EXPECT_EQ(one.kv_bytes_per_token, 12.5 * kv_bytes);
  // Forty sequences use nearly all experts, and share every weight.
  const BenchmarkResult& many = report->results[1];
  EXPECT_GT(many.experts_per_step, 6);
  EXPECT_LE(many.weight_bytes_per_token, static_cast<double>(model_->size().bytes) / 40 + 64 * 4);
  EXPECT_EQ(many.flops_per_token, one.flops_per_token);
}

TEST_F(Benchmark, BeyondTheContextIsAnError) {
  const auto report = run_benchmark(*model_, {.prompts = {200}, .depths = {100}}, no_progress);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind, ErrorKind::kUsage);
  EXPECT_NE(report.error().message.find("256"), std::string::npos) << report.error().message;
  EXPECT_FALSE(run_benchmark(*model_, {.prompts = {0}, .predicts = {0}}, no_progress));
}

TEST(Spread, MedianOfOddAndEven) {
  EXPECT_EQ(spread_of({3, 1, 2}).median, 2);
  EXPECT_EQ(spread_of({4, 1, 2, 3}).median, 2.5);
  EXPECT_EQ(spread_of({4, 1, 2, 3}).lowest, 1);
  EXPECT_EQ(spread_of({4, 1, 2, 3}).highest, 4);
}

}  // namespace
}  // namespace cadre
