#include "cadre/train/adapters.h"

#include <cmath>
#include <filesystem>

#include "cadre/base/fixtures.h"
#include "cadre/data/prepare.h"
#include "cadre/data/test_corpus.h"
#include "cadre/runtime/engine.h"
#include "cadre/runtime/random_model.h"
#include "cadre/train/train_testing.h"
#include "cadre/train/trainer.h"

namespace cadre::train {
namespace {

using cadre::fixtures::ScratchFolder;
using fixtures::RandomBatch;
using fixtures::small_model;

constexpr int64_t kVocabulary = 300;

LoraConfig lora(std::vector<std::string> targets = {"q_b_proj", "kv_b_proj", "up_proj"}) {
  return {.rank = 3, .alpha = 6, .targets = std::move(targets)};
}

std::vector<float> all_tensors(const TrainableModel& model) {
  std::vector<float> result;
  for (const Parameter& tensor : model.tensors())
    result.insert(result.end(), tensor.values().begin(), tensor.values().end());
  return result;
}

TEST(Adapters, BeginAsNoChangeBitForBit) {
  TrainableModel model = small_model();
  const auto backend = make_cpu_backend({.threads = 1}).value();
  const RandomBatch batch({9, 4});
  const std::vector<float> before = all_tensors(model);
  ASSERT_TRUE(model.adapt(lora(), 5).has_value());
  model.adapters()->apply(*backend->gradients());
  EXPECT_EQ(all_tensors(model), before);
  // 2 layers: q_b and kv_b of each; up of the dense FFN, six experts and the shared one.
  EXPECT_EQ(model.adapters()->adapted().size(), 12u);
  EXPECT_EQ(model.parameters().size(), 24u);
  EXPECT_EQ(model.parameters()[0].name, "base_model.model.model.layers.0.self_attn.q_b_proj.lora_A.weight");
}

TEST(Adapters, TheLayersReadTheScaledProduct) {
  TrainableModel model = small_model();
  const std::unique_ptr<Backend> backend = make_reference_backend();
  const std::vector<float> before = all_tensors(model);
  ASSERT_TRUE(model.adapt(lora({"o_proj"}), 5).has_value());
  const Parameter& w = model.adapters()->adapted()[0];
  const std::vector<float> base(w.values().begin(), w.values().end());
  const Parameter& a = model.parameters()[0];
  const Parameter& b = model.parameters()[1];
  for (size_t i = 0; i < b.values().size(); ++i)
    b.values()[i] = static_cast<float>(RandomStream(8, 1).normal(i));
  model.adapters()->apply(*backend->gradients());
  for (int64_t r = 0; r < w.value.rows; ++r)
    for (int64_t c = 0; c < w.value.width; ++c) {
      double product = 0;
      for (int64_t k = 0; k < 3; ++k) product += double{b.value.row(r)[k]} * double{a.value.row(k)[c]};
      const float expected =
          base[static_cast<size_t>(r * w.value.width + c)] + static_cast<float>(2 * product);
      EXPECT_NEAR(w.value.row(r)[c], expected, 1e-6);
    }
  std::ranges::fill(b.values(), 0.0f);
  model.adapters()->apply(*backend->gradients());
  EXPECT_EQ(all_tensors(model), before);
}

TEST(Adapters, GradientsMatchFiniteDifferencesAndTheBaseStays) {
  TrainableModel model = small_model();
  for (const Parameter& tensor : model.tensors()) {  // larger, so that differences see every path
    const RandomStream random(3, static_cast<uint64_t>(tensor.count()));
    for (size_t i = 0; i < tensor.values().size(); ++i)
      tensor.values()[i] += static_cast<float>(0.3 * random.normal(i));
  }
  const std::unique_ptr<Backend> backend = make_reference_backend();
  GradientBackend& device = *backend->gradients();
  ASSERT_TRUE(model.adapt(lora(), 5).has_value());
  for (const Parameter& parameter : model.parameters())
    for (size_t i = 0; i < parameter.values().size(); ++i)
      parameter.values()[i] += static_cast<float>(0.2 * RandomStream(8, 1).normal(i));
  const auto pass = Pass::create(model, *backend, 16).value();
  const RandomBatch batch({6, 3});
  std::vector<std::vector<int32_t>> experts;
  const RoutingPolicy watch = [&](RoutingPlan plan) {
    experts.push_back(plan.experts);
    return plan;
  };
  const auto loss = [&](bool gradient) {
    experts.clear();
    model.adapters()->apply(device);
    return pass->run(batch.batch(), {.scale = 1, .gradient = gradient, .policies = std::span(&watch, 1)});
  };
  loss(true);
  const auto chosen = experts;
  model.adapters()->take_gradients(device);
  for (const Parameter& w : model.adapters()->adapted())
    for (const float g : w.gradients()) ASSERT_EQ(g, 0);
  int checked = 0;
  for (const Parameter& parameter : model.parameters()) {
    for (const size_t i : {size_t{0}, parameter.values().size() - 1}) {
      float& value = parameter.values()[i];
      const float kept = value;
      value = kept + 4e-3f;
      const double above = loss(false);
      const bool same = experts == chosen;
      value = kept - 4e-3f;
      const double below = loss(false);
      value = kept;
      if (!same || experts != chosen) continue;
      const double numeric = (above - below) / 8e-3;
      EXPECT_NEAR(double{parameter.gradients()[i]}, numeric, 0.01 * (0.2 + std::abs(numeric)))
          << parameter.name << " " << i;
      ++checked;
    }
  }
  EXPECT_GT(checked, 30);
}

TEST(Adapters, WhatDoesNotFitIsNamed) {
  const auto message = [](const LoraConfig& config) {
    TrainableModel model = small_model();
    const Status status = model.adapt(config, 1);
    return status ? std::string() : status.error().message;
  };
  EXPECT_NE(message(lora({"q_b_proj", "w_pack"})).find("'w_pack' names no matrix"), std::string::npos);
  EXPECT_NE(message(lora({"w_pack"})).find("q_b_proj"), std::string::npos);
  EXPECT_NE(message(lora({"gate"})).find("lora.targets"), std::string::npos);  // the router is not adapted
  EXPECT_NE(message(lora({"proj"})).find("lora.targets"), std::string::npos);  // whole names
  EXPECT_EQ(message(lora({"layers.1.self_attn.o_proj"})), "");
  EXPECT_NE(message({.rank = 13, .alpha = 1, .targets = {"q_b_proj"}}).find("lora.rank"), std::string::npos);
}

/// A base model that was trained a little, and runs that learn adapters for it.
class LoraRun : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = std::make_unique<ScratchFolder>();
    const auto tokenizer = cadre::fixtures::small_tokenizer(*scratch_, kVocabulary);
    const std::vector files = {scratch_->file("stories.jsonl", cadre::fixtures::numbered_stories(60))};
    ASSERT_TRUE(prepare_corpus(files, tokenizer, *scratch_ / "shards",
                               {.held_out = 0.2, .shard_tokens = 4000}, cadre::fixtures::kNoProgress));
    Json shape = fixtures::small_shape();
    shape["vocab_size"] = kVocabulary;
    Json json = document("base", 60);
    json.erase("start_from");
    json.erase("lora");
    json["model"] = shape;
    json["tokenizer"] = "tok";
    ASSERT_EQ(run(json), "");
  }
  static void TearDownTestSuite() { scratch_.reset(); }

