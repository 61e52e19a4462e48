// quantize_model with importances and with error compensation.
#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <map>
#include <set>

#include "cadre/base/file.h"
#include "cadre/base/fixtures.h"
#include "cadre/base/interrupt.h"
#include "cadre/quant/compensator.h"
#include "cadre/quant/encode.h"
#include "cadre/quant/gptq.h"
#include "cadre/quant/importance.h"
#include "cadre/quant/test_calibration.h"
#include "cadre/runtime/random_model.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;

class CalibratedQuantize : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto made = write_random_model(calibration_shape(), path("in"), {.seed = 3}, fixtures::kNoProgress);
    ASSERT_TRUE(made) << made.error().message;
  }
  void TearDown() override { clear_interrupt(); }
  fs::path path(const char* name) const { return folder_ / name; }
  QuantizeOptions options(DType preset, int threads = 1) const {
    return {.plan = {.preset = preset, .pure = true}, .threads = threads, .gptq = &text_};
  }
  Result<QuantizeReport> quantize(const char* out, const QuantizeOptions& options) const {
    return quantize_model(path("in"), path(out), options, fixtures::kNoProgress);
  }
  std::string weights_of(const char* name) const { return *read_text_file(path(name) / "model.safetensors"); }

  fixtures::ScratchFolder folder_;
  const CalibrationText text_ = random_text(200, 50);
};

std::vector<float> decoded(const Weight& weight) {
  std::vector<float> values(static_cast<size_t>(weight.rows * weight.cols));
  for (int64_t r = 0; r < weight.rows; ++r) decode_weight_row(weight, r, values.data() + r * weight.cols);
  return values;
}

std::map<std::string, std::vector<float>> matrices_of(const fs::path& path) {
  const auto model = Model::load(path);
  EXPECT_TRUE(model) << path;
  std::map<std::string, std::vector<float>> matrices;
  Transformer transformer = model->transformer();
  model->checkpoint().visit_weights(transformer, [&](const WeightSlot& slot) {
    if (slot.matrix != nullptr) matrices[slot.name] = decoded(*slot.matrix);
  });
  return matrices;
}

/// Every weight is where it belongs: also where heads of 24 rows cut blocks of 16.
TEST_F(CalibratedQuantize, CompensatedWeightsAreNearTheSource) {
  ASSERT_TRUE(quantize("plain", {.plan = {.rules = {{"*", DType::kF32}}}}));
  const auto report = quantize("out", options(DType::kPackedQ6));
  ASSERT_TRUE(report) << report.error().message;
  const auto source = matrices_of(path("plain"));
  const auto made = matrices_of(path("out"));
  ASSERT_EQ(source.size(), made.size());
  for (const auto& [name, values] : source) {
    const std::vector<float>& rounded = made.at(name);
    ASSERT_EQ(values.size(), rounded.size());
    double error = 0;
    double size = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      error += std::pow(static_cast<double>(values[i]) - rounded[i], 2);
      size += std::pow(static_cast<double>(values[i]), 2);
    }
    EXPECT_LT(std::sqrt(error / size), 0.05) << name;
  }
  const auto config = read_json_file((path("out") / "config.json").string());
  ASSERT_TRUE(config);
  EXPECT_EQ((*config)["quantization_config"]["gptq"], true);
}

TEST_F(CalibratedQuantize, CompensationChangesCodesButNotTheEmbedding) {
  ASSERT_TRUE(quantize("gptq", options(DType::kPackedQ3)));
  ASSERT_TRUE(quantize("plain", {.plan = {.preset = DType::kPackedQ3, .pure = true}}));
  const auto gptq = matrices_of(path("gptq"));
  const auto plain = matrices_of(path("plain"));
  for (const auto& [name, values] : gptq) {
    const bool router = name.ends_with("mlp.gate.weight");
    const bool wide = name.ends_with("o_proj.weight");  // 72 columns: bf16
    EXPECT_EQ(values == plain.at(name), router || wide || name == "model.embed_tokens.weight") << name;
  }
}

