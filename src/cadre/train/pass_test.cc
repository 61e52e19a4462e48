#include "cadre/train/pass.h"

#include <algorithm>
#include <cmath>

#include "cadre/model/fallback.h"
#include "cadre/runtime/engine.h"
#include "cadre/train/balance.h"
#include "cadre/train/train_testing.h"

namespace cadre::train {
namespace {

using fixtures::all_gradients;
using fixtures::RandomBatch;
using fixtures::small_model;
using fixtures::small_shape;

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

/// Loss and the choices of every MoE layer, after the model's fallback.
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
  std::vector<RoutingPolicy> policies;
  if (RoutingPolicy fallback = fallback_policy(pass.model().config(), FallbackUse::kAuto).value())
    policies.push_back(std::move(fallback));
  policies.push_back(watch);
  result.loss = pass.run(batch.batch(), {.scale = 1, .gradient = gradient, .policies = policies});
  return result;
}

/// Three values of each parameter against differences of the loss.
void expect_gradients_match(const Json& shape) {
  const TrainableModel model = lively_model(shape);
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

class PassGradient : public ::testing::TestWithParam<const char*> {};

TEST_P(PassGradient, MatchesFiniteDifferencesOfTheLoss) { expect_gradients_match(small_shape(GetParam())); }

INSTANTIATE_TEST_SUITE_P(ScoreFunctions, PassGradient,
                         ::testing::Values("sigmoid", "softmax", "sqrtsoftplus"),
                         [](const auto& tested) { return std::string(tested.param); });

/// The small shape with another gate, read by both of two MoE layers.
Json gated_shape(const char* gate) {
  Json shape = small_shape();
  shape.erase("scoring_func");
  shape["num_hidden_layers"] = 3;
  shape["gate"] = Json::parse(gate);
  return shape;
}

TEST(Pass, GradientsThroughEveryGateMatchFiniteDifferences) {
  for (const char* gate :
       {R"({"type": "mlp", "hidden": 10, "score": "softmax"})",
        R"({"type": "transformer", "width": 12, "head_dim": 6, "hidden": 14})",
        R"({"type": "transformer", "width": 12, "head_dim": 6, "hidden": 14, "linear": false})",
        R"({"type": "hash", "layers": 1, "score": "sqrtsoftplus"})"}) {
    SCOPED_TRACE(gate);
    expect_gradients_match(gated_shape(gate));
  }
}

TEST(Pass, GradientsThroughTheFallbackMatchFiniteDifferences) {
  Json shape = small_shape();
  shape["fallback"] = {{"hidden", 10}, {"threshold", {0.8}}};
  const TrainableModel model = lively_model(shape);
  const std::unique_ptr<Backend> backend = make_reference_backend();
  const Evaluation seen = evaluate(*Pass::create(model, *backend, 8).value(), RandomBatch({8}));
  // Some of the 8 tokens have their two experts, some none.
  EXPECT_GT(seen.experts[0].size(), 0u);
  EXPECT_LT(seen.experts[0].size(), 16u);
  expect_gradients_match(shape);
}

/// The loss of one sequence by the engine, over its paged cache and in pieces.
double engine_loss(const TrainableModel& model, const Json& shape, const RandomBatch& batch) {
  MemoryTensors tensors;
  for (const Parameter& tensor : model.tensors())
    tensors.tensors.emplace(
        tensor.name,
        StoredTensor{.dtype = DType::kF32, .shape = tensor.shape, .bytes = std::as_bytes(tensor.values())});
  const Model bound = Model::bind(Checkpoint::in_memory("shape", shape, std::move(tensors)).value()).value();
  Engine engine =
      Engine::create(bound, {.cpu = {.threads = 1}, .kv_type = DType::kF32, .max_logit_rows = 64}).value();
  const SequenceId sequence = engine.open_sequence();
  double loss = 0;
  for (size_t begin = 0; begin < batch.tokens.size(); begin += 7) {
    const size_t count = std::min<size_t>(7, batch.tokens.size() - begin);
    const StepItem item{.sequence = sequence,
                        .tokens = std::span(batch.tokens).subspan(begin, count),
                        .logits = LogitsFor::kAll};
    const Tensor logits = engine.step(std::span(&item, 1)).value();
    for (size_t t = 0; t < count; ++t) {
      const int32_t target = batch.targets[begin + t];
      const std::span<const float> row(logits.row(static_cast<int64_t>(t)), 32);
      double sum = 0;
      for (const float z : row) sum += std::exp(double{z});
      if (target >= 0) loss += std::log(sum) - double{row[static_cast<size_t>(target)]};
    }
  }
  return loss;
}

TEST(Pass, TheEngineComputesTheLossThatTrainingSees) {
  for (const char* gate :
       {R"({"type": "linear"})", R"({"type": "mlp", "score": "softmax"})", R"({"type": "hash", "layers": 1})",
        R"({"type": "transformer"})", R"({"type": "transformer", "linear": false})"}) {
    const Json shape = gated_shape(gate);
    const TrainableModel model = lively_model(shape);
    const auto backend = make_cpu_backend({.threads = 1}).value();
    const RandomBatch batch({40});
    const double loss = evaluate(*Pass::create(model, *backend, 64).value(), batch).loss;
    EXPECT_NEAR(engine_loss(model, shape, batch), loss, 2e-4 * loss) << gate;
  }
}

TEST(Pass, TablesOfHashGatesAreKeptAndNotLearnt) {
  const TrainableModel model = small_model(1, gated_shape(R"({"type": "hash"})"));
  const auto is_table = [](const Parameter& tensor) { return tensor.role == WeightRole::kRoutingTable; };
  EXPECT_EQ(std::ranges::count_if(model.tensors(), is_table), 2);
  EXPECT_EQ(std::ranges::count_if(model.parameters(), is_table), 0);
  for (const Parameter& tensor : model.tensors()) {
    if (!is_table(tensor)) continue;
    EXPECT_TRUE(check_hash_table(tensor.values(), 2, 6).has_value()) << tensor.name;
  }
}

TEST(Pass, GradientsHaveEqualBitsWhateverTheThreadsAndInstructionSet) {
  const RandomBatch batch({30, 17, 1, 8});
  for (const Compute compute : {Compute::kF32, Compute::kBF16}) {
    std::vector<float> first;
    for (const Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512}) {
      if (!has_isa(isa)) continue;
      for (const int threads : {1, 3}) {
        const TrainableModel model = lively_model(small_shape());
        const auto backend = make_cpu_backend({.threads = threads, .isa = std::string(name(isa))}).value();
        const auto pass = Pass::create(model, *backend, 64, {.compute = compute}).value();
        pass->run(batch.batch(), {.scale = 0.1f});
        const std::vector<float> gradients = all_gradients(model);
        if (first.empty()) first = gradients;
        EXPECT_EQ(gradients, first) << backend->description();
      }
    }
  }
}

/// The length of a - b over that of b.
double relative_error(std::span<const float> a, std::span<const float> b) {
  double error = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += std::pow(double{a[i]} - double{b[i]}, 2);
    size += std::pow(double{b[i]}, 2);
  }
  return std::sqrt(error / size);
}

