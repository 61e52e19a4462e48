#include "cadre/model/routing_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "cadre/base/random.h"

namespace cadre {
namespace {

MoeConfig small_config() {
  MoeConfig config;
  config.n_routed_experts = 8;
  config.num_experts_per_tok = 2;
  return config;
}

RoutingPlan select(const MoeConfig& config, std::vector<float> logits, std::span<const float> bias = {}) {
  const auto rows = static_cast<int64_t>(logits.size()) / config.n_routed_experts;
  RoutingWorkspace workspace;
  return select_experts(config, 0, Tensor::dense(logits.data(), rows, config.n_routed_experts), bias,
                        {.k = config.num_experts_per_tok}, workspace);
}

std::vector<int32_t> experts(const RoutingPlan& plan, int64_t t) {
  const auto chosen = plan.experts_of(t);
  return {chosen.begin(), chosen.end()};
}

TEST(ScoreExperts, SqrtSoftplusHasTheValuesOfTheSpecification) {
  const std::vector<float> logits = {-5, -1, 0, 1, 5};
  const std::vector<float> expected = {.0819472f, .5596979f, .8325546f, 1.1459763f, 2.2375691f};
  std::vector<float> scores(5);
  score_experts(ScoreFunction::kSqrtSoftplus, logits, scores);
  for (size_t i = 0; i < scores.size(); ++i) EXPECT_NEAR(scores[i], expected[i], 1e-6f);
}

TEST(ScoreExperts, SoftmaxSumsToOneAndSurvivesLargeLogits) {
  std::vector<float> scores(3);
  score_experts(ScoreFunction::kSoftmax, std::vector<float>{1000, 999, -1000}, scores);
  EXPECT_NEAR(scores[0] + scores[1] + scores[2], 1.0f, 1e-6f);
  EXPECT_NEAR(scores[0], 1 / (1 + std::exp(-1.0)), 1e-6);
}

TEST(SelectExperts, ChosenExpertsAreAscendingWithTheirOwnWeights) {
  const RoutingPlan plan = select(small_config(), {0, 5, 0, 0, 0, 0, 6, 0});
  EXPECT_EQ(experts(plan, 0), (std::vector<int32_t>{1, 6}));
  EXPECT_LT(plan.weights_of(0)[0], plan.weights_of(0)[1]);
}

TEST(SelectExperts, TiesGoToTheLowerIndex) {
  EXPECT_EQ(experts(select(small_config(), std::vector<float>(8, 1.0f)), 0), (std::vector<int32_t>{0, 1}));
}

TEST(SelectExperts, BiasMovesTheSelectionButNotTheWeights) {
  MoeConfig config = small_config();
  config.score_function = ScoreFunction::kSigmoid;
  const std::vector<float> logits = {3, 2, 1, 0, 0, 0, 0, -1};
  const std::vector<float> bias = {0, 0, 0, 0, 0, 0, 0, 10};
  const RoutingPlan plan = select(config, logits, bias);
  EXPECT_EQ(experts(plan, 0), (std::vector<int32_t>{0, 7}));
  EXPECT_NEAR(plan.weights_of(0)[1], 1 / (1 + std::exp(1.0)), 1e-6);
}

TEST(SelectExperts, NormalisedWeightsSumToTheScale) {
  MoeConfig config = small_config();
  config.normalise_weights = true;
  config.weight_scale = 2.5f;
  const RoutingPlan plan = select(config, {0, 1, 2, 3, 4, 5, 6, 7});
  EXPECT_NEAR(plan.weights_of(0)[0] + plan.weights_of(0)[1], 2.5f, 1e-6f);
}

TEST(SelectExperts, MaxRanksGroupsByTheirBestExpert) {
  MoeConfig config = small_config();
  config.group_score = GroupScore::kMax;
  config.n_group = 4;
  config.topk_group = 1;
  // Group 0 has the best expert, groups 1 and 2 the next best ones.
  EXPECT_EQ(experts(select(config, {9, 0, 8, 8, 7, 7, 0, 0}), 0), (std::vector<int32_t>{0, 1}));
}

TEST(SelectExperts, TopTwoSumRanksGroupsByTheirTwoBest) {
  MoeConfig config = small_config();
  config.score_function = ScoreFunction::kSigmoid;
  config.group_score = GroupScore::kTopTwoSum;
  config.n_group = 4;
  config.topk_group = 1;
  EXPECT_EQ(experts(select(config, {1, -9, 0.8f, 0.8f, 0, 0, 0, 0}), 0), (std::vector<int32_t>{2, 3}));
}

TEST(SelectExperts, RowsOfNanStillSelectDistinctExperts) {
  const RoutingPlan plan =
      select(small_config(), std::vector<float>(8, std::numeric_limits<float>::quiet_NaN()));
  EXPECT_EQ(experts(plan, 0), (std::vector<int32_t>{0, 1}));
}

/// Independent of the implementation: repeatedly take the best of what is left.
TEST(SelectExperts, AgreesWithRepeatedArgmaxOnRandomRows) {
  const RandomStream random(7, 0);
  MoeConfig config = small_config();
  config.num_experts_per_tok = 3;
  std::vector<float> logits(8 * 50);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = std::round(static_cast<float>(random.normal(i)) * 2);
  const RoutingPlan plan = select(config, logits);
  for (int64_t t = 0; t < 50; ++t) {
    std::vector<float> row(logits.begin() + t * 8, logits.begin() + t * 8 + 8);
    std::vector<int32_t> expected;
    for (int j = 0; j < 3; ++j) {
      const auto best = std::max_element(row.begin(), row.end());
      expected.push_back(static_cast<int32_t>(best - row.begin()));
      *best = -1e9f;
    }
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(experts(plan, t), expected) << "row " << t;
  }
}

TEST(GroupByExpert, ListsEachExpertsTokensInOrder) {
  RoutingPlan plan;
  plan.first = {0, 2, 3, 5};
  plan.experts = {1, 4, 4, 0, 1};
  plan.weights = {.1f, .2f, .3f, .4f, .5f};
  RoutingWorkspace workspace;
  const ExpertAssignments& grouped = group_by_expert(plan, 6, workspace);
  EXPECT_EQ(grouped.experts, (std::vector<int32_t>{0, 1, 4}));
  EXPECT_EQ(grouped.first, (std::vector<int64_t>{0, 1, 3, 5}));
  EXPECT_EQ(grouped.rows, (std::vector<int32_t>{2, 0, 2, 0, 1}));
  EXPECT_EQ(grouped.weights, (std::vector<float>{.4f, .1f, .5f, .2f, .3f}));
}

}  // namespace
}  // namespace cadre