TEST_F(CalibratedQuantize, HeadsAndExpertsAreRoundedForTheirOwnInputs) {
  ASSERT_TRUE(quantize("out", options(DType::kPackedQ3)));
  const auto made = matrices_of(path("out"));
  const auto source = QuantSource::open(path("in"));
  ASSERT_TRUE(source);
  auto compensator = Compensator::create(*source, text_, {.threads = 1});
  ASSERT_TRUE(compensator);
  ThreadPool pool(1);
  const auto plan =
      plan_quantisation(source->family(), source->target(), {.preset = DType::kPackedQ3, .pure = true});
  ASSERT_TRUE(plan);
  std::set<size_t> part_counts;
  for (const PlannedWeight& weight : plan->weights) {
    if (!is_packed(weight.type)) continue;
    const auto feedback = compensator->feedback(weight);
    ASSERT_TRUE(feedback);
    if (*feedback == nullptr) continue;
    const auto parts = static_cast<int64_t>((*feedback)->parts.size());
    part_counts.insert(static_cast<size_t>(parts));
    const WeightRows rows = source->rows(weight);
    std::vector<float> values(static_cast<size_t>(rows.rows() * rows.cols()));
    rows.read(0, rows.rows(), values.data());
    RoundedRows rounded(rows.rows(), rows.cols());
    const int64_t part_rows = rows.rows() / parts;
    for (int64_t part = 0; part < parts; ++part)
      round_with_feedback(weight.type, (*feedback)->parts[static_cast<size_t>(part)].feedback[0],
                          values.data(), part * part_rows, part_rows, 0, compensator->backend(), pool,
                          rounded);
    const std::vector<float>& found = made.at(weight.name);
    for (size_t i = 0; i < found.size(); ++i)
      ASSERT_EQ(found[i],
                GroupRounder(weight.type, rounded.scales[i / kPackedGroup]).decoded(rounded.codes[i]))
          << weight.name << " element " << i;
  }
  EXPECT_EQ(part_counts, (std::set<size_t>{1, 3}));
}

TEST_F(CalibratedQuantize, ThreadsChangeNoByte) {
  ASSERT_TRUE(quantize("one", options(DType::kPackedQ4, 1)));
  ASSERT_TRUE(quantize("three", options(DType::kPackedQ4, 3)));
  EXPECT_TRUE(weights_of("one") == weights_of("three"));
}

TEST_F(CalibratedQuantize, AnInterruptedRunGoesOnToTheSameBytes) {
  install_interrupt_handlers();
  const auto whole = quantize("whole", options(DType::kPackedQ4));
  ASSERT_TRUE(whole) << whole.error().message;
  const std::string expected = weights_of("whole");
  for (int64_t stop = 1; stop < whole->tensors; stop += 5) {
    int64_t steps = 0;
    const auto interrupted =
        quantize_model(path("in"), path("out"), options(DType::kPackedQ4), [&](int64_t, int64_t) {
          if (++steps == stop) std::raise(SIGINT);
        });
    ASSERT_FALSE(interrupted);
    ASSERT_EQ(interrupted.error().kind, ErrorKind::kInterrupt) << interrupted.error().message;
    clear_interrupt();
    const auto resumed = quantize("out", options(DType::kPackedQ4));
    ASSERT_TRUE(resumed) << resumed.error().message;
    EXPECT_EQ(resumed->resumed_tensors, stop);
    ASSERT_TRUE(weights_of("out") == expected) << "after tensor " << stop;
    fs::remove_all(path("out"));
  }
}

TEST_F(CalibratedQuantize, AnInterruptedRunGoesOnOnlyWithItsText) {
  install_interrupt_handlers();
  int64_t steps = 0;
  ASSERT_FALSE(quantize_model(path("in"), path("out"), options(DType::kPackedQ4), [&](int64_t, int64_t) {
    if (++steps == 9) std::raise(SIGINT);
  }));
  clear_interrupt();
  CalibrationText other = random_text(200, 50);
  other.identity = "another";
  QuantizeOptions with_other = options(DType::kPackedQ4);
  with_other.gptq = &other;
  const auto refused = quantize("out", with_other);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("--restart"), std::string::npos) << refused.error().message;
}

TEST_F(CalibratedQuantize, ImportancesThatWouldChangeNothingAreRefused) {
  const auto model = Model::load(path("in"));
  ASSERT_TRUE(model);
  const auto data = collect_importance(*model, text_, {.threads = 1}, fixtures::kNoProgress);
  ASSERT_TRUE(data) << data.error().message;
  const ModelConfig target = split_kv_b(model->config());
  const auto importance = Importance::bind(*data, **find_family(target.model_type, "test"), target, "test");
  ASSERT_TRUE(importance) << importance.error().message;
  const auto refused =
      quantize("out", {.plan = {.rules = {{"*", DType::kBF16}}}, .importance = &*importance});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kUsage);
  EXPECT_FALSE(fs::exists(path("out.partial")));
  const auto accepted = quantize("out", {.importance = &*importance});
  ASSERT_TRUE(accepted) << accepted.error().message;
  ASSERT_FALSE(accepted->notes.empty());
  bool says_which = false;
  for (const std::string& note : accepted->notes)
    says_which |= note.find("1 of") != std::string::npos && note.find("embedding") != std::string::npos;
  EXPECT_TRUE(says_which);
}

}  // namespace
}  // namespace cadre