  static Json document(const std::string& out, int64_t steps) {
    return {
        {"start_from", "base/step-00000060"},
        {"lora", {{"rank", 4}, {"alpha", 8}, {"targets", {"q_b_proj", "kv_b_proj", "o_proj", "down_proj"}}}},
        {"data", "shards"},
        {"out", out},
        {"seed", 3},
        {"steps", steps},
        {"batch", {{"sequences", 4}, {"length", 48}, {"micro_sequences", 2}}},
        {"optimiser", {{"learning_rate", 0.02}}},
        {"checkpoint", {{"every", 2}}}};
  }
  struct Quiet : TrainListener {
    void on_step(const StepReport& report) override {
      losses.push_back(report.held_out_loss.value_or(report.loss));
    }
    void on_checkpoint(const std::filesystem::path&) override {}
    std::vector<double> losses;
  };
  /// Runs it; the error's message, or nothing.
  static std::string run(const Json& json, bool resume = false, Quiet* listener = nullptr) {
    const auto config = parse_train_config(json, "run.json", *scratch_ / "");
    if (!config) return config.error().message;
    static const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 2}).value();
    const auto trainer = Trainer::create(*config, *backend, resume);
    if (!trainer) return trainer.error().message;
    Quiet quiet;
    const Status status = (*trainer)->run(listener == nullptr ? quiet : *listener);
    return status ? "" : status.error().message;
  }
  static std::filesystem::path at(const std::string& name) { return *scratch_ / name; }
  static std::vector<float> logits(const Model& model) {
    Engine engine =
        Engine::create(model, {.cpu = {.threads = 1}, .kv_type = DType::kF32, .max_logit_rows = 64}).value();
    std::vector<int32_t> tokens(30);
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(7 * i % 290);
    const StepItem item{.sequence = engine.open_sequence(), .tokens = tokens, .logits = LogitsFor::kAll};
    const Tensor rows = engine.step(std::span(&item, 1)).value();
    return {rows.data, rows.data + rows.rows * rows.width};
  }

  static std::unique_ptr<ScratchFolder> scratch_;
};
std::unique_ptr<ScratchFolder> LoraRun::scratch_;

TEST_F(LoraRun, LearnsAndItsCheckpointIsAnAdapterThatLoads) {
  Json json = document("learns", 40);
  json["optimiser"]["learning_rate"] = 0.01;
  json["validate"] = {{"every", 1}};
  Quiet quiet;
  ASSERT_EQ(run(json, false, &quiet), "");
  EXPECT_LT(quiet.losses.back(), quiet.losses.front() - 0.05);
  const auto folder = at("learns/step-00000040");
  EXPECT_FALSE(std::filesystem::exists(folder / "model.safetensors"));
  const SafetensorsFile file = SafetensorsFile::open(folder / kLoraWeightsFile).value();
  // 2 layers of 3 attention matrices; 1 dense FFN, 6 experts, 1 shared.
  EXPECT_EQ(file.tensors().size(), 2u * (2 * 3 + 8));

  const Model base = Model::load(at("base/step-00000060")).value();
  const auto adapted = Model::load(at("base/step-00000060"), {.lora = folder});
  ASSERT_TRUE(adapted) << adapted.error().message;
  EXPECT_NE(logits(base), logits(*adapted));
}

