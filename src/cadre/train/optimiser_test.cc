#include "cadre/train/optimiser.h"

#include <cmath>

#include "cadre/train/muon.h"
#include "cadre/train/schedule.h"
#include "cadre/train/train_testing.h"

namespace cadre::train {
namespace {

using fixtures::all_values;
using fixtures::RandomBatch;
using fixtures::small_model;

TEST(Orthogonalise, BringsSingularValuesNearOne) {
  const std::unique_ptr<Backend> backend = make_reference_backend();
  const RandomStream random(1, 1);
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{6, 6}, {4, 11}, {9, 5}, {1, 7}}) {
    std::vector<float> values(static_cast<size_t>(rows * cols));
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(3 * random.normal(i));
    const Tensor x = Tensor::dense(values.data(), rows, cols);
    orthogonalise(x, *backend->gradients());
    // The trace of X X^T is the sum of squared singular values, each between 0.6 and 1.3.
    double trace = 0;
    for (const float value : values) trace += double{value} * double{value};
    const auto rank = static_cast<double>(std::min(rows, cols));
    EXPECT_GT(trace, 0.36 * rank) << rows << " x " << cols;
    EXPECT_LT(trace, 1.69 * rank) << rows << " x " << cols;
  }
}

TEST(Orthogonalise, KeepsTheDirectionsOfADiagonalMatrix) {
  const std::unique_ptr<Backend> backend = make_reference_backend();
  std::vector<float> values = {5, 0, 0, 0, -2, 0, 0, 0, 1};
  orthogonalise(Tensor::dense(values.data(), 3, 3), *backend->gradients());
  EXPECT_NEAR(values[0], 1, 0.35);
  EXPECT_NEAR(values[4], -1, 0.35);
  EXPECT_NEAR(values[8], 1, 0.35);
  EXPECT_NEAR(values[1], 0, 1e-6);
}

TEST(Orthogonalise, LeavesZerosAlone) {
  const std::unique_ptr<Backend> backend = make_reference_backend();
  std::vector<float> values(6, 0.0f);
  orthogonalise(Tensor::dense(values.data(), 2, 3), *backend->gradients());
  EXPECT_EQ(values, std::vector<float>(6, 0.0f));
}

class OptimiserTest : public ::testing::TestWithParam<bool> {};

double train(const TrainableModel& model, Backend& backend, Optimiser& optimiser, int steps) {
  const auto pass = Pass::create(model, backend, 32).value();
  const RandomBatch batch({16, 16});
  double loss = 0;
  for (int step = 0; step < steps; ++step) {
    loss = pass->run(batch.batch(), {.scale = 1.0f / 28});
    optimiser.update(model, *backend.gradients(), 3e-3);
  }
  return loss / 28;
}

TEST_P(OptimiserTest, LearnsABatchByHeart) {
  const TrainableModel model = small_model();
  const auto backend = make_cpu_backend({.threads = 1}).value();
  Optimiser optimiser = Optimiser::create(model, {.muon = GetParam(), .weight_decay = 0.01}).value();
  EXPECT_GT(train(model, *backend, optimiser, 1), 3);
  EXPECT_LT(train(model, *backend, optimiser, 150), 0.7);
  EXPECT_EQ(optimiser.steps(), 151);
}

TEST_P(OptimiserTest, ThreadsDoNotChangeABit) {
  std::vector<std::vector<float>> values;
  for (const int threads : {1, 3}) {
    const TrainableModel model = small_model();
    const auto backend = make_cpu_backend({.threads = threads}).value();
    Optimiser optimiser = Optimiser::create(model, {.muon = GetParam()}).value();
    train(model, *backend, optimiser, 3);
    values.push_back(all_values(model));
  }
  EXPECT_EQ(values[0], values[1]);
}

INSTANTIATE_TEST_SUITE_P(Kinds, OptimiserTest, ::testing::Bool(),
                         [](const auto& tested) { return std::string(tested.param ? "muon" : "adamw"); });

TEST(GradientNorm, IsThatOfAllParameters) {
  const TrainableModel model = small_model();
  const auto backend = make_cpu_backend({.threads = 2}).value();
  Pass::create(model, *backend, 32).value()->run(RandomBatch({9}).batch(), {.scale = 1});
  double sum = 0;
  for (const float g : fixtures::all_gradients(model)) sum += double{g} * double{g};
  EXPECT_NEAR(gradient_norm(model, *backend->gradients()), std::sqrt(sum), 1e-5 * std::sqrt(sum));
}

TEST(Schedule, RisesStaysAndFalls) {
  const Schedule schedule{.steps = 10, .warmup = 3, .decay = 4};
  const std::vector<double> expected = {0.25, 0.5, 0.75, 1, 1, 1, 0.8, 0.6, 0.4, 0.2};
  for (int64_t step = 0; step < 10; ++step)
    EXPECT_NEAR(schedule.factor(step), expected[static_cast<size_t>(step)], 1e-12) << step;
  EXPECT_EQ((Schedule{.steps = 3}.factor(2)), 1);
}

}  // namespace
}  // namespace cadre::train
