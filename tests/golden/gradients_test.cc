// Losses and gradients against those of the published implementations in f64, through `cadre grads`. The
// files and their tolerances are described in golden/README.md of the shared data.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "cadre/base/fixtures.h"
#include "cadre/base/shared_folder_testing.h"
#include "cadre/formats/safetensors.h"
#include "golden_values.h"
#include "program.h"

namespace cadre {
namespace {

using fixtures::run_cadre;
using fixtures::shared_folder;
using fixtures::values;

constexpr double kGradientTolerance = 5e-5;  // of the tensor's largest entry
constexpr double kLossTolerance = 2e-6;      // relative

void write_ids(const std::filesystem::path& path, const SafetensorsFile& golden) {
  const auto ids = values<int32_t>(golden, "input_ids");
  const Shape& shape = golden.find("input_ids")->shape;
  std::ofstream out(path);
  out << "[";
  for (int64_t b = 0; b < shape[0]; ++b) {
    out << (b > 0 ? ",[" : "[");
    for (int64_t t = 0; t < shape[1]; ++t)
      out << (t > 0 ? "," : "") << ids[static_cast<size_t>(b * shape[1] + t)];
    out << "]";
  }
  out << "]";
}

void expect_near(const std::vector<float>& ours, const std::vector<float>& reference,
                 const std::string& name) {
  ASSERT_EQ(ours.size(), reference.size()) << name;
  double largest = 0;
  double difference = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    largest = std::max(largest, std::abs(double{reference[i]}));
    const double error = std::abs(double{ours[i]} - double{reference[i]});
    if (!(error <= difference)) difference = error;
  }
  EXPECT_LE(difference, kGradientTolerance * largest) << name << ", largest entry " << largest;
}

class GradientGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(GradientGolden, LossesAndGradientsMatchTheReference) {
  const std::filesystem::path model = shared_folder() / "golden" / GetParam();
  if (!std::filesystem::exists(model)) GTEST_SKIP() << "no golden data at " << model << "; set CADRE_SHARED";
  const fixtures::ScratchFolder scratch;
  const auto golden = SafetensorsFile::open(model / "golden.safetensors").value();
  write_ids(scratch / "ids.json", golden);
  const auto result = run_cadre("grads " + model.string() + " --ids " + (scratch / "ids.json").string() +
                                " --out " + (scratch / "out").string());
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto ours = SafetensorsFile::open(scratch / "out").value();
  int gradients = 0;
  for (const NamedTensor& tensor : golden.tensors()) {
    const std::string& name = tensor.name;
    if (name.starts_with("grad_ce.") || name.starts_with("grad_aux_batch.")) {
      expect_near(values<float>(ours, name), values<float>(golden, name), name);
      ++gradients;
    }
  }
  EXPECT_GT(gradients, 40);
  for (const char* name : {"loss_ce", "gradnorm_ce", "aux_batch.total", "aux_batch.per_layer",
                           "aux_seq.total", "aux_seq.per_layer"}) {
    const auto reference = values<double>(golden, name);  // auxiliary losses: V2 only
    const auto got = values<double>(ours, name);
    for (size_t i = 0; i < reference.size(); ++i)
      EXPECT_NEAR(got.at(i), reference[i], kLossTolerance * reference[i]) << name;
  }
}

// The gate of the last MoE layer has no path to an auxiliary loss but its own layer's.
TEST(GradientGolden, SequenceLossOfTheLastLayerMatchesTheReference) {
  const std::filesystem::path model = shared_folder() / "golden/train_v2lite";
  if (!std::filesystem::exists(model)) GTEST_SKIP() << "no golden data at " << model << "; set CADRE_SHARED";
  const fixtures::ScratchFolder scratch;
  const auto golden = SafetensorsFile::open(model / "golden.safetensors").value();
  write_ids(scratch / "ids.json", golden);
  const auto result = run_cadre("grads " + model.string() + " --ids " + (scratch / "ids.json").string() +
                                " --out " + (scratch / "out").string());
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto ours = SafetensorsFile::open(scratch / "out").value();
  for (const std::string loss : {"aux_batch", "aux_seq"}) {
    const auto reference = values<float>(golden, loss + ".local_grad_gate.2");
    ASSERT_FALSE(reference.empty());
    expect_near(values<float>(ours, "grad_" + loss + ".model.layers.2.mlp.gate.weight"), reference, loss);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GradientGolden, ::testing::Values("train_v2lite", "train_v3"),
                         [](const auto& tested) { return std::string(tested.param); });

TEST(Grads, RefusesInputWithNothingToPredict) {
  const std::filesystem::path model = shared_folder() / "golden/train_v3";
  if (!std::filesystem::exists(model)) GTEST_SKIP() << "no golden data at " << model << "; set CADRE_SHARED";
  const fixtures::ScratchFolder scratch;
  scratch.file("ids.json", "[[1],[2]]");
  const auto result = run_cadre("grads " + model.string() + " --ids " + (scratch / "ids.json").string() +
                                " --out " + (scratch / "out").string());
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("two tokens or more"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace cadre
