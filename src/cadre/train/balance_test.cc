#include "cadre/train/balance.h"

#include <cmath>

#include "cadre/train/capacity.h"
#include "cadre/train/train_testing.h"

namespace cadre::train {
namespace {

using fixtures::expect_router_gradients;
using fixtures::RandomBatch;
using fixtures::small_model;
using fixtures::small_shape;

/// The value of the losses, and, with `gradient`, their gradient in the model.
double auxiliary_loss(Pass& pass, Balance& balance, const RandomBatch& batch, bool& same_choice,
                      std::vector<int32_t>& choice) {
  balance.begin_step(static_cast<int64_t>(batch.tokens.size()), static_cast<int64_t>(batch.sequences.size()));
  balance.begin_pass(batch.sequences);
  std::vector<int32_t> chosen;
  const std::vector<RoutingPolicy> policies = {balance.policy(), [&](RoutingPlan plan) {
                                                 chosen.insert(chosen.end(), plan.experts.begin(),
                                                               plan.experts.end());
                                                 return plan;
                                               }};
  pass.run(batch.batch(), {.scale = 0, .policies = policies, .auxiliary = &balance.gradient()});
  if (choice.empty()) choice = chosen;
  same_choice = chosen == choice;
  return balance.loss();
}

class AuxiliaryGradientTest : public ::testing::TestWithParam<const char*> {};

TEST_P(AuxiliaryGradientTest, MatchesFiniteDifferences) {
  const TrainableModel model = small_model(1, small_shape(GetParam()));
  for (const Parameter& parameter : model.parameters())
    if (parameter.role != WeightRole::kNorm)
      for (float& value : parameter.values()) value *= 20;
  const std::unique_ptr<Backend> backend = make_reference_backend();
  const auto pass = Pass::create(model, *backend, 32).value();
  const RandomBatch batch({7, 4});
  for (const AuxiliaryLosses& losses :
       {AuxiliaryLosses{.sequence = 3}, AuxiliaryLosses{.batch = 3}, AuxiliaryLosses{.z = 1}}) {
    Balance balance(model.config(), losses);
    std::vector<int32_t> choice;
    bool same = true;
    model.clear_gradients();
    auxiliary_loss(*pass, balance, batch, same, choice);
    std::vector<std::vector<float>> gradients;
    for (const Parameter& parameter : model.parameters())
      gradients.emplace_back(parameter.gradients().begin(), parameter.gradients().end());
    int checked = 0;
    for (size_t p = 0; p < model.parameters().size(); ++p) {
      const Parameter& parameter = model.parameters()[p];
      const auto i = static_cast<size_t>(parameter.count() / 3);
      if (gradients[p][i] == 0) continue;
      float& value = parameter.values()[i];
      const float kept = value;
      bool same_above = true, same_below = true;
      value = kept + 4e-3f;
      const double above = auxiliary_loss(*pass, balance, batch, same_above, choice);
      value = kept - 4e-3f;
      const double below = auxiliary_loss(*pass, balance, batch, same_below, choice);
      value = kept;
      if (!same_above || !same_below) continue;
      const double numeric = (above - below) / 8e-3;
      EXPECT_NEAR(double{gradients[p][i]}, numeric, 0.02 * (0.01 + std::abs(numeric))) << parameter.name;
      ++checked;
    }
    EXPECT_GT(checked, 10);
  }
}

INSTANTIATE_TEST_SUITE_P(ScoreFunctions, AuxiliaryGradientTest,
                         ::testing::Values("sigmoid", "softmax", "sqrtsoftplus"),
                         [](const auto& tested) { return std::string(tested.param); });

TEST(Balance, CountsOverMicroBatchesAndMovesTheBias) {
  TrainableModel model = small_model();
  const auto backend = make_cpu_backend({.threads = 1}).value();
  const auto pass = Pass::create(model, *backend, 32).value();
  const RandomBatch first({12}, 32, 1), second({9, 3}, 32, 2);
  Balance balance(model.config(), {});
  balance.begin_step(24, 3);
  const RoutingPolicy policy = balance.policy();
  for (const RandomBatch* batch : {&first, &second}) {
    balance.begin_pass(batch->sequences);
    pass->run(batch->batch(), {.policies = std::span(&policy, 1), .auxiliary = &balance.gradient()});
  }
  ASSERT_EQ(balance.layers().size(), 1u);
  const LayerRouting& layer = balance.layers()[0];
  EXPECT_EQ(layer.tokens, 24);
  int64_t sum = 0;
  for (const int64_t count : layer.counts) sum += count;
  EXPECT_EQ(sum, 48);
  balance.update_bias(model.transformer(), 0.5);
  const auto& moe = std::get<Moe>(model.transformer().blocks[1].ffn);
  for (size_t e = 0; e < layer.counts.size(); ++e)
    EXPECT_EQ(moe.selection_bias[e], layer.counts[e] < 8 ? 0.5f : layer.counts[e] > 8 ? -0.5f : 0.0f) << e;
}

TEST(BalanceDeathTest, BatchLossOfAMicroBatchAloneIsRefused) {
  const TrainableModel model = small_model();
  const auto backend = make_cpu_backend({.threads = 1}).value();
  const auto pass = Pass::create(model, *backend, 32).value();
  const RandomBatch batch({12});
  Balance balance(model.config(), {.batch = 1});
  balance.begin_step(24, 2);
  balance.begin_pass(batch.sequences);
  const RoutingPolicy policy = balance.policy();
  EXPECT_DEATH(
      pass->run(batch.batch(), {.policies = std::span(&policy, 1), .auxiliary = &balance.gradient()}),
      "12 of the step's 24 tokens counted");
}

TEST(Metrics, ViolationAndEntropyOfKnownLoads) {
  EXPECT_DOUBLE_EQ(max_violation(std::vector<int64_t>{4, 4, 4, 4}), 0);
  EXPECT_DOUBLE_EQ(max_violation(std::vector<int64_t>{16, 0, 0, 0}), 3);
  EXPECT_DOUBLE_EQ(load_entropy(std::vector<int64_t>{4, 4, 4, 4}), 1);
  EXPECT_DOUBLE_EQ(load_entropy(std::vector<int64_t>{16, 0, 0, 0}), 0);
  EXPECT_NEAR(load_entropy(std::vector<int64_t>{8, 8, 0, 0}), 0.5, 1e-12);
}

MoeConfig capacity_config() {
  MoeConfig config;
  config.n_routed_experts = 4;
  config.num_experts_per_tok = 2;
  config.score_function = ScoreFunction::kSigmoid;
  return config;
}

TEST(Capacity, DropsTheLatestOrTheLowestScores) {
  // All five tokens want expert 0 first, with rising scores, and expert 1 + t % 3 second.
  std::vector<float> logits;
  for (int t = 0; t < 5; ++t)
    for (int e = 0; e < 4; ++e)
      logits.push_back(e == 0 ? 1.0f + static_cast<float>(t) : e == 1 + t % 3 ? 0.5f : -1.0f);
  const MoeConfig config = capacity_config();
  RoutingWorkspace workspace;
  const RoutingPlan plan =
      select_experts(config, 0, Tensor::dense(logits.data(), 5, 4), {}, {.k = 2}, workspace);
  for (const CapacityOrder order : {CapacityOrder::kPosition, CapacityOrder::kPriority}) {
    int64_t assigned = 0, dropped = 0;
    const RoutingPlan cut =
        capacity_policy(config, {.factor = 1, .order = order}, assigned, dropped)(plan);  // ceil(2.5) = 3
    EXPECT_EQ(assigned, 10);
    EXPECT_EQ(dropped, 2);
    std::vector<int64_t> with_expert_0;
    for (int64_t t = 0; t < 5; ++t)
      if (!cut.experts_of(t).empty() && cut.experts_of(t)[0] == 0) with_expert_0.push_back(t);
    EXPECT_EQ(with_expert_0, order == CapacityOrder::kPosition ? (std::vector<int64_t>{0, 1, 2})
                                                               : (std::vector<int64_t>{2, 3, 4}));
    EXPECT_EQ(cut.weights_of(2)[0], plan.weights_of(2)[0]);
  }
}

TEST(Capacity, IsDroplessAtExpertsOverChosenAndFallsWithTheFactor) {
  const MoeConfig config = capacity_config();
  std::vector<float> logits;
  const RandomStream random(1, 2);
  for (uint64_t i = 0; i < 400; ++i)
    logits.push_back(static_cast<float>(random.normal(i)) + (i % 4 == 1 ? 1.5f : 0.0f));
  RoutingWorkspace workspace;
  const RoutingPlan plan =
      select_experts(config, 0, Tensor::dense(logits.data(), 100, 4), {}, {.k = 2}, workspace);
  int64_t before = 200;
  for (const double factor : {0.5, 1.0, 1.25, 1.5, 2.0}) {
    int64_t assigned = 0, dropped = 0;
    const RoutingPlan cut = capacity_policy(config, {.factor = factor}, assigned, dropped)(plan);
    EXPECT_LE(dropped, before) << factor;
    before = dropped;
    if (factor == 2.0) {
      EXPECT_EQ(dropped, 0);
      EXPECT_EQ(cut.experts, plan.experts);
      EXPECT_EQ(cut.weights, plan.weights);
      EXPECT_EQ(cut.first, plan.first);
    }
  }
}

TEST(Capacity, GradientOfWhatIsLeftMatchesFiniteDifferences) {
  const TrainableModel model = small_model();
  for (const Parameter& parameter : model.parameters())
    if (parameter.role != WeightRole::kNorm)
      for (float& value : parameter.values()) value *= 20;
  const std::unique_ptr<Backend> backend = make_reference_backend();
  const auto pass = Pass::create(model, *backend, 32).value();
  const RandomBatch batch({11, 6});
  int64_t assigned = 0, dropped = 0;
  const RoutingPolicy policy = capacity_policy(*model.config().moe, {.factor = 0.7}, assigned, dropped);
  const auto loss = [&](bool gradient) {
    return pass->run(batch.batch(), {.scale = 1, .gradient = gradient, .policies = std::span(&policy, 1)});
  };
  loss(true);
  EXPECT_GT(dropped, 0);
  expect_router_gradients(model, loss);
}

}  // namespace
}  // namespace cadre::train
