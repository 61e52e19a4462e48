#include "cadre/runtime/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

namespace cadre {
namespace {

/// How often each token comes out of `draws` samples of the same logits.
std::map<int32_t, int> histogram(SamplingParams params, const std::vector<float>& logits, int draws) {
  std::map<int32_t, int> counts;
  for (int i = 0; i < draws; ++i) {
    params.seed = static_cast<uint64_t>(i);
    std::vector<float> copy = logits;
    ++counts[Sampler(params).sample(copy)];
  }
  return counts;
}

TEST(Argmax, TiesGoToTheLowerIdAndNanNeverWins) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(argmax(std::vector<float>{1, 3, 3}), 1);
  EXPECT_EQ(argmax(std::vector<float>{nan, 1, 2}), 2);
  EXPECT_EQ(argmax(std::vector<float>{2, nan, 1}), 0);
}

TEST(Sampler, TemperatureZeroIsGreedy) {
  EXPECT_EQ(histogram({.temperature = 0}, {1, 2, 5, 3}, 20), (std::map<int32_t, int>{{2, 20}}));
}

TEST(Sampler, FrequenciesFollowTheSoftmax) {
  const auto counts = histogram({}, {0, std::log(3.0f)}, 8000);
  EXPECT_NEAR(counts.at(1) / 8000.0, 0.75, 0.02);
}

TEST(Sampler, TemperatureSharpens) {
  const auto counts = histogram({.temperature = 0.5}, {0, std::log(3.0f)}, 8000);
  EXPECT_NEAR(counts.at(1) / 8000.0, 0.9, 0.02);
}

TEST(Sampler, TopKTopPAndMinPCutTheTail) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  EXPECT_EQ(histogram({.top_k = 2}, logits, 2000).size(), 2u);
  EXPECT_EQ(histogram({.top_p = 0.7}, logits, 2000).size(), 2u);
  EXPECT_EQ(histogram({.top_p = 0.81}, logits, 2000).size(), 3u);
  EXPECT_EQ(histogram({.min_p = 0.2}, logits, 2000).size(), 3u);
  EXPECT_EQ(histogram({}, logits, 2000).size(), 4u);
}

TEST(Sampler, TheSameSeedGivesTheSameDraws) {
  Sampler a({.seed = 9});
  Sampler b({.seed = 9});
  for (int i = 0; i < 50; ++i) {
    std::vector<float> x(100, 0.0f);
    std::vector<float> y(100, 0.0f);
    EXPECT_EQ(a.sample(x), b.sample(y));
  }
}

TEST(Sampler, PenaltiesLowerWhatWasSeen) {
  Sampler repetition({.temperature = 0, .repetition_penalty = 2});
  repetition.observe_prompt(0);
  std::vector<float> logits = {3, 2, -1};
  EXPECT_EQ(repetition.sample(logits), 1);

  // Frequency grows with each occurrence, presence does not; prompt tokens count for neither.
  Sampler frequency({.temperature = 0, .frequency_penalty = 0.6});
  frequency.observe_prompt(1);
  std::vector<int32_t> chosen;
  for (int i = 0; i < 4; ++i) {
    std::vector<float> row = {1.0f, 0.0f};
    chosen.push_back(frequency.sample(row));
  }
  EXPECT_EQ(chosen, (std::vector<int32_t>{0, 0, 1, 0}));
}

TEST(Sampler, BiasForbidsAndForces) {
  std::vector<float> logits = {1, 2, 3};
  EXPECT_EQ(Sampler({.temperature = 0, .logit_bias = {{2, -100.0f}}}).sample(logits), 1);
  logits = {1, 2, 3};
  EXPECT_EQ(Sampler({.temperature = 0, .logit_bias = {{0, 100.0f}}}).sample(logits), 0);
}

TEST(Sampler, RowsOfNanOrInfinityDoNotCrash) {
  std::vector<float> nan(4, std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(Sampler({}).sample(nan), 0);
  std::vector<float> minus(4, -std::numeric_limits<float>::infinity());
  const int32_t token = Sampler({}).sample(minus);
  EXPECT_TRUE(token >= 0 && token < 4);
}

TEST(Validate, EachRangeIsChecked) {
  EXPECT_TRUE(validate({}, 10).has_value());
  EXPECT_FALSE(validate({.temperature = -1}, 10).has_value());
  EXPECT_FALSE(validate({.temperature = NAN}, 10).has_value());
  EXPECT_FALSE(validate({.top_k = -1}, 10).has_value());
  EXPECT_FALSE(validate({.top_p = 0}, 10).has_value());
  EXPECT_FALSE(validate({.min_p = 1.5}, 10).has_value());
  EXPECT_FALSE(validate({.repetition_penalty = 0}, 10).has_value());
  EXPECT_FALSE(validate({.logit_bias = {{10, 1.0f}}}, 10).has_value());
}

}  // namespace
}  // namespace cadre
