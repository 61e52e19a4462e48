#include "cadre/train/random_routing.h"

#include <algorithm>
#include <cmath>

#include "cadre/train/train_testing.h"

namespace cadre::train {
namespace {

ModelConfig config_of(int64_t layers = 400) {
  ModelConfig config;
  config.num_hidden_layers = layers;
  config.moe = MoeConfig{};
  config.moe->n_routed_experts = 8;
  config.moe->num_experts_per_tok = 2;
  return config;
}

std::vector<int64_t> draws(const RandomRoutingOptions& options, uint64_t seed, int64_t step, int64_t pass) {
  RandomRouting routing(config_of(), options, seed, 100);
  routing.begin_pass(step, pass);
  return {routing.top_k().begin(), routing.top_k().end()};
}

TEST(RandomTopK, DrawsDependOnSeedStepAndPassAlone) {
  const RandomRoutingOptions options{.lowest_k = 1, .highest_k = 8};
  const std::vector<int64_t> first = draws(options, 1, 50, 0);
  EXPECT_EQ(draws(options, 1, 50, 0), first);
  EXPECT_NE(draws(options, 2, 50, 0), first);
  EXPECT_NE(draws(options, 1, 51, 0), first);
  EXPECT_NE(draws(options, 1, 50, 1), first);
}

TEST(RandomTopK, HalfOfTheLayersDrawFromTheWholeRange) {
  const std::vector<int64_t> top_k = draws({.lowest_k = 3, .highest_k = 8}, 1, 50, 0);
  EXPECT_EQ(*std::ranges::max_element(top_k), 8);
  EXPECT_NEAR(static_cast<double>(std::ranges::count(top_k, 2)) / 400, 0.5, 0.1);
  for (int64_t k = 3; k <= 8; ++k)
    EXPECT_NEAR(static_cast<double>(std::ranges::count(top_k, k)) / 400, 0.5 / 6, 0.06) << k;
}

TEST(RandomTopK, IsTheModelsOwnInWarmUpAndWhereNotAskedFor) {
  const RandomRoutingOptions options{.lowest_k = 1, .highest_k = 8, .share = 1, .warmup = 0.1};
  EXPECT_EQ(std::ranges::count(draws(options, 1, 9, 0), 2), 400);
  EXPECT_LT(std::ranges::count(draws(options, 1, 10, 0), 2), 100);
  EXPECT_TRUE(draws({}, 1, 50, 0).empty());
  EXPECT_EQ(RandomRouting(config_of(), options, 1, 100).largest_k(), 8);
  EXPECT_EQ(RandomRouting(config_of(), {}, 1, 100).largest_k(), 2);
}

TEST(RandomTopK, WeightsAreOfTheExpertsThatWereChosen) {
  MoeConfig moe = *config_of().moe;
  moe.score_function = ScoreFunction::kSigmoid;
  moe.normalise_weights = true;
  std::vector<float> logits = {1, 2, 3, 4, 5, 6, 7, 8};
  RoutingWorkspace workspace;
  for (const int64_t k : {1, 3, 8}) {
    const RoutingPlan plan =
        select_experts(moe, 0, Tensor::dense(logits.data(), 1, 8), {}, {.k = k}, workspace);
    ASSERT_EQ(static_cast<int64_t>(plan.experts.size()), k);
    EXPECT_EQ(plan.experts.back(), 7);
    float sum = 0;
    for (const float weight : plan.weights) sum += weight;
    EXPECT_NEAR(sum, 1, 1e-6);
  }
}

/// A plan of two experts a token, whose router is the surer the later the token.
RoutingPlan rising_confidence(std::vector<float>& logits, int64_t tokens) {
  logits.assign(static_cast<size_t>(tokens * 8), 0);
  for (int64_t t = 0; t < tokens; ++t)
    logits[static_cast<size_t>(t * 8 + t % 8)] = static_cast<float>(t) * 10 / static_cast<float>(tokens);
  RoutingWorkspace workspace;
  return select_experts(*config_of().moe, 0, Tensor::dense(logits.data(), tokens, 8), {}, {.k = 2},
                        workspace);
}

std::vector<int64_t> without_experts(const RoutingPlan& plan) {
  std::vector<int64_t> result;
  for (int64_t t = 0; t < plan.tokens(); ++t)
    if (plan.experts_of(t).empty()) result.push_back(t);
  return result;
}

TEST(ExpertDropout, TakesAllExpertsOfAShareOfTheTokens) {
  std::vector<float> logits;
  const RoutingPlan plan = rising_confidence(logits, 4000);
  RandomRouting routing(config_of(), {.dropout = 0.1}, 1, 100);
  routing.begin_pass(20, 0);
  const RoutingPlan left = routing.dropout()(plan);
  const std::vector<int64_t> dropped = without_experts(left);
  EXPECT_NEAR(static_cast<double>(dropped.size()) / 4000, 0.1, 0.02);
  EXPECT_NEAR(static_cast<double>(std::ranges::count_if(dropped, [](int64_t t) { return t < 2000; })) /
                  static_cast<double>(dropped.size()),
              0.5, 0.1);
  EXPECT_EQ(left.experts.size(), 2 * (4000 - dropped.size()));
  for (int64_t t = 0; t < 4000; ++t)
    if (!left.experts_of(t).empty()) {
      EXPECT_TRUE(std::ranges::equal(left.experts_of(t), plan.experts_of(t)));
      EXPECT_TRUE(std::ranges::equal(left.weights_of(t), plan.weights_of(t)));
    }
}

TEST(ExpertDropout, TakesTheLeastConfidentTokensInTheLastTenth) {
  std::vector<float> logits;
  const RoutingPlan plan = rising_confidence(logits, 4000);
  RandomRouting routing(config_of(), {.dropout = 0.1}, 1, 100);
  routing.begin_pass(90, 0);
  const std::vector<int64_t> dropped = without_experts(routing.dropout()(plan));
  const auto least = std::ranges::count_if(dropped, [](int64_t t) { return t < 200; });
  EXPECT_EQ(least, 200);
  EXPECT_NEAR(static_cast<double>(dropped.size()) / 4000, 0.1, 0.02);
}

TEST(ExpertDropout, GradientOfWhatIsLeftMatchesFiniteDifferences) {
  const TrainableModel model = fixtures::small_model();
  for (const Parameter& parameter : model.parameters())
    if (parameter.role != WeightRole::kNorm)
      for (float& value : parameter.values()) value *= 20;
  const std::unique_ptr<Backend> backend = make_reference_backend();
  const auto pass = Pass::create(model, *backend, 32, {.max_k = 3}).value();
  const fixtures::RandomBatch batch({11, 6});
  RandomRouting routing(model.config(), {.lowest_k = 3, .highest_k = 3, .share = 1, .dropout = 0.3}, 1, 100);
  routing.begin_pass(50, 0);
  const RoutingPolicy policy = routing.dropout();
  const auto loss = [&](bool gradient) {
    return pass->run(
        batch.batch(),
        {.scale = 1, .gradient = gradient, .policies = std::span(&policy, 1), .top_k = routing.top_k()});
  };
  loss(true);
  fixtures::expect_router_gradients(model, loss);
}

}  // namespace
}  // namespace cadre::train
