#include "cadre/train/pass.h"

#include <cmath>

#include "cadre/train/balance.h"
#include "cadre/train/testing.h"

namespace cadre::train {
namespace {

using testing::all_gradients;
using testing::RandomBatch;
using testing::small_model;
using testing::small_shape;

/// Larger weights than training starts from, so that every path carries a gradient that differences can see.
TrainableModel lively_model(const Json& shape) {
  TrainableModel model = small_model(1, shape);
  uint64_t stream = 0;
  for (const Parameter& parameter : model.parameters()) {
    const RandomStream random(9, ++stream);
    const double deviation = parameter.role == WeightRole::kNorm ? 0.3 : 0.4;
    for (size_t i = 0; i < parameter.values().size(); ++i)
      parameter.values()[i] += static_cast<float>(deviation * random.normal(i));
  }
  return model;
}

/// Loss and the choices of every MoE layer.
struct Evaluation {
  double loss = 0;
  std::vector<std::vector<int32_t>> experts;
};

Evaluation evaluate(Pass& pass, const RandomBatch& batch, bool gradient = false) {
  Evaluation result;
  const RoutingPolicy watch = [&](RoutingPlan plan) {
    result.experts.push_back(plan.experts);
    return plan;
  };
  result.loss = pass.run(batch.batch(), {.scale = 1, .gradient = gradient, .policies = std::span(&watch, 1)});
  return result;
}

class PassGradient : public ::testing::TestWithParam<const char*> {};

TEST_P(PassGradient, MatchesFiniteDifferencesOfTheLoss) {
  const TrainableModel model = lively_model(small_shape(GetParam()));
  const std::unique_ptr<Backend> backend = make_reference_backend();
  const auto pass = Pass::create(model, *backend, 32).value();
  const RandomBatch batch({5, 3});
  const Evaluation before = evaluate(*pass, batch, /*gradient=*/true);
  int checked = 0;
  for (const Parameter& parameter : model.parameters()) {
    const auto count = static_cast<size_t>(parameter.count());
    for (const size_t i : {size_t{0}, count / 2, count - 1}) {
      float& value = parameter.values()[i];
      const float kept = value;
      constexpr float kStep = 2e-3f;
      value = kept + kStep;
      const Evaluation above = evaluate(*pass, batch);
      value = kept - kStep;
      const Evaluation below = evaluate(*pass, batch);
      value = kept;
      // A step that makes a token choose another expert crosses a jump.
      if (above.experts != before.experts || below.experts != before.experts) continue;
      const double numeric = (above.loss - below.loss) / (2 * double{kStep});
      EXPECT_NEAR(double{parameter.gradients()[i]}, numeric, 0.01 * (0.2 + std::abs(numeric)))
          << parameter.name << " " << i;
      ++checked;
    }
  }
  EXPECT_GT(checked, 80);
}

INSTANTIATE_TEST_SUITE_P(ScoreFunctions, PassGradient,
                         ::testing::Values("sigmoid", "softmax", "sqrtsoftplus"),
                         [](const auto& tested) { return std::string(tested.param); });

TEST(Pass, GradientsHaveEqualBitsWhateverTheThreadsAndInstructionSet) {
  const RandomBatch batch({30, 17, 1, 8});
  std::vector<float> first;
  for (const Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512}) {
    if (!has_isa(isa)) continue;
    for (const int threads : {1, 3}) {
      const TrainableModel model = lively_model(small_shape());
      const auto backend = make_cpu_backend({.threads = threads, .isa = std::string(name(isa))}).value();
      const auto pass = Pass::create(model, *backend, 64).value();
      pass->run(batch.batch(), {.scale = 0.1f});
      const std::vector<float> gradients = all_gradients(model);
      if (first.empty()) first = gradients;
      EXPECT_EQ(gradients, first) << backend->description();
    }
  }
}

TEST(Pass, LossWithoutGradientIsThatOfTheEnginesForwardPass) {
  const TrainableModel model = lively_model(small_shape());
  const auto backend = make_cpu_backend({.threads = 1}).value();
  const auto pass = Pass::create(model, *backend, 64).value();
  const RandomBatch batch({12, 9});
  const double with = evaluate(*pass, batch, true).loss;
  const double without = evaluate(*pass, batch, false).loss;
  EXPECT_NEAR(with, without, 1e-5 * with);
}

TEST(Pass, MicroBatchesAddUpToTheBatch) {
  const TrainableModel whole = lively_model(small_shape());
  const TrainableModel parts = lively_model(small_shape());
  const auto backend = make_cpu_backend({.threads = 1}).value();
  const RandomBatch batch({9, 9});
  Pass::create(whole, *backend, 18).value()->run(batch.batch(), {.scale = 0.1f});
  const auto pass = Pass::create(parts, *backend, 9).value();
  const std::vector<SequenceRows> one = {{.first_row = 0, .rows = 9}};
  for (size_t i = 0; i < 2; ++i)
    pass->run({std::span(batch.tokens).subspan(9 * i, 9), std::span(batch.targets).subspan(9 * i, 9), one},
              {.scale = 0.1f});
  const std::vector<float> a = all_gradients(whole);
  const std::vector<float> b = all_gradients(parts);
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 2e-5f * (1 + std::abs(a[i]))) << i;
}

TEST(Pass, TiedEmbeddingCollectsBothGradients) {
  Json shape = small_shape();
  shape["tie_word_embeddings"] = true;
  const TrainableModel model = lively_model(shape);
  const std::unique_ptr<Backend> backend = make_reference_backend();
  const auto pass = Pass::create(model, *backend, 8).value();
  const RandomBatch batch({4});
  evaluate(*pass, batch, true);
  const Parameter& embedding = model.parameters()[0];
  const auto i = static_cast<size_t>(batch.tokens[1] * 24 + 3);
  const float kept = embedding.values()[i];
  embedding.values()[i] = kept + 2e-3f;
  const double above = evaluate(*pass, batch).loss;
  embedding.values()[i] = kept - 2e-3f;
  const double below = evaluate(*pass, batch).loss;
  const double numeric = (above - below) / 4e-3;
  EXPECT_NEAR(double{embedding.gradients()[i]}, numeric, 0.01 * (0.2 + std::abs(numeric)));
}

TEST(Pass, ActivationsStayWithinTheBound) {
  const TrainableModel model = lively_model(small_shape());
  const auto backend = make_cpu_backend({.threads = 1}).value();
  const auto pass = Pass::create(model, *backend, 64).value();
  pass->run(RandomBatch({64}).batch(), {.scale = 1});
  EXPECT_LE(pass->peak_bytes(), 2 * pass_bytes(model.config(), 64));
  EXPECT_GT(pass->peak_bytes(), 0);
}

}  // namespace
}  // namespace cadre::train