TEST(Pass, Bf16IsCloseToF32InEveryParameterAndEqualInNone) {
  const TrainableModel f32 = lively_model(small_shape());
  const TrainableModel bf16 = lively_model(small_shape());
  const auto backend = make_cpu_backend({.threads = 1}).value();
  const RandomBatch batch({5, 3});
  const auto pass = Pass::create(bf16, *backend, 16, {.compute = Compute::kBF16}).value();
  const Evaluation exact = evaluate(*Pass::create(f32, *backend, 16).value(), batch, /*gradient=*/true);
  const Evaluation rounded = evaluate(*pass, batch, /*gradient=*/true);
  ASSERT_EQ(rounded.experts, exact.experts) << "another seed: a token changed its experts";
  // A product's inputs are off by up to 2^-9 of themselves; many products follow one another.
  int checked = 0;
  for (size_t i = 0; i < f32.parameters().size(); ++i) {
    const std::span<const float> gradients = f32.parameters()[i].gradients();
    if (std::ranges::all_of(gradients, [](float g) { return g == 0; })) continue;  // an expert without tokens
    ++checked;
    const double error = relative_error(bf16.parameters()[i].gradients(), gradients);
    EXPECT_GT(error, 0x1p-8) << f32.parameters()[i].name;
    EXPECT_LT(error, 0x1p-4) << f32.parameters()[i].name;
  }
  EXPECT_GT(checked, 25);
  // Validation rounds as training does.
  const double shift = std::abs(rounded.loss - exact.loss);
  EXPECT_GT(shift, 1e-5 * exact.loss);
  EXPECT_LT(shift, 1e-2 * exact.loss);
  EXPECT_NEAR(evaluate(*pass, batch).loss, rounded.loss, 0.1 * shift);
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

/// Random routing, so that deciding a second time would be another decision, and counts, which would double.
TEST(Pass, RecomputedGradientsHaveTheBitsOfKeptOnes) {
  const std::pair<const char*, Compute> cases[] = {
      {R"({"type": "linear"})", Compute::kF32},
      {R"({"type": "linear"})", Compute::kBF16},
      {R"({"type": "mlp"})", Compute::kF32},
      {R"({"type": "hash", "layers": 1})", Compute::kF32},
      {R"({"type": "transformer", "width": 12, "head_dim": 6, "hidden": 14})", Compute::kBF16}};
  for (const auto& [gate, compute] : cases) {
    SCOPED_TRACE(gate);
    const auto backend = make_cpu_backend({.threads = 2}).value();
    const RandomBatch batch({30, 17, 1, 8});
    std::vector<std::vector<float>> gradients;
    std::vector<double> losses;
    std::vector<std::vector<int64_t>> counts;
    std::vector<int64_t> peaks;
    for (const bool recompute : {false, true}) {
      const TrainableModel model = lively_model(gated_shape(gate));
      Balance balance(model.config(), {.sequence = 0.1});
      uint64_t draw = 0;
      const std::vector<RoutingPolicy> policies = {[&](RoutingPlan plan) {
                                                     const RandomStream random(1, ++draw);
                                                     return without_experts(std::move(plan), [&](int64_t t) {
                                                       return random.uniform(static_cast<uint64_t>(t)) < 0.2;
                                                     });
                                                   },
                                                   balance.policy()};
      const auto pass =
          Pass::create(model, *backend, 64, {.recompute = recompute, .compute = compute}).value();
      balance.begin_step(56, 4);
      balance.begin_pass(batch.sequences);
      losses.push_back(
          pass->run(batch.batch(), {.scale = 0.1f, .policies = policies, .auxiliary = &balance.gradient()}));
      gradients.push_back(all_gradients(model));
      counts.push_back(balance.layers()[0].counts);
      peaks.push_back(pass->peak_bytes());
      EXPECT_LE(pass->peak_bytes(), 2 * pass_bytes(model.config(), 64, recompute));
    }
    EXPECT_EQ(losses[0], losses[1]);
    EXPECT_EQ(gradients[0], gradients[1]);
    EXPECT_EQ(counts[0], counts[1]);
    EXPECT_LT(peaks[1], peaks[0]);
  }
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
  for (const char* gate : {R"({"type": "linear"})", R"({"type": "mlp", "hidden": 4000})",
                           R"({"type": "transformer", "width": 900, "head_dim": 500, "hidden": 2000})"}) {
    const TrainableModel model = lively_model(gated_shape(gate));
    const auto backend = make_cpu_backend({.threads = 1}).value();
    const auto pass = Pass::create(model, *backend, 64).value();
    pass->run(RandomBatch({64}).batch(), {.scale = 1});
    EXPECT_LE(pass->peak_bytes(), 2 * pass_bytes(model.config(), 64)) << gate;
    EXPECT_GT(pass->peak_bytes(), 0);
  }
}

}  // namespace
}  // namespace cadre::train