TEST_F(LoraRun, ResumedIsUninterruptedBitForBit) {
  Json constant = document("whole", 4);  // of one schedule, whatever the number of steps
  constant["optimiser"]["warmup"] = constant["optimiser"]["decay"] = 0;
  Json first = constant, second = constant;
  first["out"] = second["out"] = "parts";
  first["steps"] = 2;
  ASSERT_EQ(run(constant), "");
  ASSERT_EQ(run(first), "");
  ASSERT_EQ(run(second, true), "");
  EXPECT_EQ(cadre::fixtures::read_file(at("whole/step-00000004") / kLoraWeightsFile),
            cadre::fixtures::read_file(at("parts/step-00000004") / kLoraWeightsFile));
}

TEST_F(LoraRun, RecomputesWithTheSameBitsAndFitsABudgetOfMemory) {
  Json kept = document("kept", 2), recomputed = document("recomputed", 2);
  kept["compute"] = recomputed["compute"] = "bf16";
  recomputed["recompute"] = true;
  ASSERT_EQ(run(kept), "");
  ASSERT_EQ(run(recomputed), "");
  EXPECT_EQ(cadre::fixtures::read_file(at("kept/step-00000002") / kLoraWeightsFile),
            cadre::fixtures::read_file(at("recomputed/step-00000002") / kLoraWeightsFile));

  const auto rows_with = [](double memory_gb) {
    Json json = document("budget", 2);
    json["batch"].erase("micro_sequences");
    json["batch"]["memory_gb"] = memory_gb;
    const auto config = parse_train_config(json, "run.json", *scratch_ / "").value();
    const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 1}).value();
    const auto trainer = Trainer::create(config, *backend, false);
    return trainer ? (*trainer)->config().micro_sequences : 0;
  };
  EXPECT_EQ(rows_with(1), 4);
  EXPECT_EQ(rows_with(1e-4), 0);
  int64_t last = 0;
  for (double gb = 1e-3; gb < 0.1; gb *= 1.2) {
    EXPECT_GE(rows_with(gb), last);
    last = rows_with(gb);
  }
  EXPECT_EQ(last, 4);
}

TEST_F(LoraRun, AnAdapterOfZerosIsTheIdentityBitForBit) {
  Json json = document("zero", 1);
  json["optimiser"]["learning_rate"] = 0;  // B stays 0
  ASSERT_EQ(run(json), "");
  const Model base = Model::load(at("base/step-00000060")).value();
  const Model adapted = Model::load(at("base/step-00000060"), {.lora = at("zero/step-00000001")}).value();
  EXPECT_EQ(logits(base), logits(adapted));
}

TEST_F(LoraRun, AMatrixThatTheBaseStoresAsTwoTakesNoAdapter) {
  Json shape = fixtures::small_shape();
  shape["vocab_size"] = kVocabulary;
  ASSERT_TRUE(write_random_model(shape, at("packed"), {.type = DType::kPackedQ8}, [](int64_t, int64_t) {}));
  Json json = document("of-packed", 2);
  json["start_from"] = "packed";
  json["tokenizer"] = "tok";
  EXPECT_NE(run(json).find("'kv_b_proj' as two matrices"), std::string::npos);
  json["lora"]["targets"] = {"o_proj"};
  EXPECT_EQ(run(json), "");
  EXPECT_TRUE(Model::load(at("packed"), {.lora = at("of-packed/step-00000002")}));
}

TEST_F(LoraRun, MistakesAreNamed) {
  Json json = document("mistakes", 2);
  json["lora"]["rank"] = 0;
  EXPECT_NE(run(json).find("lora.rank"), std::string::npos);
  json = document("mistakes", 2);
  json["lora"]["dropout"] = 0.1;
  EXPECT_NE(run(json).find("lora.dropout"), std::string::npos);
  json = document("mistakes", 2);
  json["lora"]["targets"] = "q_b_proj";
  EXPECT_NE(run(json).find("lora.targets"), std::string::npos);
  json = document("mistakes", 2);
  json["model"] = fixtures::small_shape();
  json.erase("start_from");
  EXPECT_NE(run(json).find("start_from"), std::string::npos);

  ASSERT_EQ(run(document("other", 2)), "");
  json = document("other", 4);
  json["lora"]["rank"] = 2;
  EXPECT_NE(run(json, true).find("field 'r'"), std::string::npos) << run(json, true);
  json = document("other", 4);
  json["lora"]["alpha"] = 2;
  EXPECT_NE(run(json, true).find("lora_alpha"), std::string::npos);
}

}  // namespace
}  // namespace cadre::train
