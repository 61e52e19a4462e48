#include "cadre/model/fallback.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

namespace cadre {
namespace {

TEST(RouterConfidence, IsThatOfTheSoftmax) {
  // p = 1/2, 1/4, 1/8, 1/8 at temperature 1.
  const std::array<float, 4> logits = {std::log(1.0f), std::log(4.0f), std::log(2.0f), std::log(1.0f)};
  const Confidence c = router_confidence(logits, 2, 1);
  EXPECT_NEAR(c.top, 0.5, 1e-7);
  EXPECT_NEAR(c.mass, 0.75, 1e-7);
  EXPECT_NEAR(c.entropy, 1 - 1.75 / 2, 1e-7);
  EXPECT_NEAR(c.margin, std::log(2), 1e-6);
  // Twice the temperature: p proportional to 1, 2, sqrt 2, 1.
  EXPECT_NEAR(router_confidence(logits, 1, 2).mass, 2 / (4 + std::sqrt(2)), 1e-7);
  EXPECT_EQ(router_confidence(logits, 4, 1).mass, 1);
  EXPECT_EQ(router_confidence(logits, 4, 1).margin, 0);
}

TEST(RouterConfidence, OfABrokenRowIsNone) {
  const std::array<float, 2> logits = {1, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_EQ(router_confidence(logits, 1, 1).mass, 0);
}

/// A model of two MoE layers after a dense one, four experts, two per token.
ModelConfig calibrated() {
  ModelConfig config{.num_hidden_layers = 3};
  config.moe = MoeConfig{.n_routed_experts = 4, .num_experts_per_tok = 2, .first_k_dense_replace = 1};
  config.moe->fallback =
      FallbackConfig{.confidence_experts = 2, .threshold = {0.7f, 0.8f}, .temperature = {1, 1}};
  return config;
}

TEST(FallbackPolicy, TakesTheExpertsOfUnsureTokensByTheirLayersThreshold) {
  // The first token's mass is 0.5, the second's 0.75, the third's near 1.
  std::array<float, 12> logits = {0, 0, 0, 0, 0, std::log(4.0f), std::log(2.0f), 0, 9, 9, 0, 0};
  const auto plan_of = [&](int layer) {
    return RoutingPlan{.layer = layer,
                       .first = {0, 2, 4, 6},
                       .experts = {0, 1, 1, 2, 0, 1},
                       .weights = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f},
                       .router_logits = Tensor::dense(logits.data(), 3, 4)};
  };
  const RoutingPolicy policy = fallback_policy(calibrated(), FallbackUse::kOn).value();
  const RoutingPlan first = policy(plan_of(1));
  EXPECT_EQ(first.first, (std::vector<int32_t>{0, 0, 2, 4}));
  EXPECT_EQ(first.experts, (std::vector<int32_t>{1, 2, 0, 1}));
  EXPECT_EQ(first.weights, (std::vector<float>{0.3f, 0.4f, 0.5f, 0.6f}));
  const RoutingPlan second = policy(plan_of(2));
  EXPECT_EQ(second.first, (std::vector<int32_t>{0, 0, 0, 2}));
  const RoutingPlan forced = fallback_policy(calibrated(), FallbackUse::kForce).value()(plan_of(1));
  EXPECT_EQ(forced.first, (std::vector<int32_t>{0, 0, 0, 0}));
  EXPECT_TRUE(forced.experts.empty());
}

TEST(FallbackPolicy, IsThereWhereItIsWantedAndPossible) {
  ModelConfig config = calibrated();
  EXPECT_TRUE(fallback_policy(config, FallbackUse::kAuto).value());
  EXPECT_FALSE(fallback_policy(config, FallbackUse::kOff).value());
  config.moe->fallback->threshold.clear();
  EXPECT_FALSE(fallback_policy(config, FallbackUse::kAuto).value());
  EXPECT_FALSE(fallback_policy(config, FallbackUse::kOn).has_value());
  config.moe.reset();
  EXPECT_FALSE(fallback_policy(config, FallbackUse::kForce).has_value());
}

}  // namespace
}  // namespace cadre
