#include "cadre/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <limits>

#include "cadre/base/fixtures.h"
#include "cadre/base/interrupt.h"
#include "cadre/data/prepare.h"
#include "cadre/data/test_corpus.h"
#include "cadre/tensor/convert.h"
#include "cadre/train/train_testing.h"

namespace cadre::train {
namespace {

using cadre::fixtures::read_file;
using cadre::fixtures::ScratchFolder;
using fixtures::all_values;

constexpr int64_t kTrainVocabulary = 300;

/// Keeps reports; may interrupt after a step.
class Watch : public TrainListener {
 public:
  void on_step(const StepReport& report) override {
    reports.push_back(report);
    if (report.step == interrupt_after) std::raise(SIGINT);
  }
  void on_checkpoint(const std::filesystem::path& folder) override { folders.push_back(folder); }
  void on_samples(std::span<const Sample> taken) override { samples.assign(taken.begin(), taken.end()); }

  std::vector<StepReport> reports;
  std::vector<std::filesystem::path> folders;
  std::vector<Sample> samples;
  int64_t interrupt_after = -1;
};

class TrainerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = std::make_unique<ScratchFolder>();
    const auto tokenizer = cadre::fixtures::small_tokenizer(*scratch_, kTrainVocabulary);
    const std::vector files = {scratch_->file("stories.jsonl", cadre::fixtures::numbered_stories(60))};
    const auto made = prepare_corpus(files, tokenizer, *scratch_ / "shards",
                                     {.held_out = 0.2, .shard_tokens = 4000}, cadre::fixtures::kNoProgress);
    ASSERT_TRUE(made) << made.error().message;
  }
  static void TearDownTestSuite() { scratch_.reset(); }

  static Json document(const std::string& out, int64_t steps = 6) {
    Json shape = fixtures::small_shape();
    shape["vocab_size"] = kTrainVocabulary;
    Json json{{"model", shape},
              {"data", "shards"},
              {"tokenizer", "tok"},
              {"out", out},
              {"seed", 3},
              {"steps", steps},
              {"batch", Json{{"sequences", 4}, {"length", 48}, {"micro_sequences", 2}}},
              {"optimiser", Json{{"learning_rate", 0.01}, {"type", "muon"}}}};
    return json;
  }
  static TrainConfig config(const Json& json) {
    return parse_train_config(json, "run.json", scratch_->operator/("")).value();
  }
  static Backend& backend() {
    static const std::unique_ptr<Backend> made = make_cpu_backend({.threads = 2}).value();
    return *made;
  }
  static std::unique_ptr<Trainer> open(const Json& json, bool resume = false) {
    auto trainer = Trainer::create(config(json), backend(), resume);
    EXPECT_TRUE(trainer.has_value()) << trainer.error().message;
    return std::move(trainer).value();
  }
  static std::string refusal(const Json& json, bool resume = false) {
    const auto trainer = Trainer::create(config(json), backend(), resume);
    EXPECT_FALSE(trainer.has_value());
    return trainer ? "" : trainer.error().message;
  }

  static std::unique_ptr<ScratchFolder> scratch_;
};
std::unique_ptr<ScratchFolder> TrainerTest::scratch_;

TEST_F(TrainerTest, LearnsAndWritesAModelThatLoads) {
  Json json = document("learns", 40);
  json["validate"] = Json{{"every", 20}, {"batches", 2}};
  json["samples"] = Json{{"prompts", {"Story", "Hello"}}, {"raw", true}, {"tokens", 5}};
  const auto trainer = open(json);
  Watch watch;
  ASSERT_TRUE(trainer->run(watch).has_value());
  ASSERT_EQ(watch.reports.size(), 40u);
  EXPECT_NEAR(watch.reports[0].loss, std::log(double{kTrainVocabulary}), 0.2);
  EXPECT_LT(watch.reports.back().loss, watch.reports[0].loss - 1.5);
  ASSERT_TRUE(watch.reports.back().held_out_loss.has_value());
  EXPECT_LT(*watch.reports.back().held_out_loss, *watch.reports[19].held_out_loss);
  const auto model = Model::load(watch.folders.back());
  ASSERT_TRUE(model.has_value()) << model.error().message;
  EXPECT_TRUE(std::filesystem::exists(watch.folders.back() / "tokenizer.json"));
  ASSERT_EQ(watch.samples.size(), 2u);
  EXPECT_EQ(watch.samples[1].step, 40);
  EXPECT_EQ(watch.samples[1].prompt, "Hello");
  EXPECT_FALSE(watch.samples[1].text.empty());
  EXPECT_EQ(read_samples(*scratch_ / "learns" / "samples.jsonl")->size(), 4u);  // of steps 20 and 40
  const std::string log = read_file(*scratch_ / "learns" / "log.jsonl");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 40);
  EXPECT_NE(log.find("\"max_vio_global\""), std::string::npos);
}

TEST_F(TrainerTest, ResumedIsUninterruptedBitForBit) {
  const auto document = [](const std::string& out) {
    Json json = TrainerTest::document(out);
    json["routing"] = Json{{"random_top_k", {1, 4}}, {"warmup", 0}, {"expert_dropout", 0.2}};
    return json;
  };
  Watch whole_watch;
  const auto whole = open(document("whole"));
  ASSERT_TRUE(whole->run(whole_watch).has_value());

  install_interrupt_handlers();
  Watch first_watch;
  first_watch.interrupt_after = 3;
  {
    const auto first = open(document("parts"));
    const Status status = first->run(first_watch);
    ASSERT_FALSE(status.has_value());
    EXPECT_EQ(status.error().kind, ErrorKind::kInterrupt);
    clear_interrupt();
  }
  Watch second_watch;
  const auto second = open(document("parts"), /*resume=*/true);
  EXPECT_EQ(second->first_step(), 3);
  ASSERT_TRUE(second->run(second_watch).has_value());
  ASSERT_EQ(second_watch.reports.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(second_watch.reports[i].loss, whole_watch.reports[i + 3].loss);
    EXPECT_EQ(second_watch.reports[i].routing.max_violation_global,
              whole_watch.reports[i + 3].routing.max_violation_global);
  }
  EXPECT_EQ(all_values(second->model()), all_values(whole->model()));
  EXPECT_EQ(read_file(second_watch.folders.back() / "model.safetensors"),
            read_file(whole_watch.folders.back() / "model.safetensors"));
  EXPECT_EQ(read_file(second_watch.folders.back() / "optimiser.safetensors"),
            read_file(whole_watch.folders.back() / "optimiser.safetensors"));
}

TEST_F(TrainerTest, KeepsTheLastCheckpointsAndTheBest) {
  Json json = document("keeps");
  json["checkpoint"] = Json{{"every", 1}, {"keep", 2}};
  Watch watch;
  ASSERT_TRUE(open(json)->run(watch).has_value());
  const auto kept = checkpoints(*scratch_ / "keeps");
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_EQ(kept[0].step, 5);
  EXPECT_EQ(kept[1].step, 6);
}

TEST_F(TrainerTest, RefusesAnotherRunsCheckpoint) {
  Watch watch;
  ASSERT_TRUE(open(document("other", 2))->run(watch).has_value());
  EXPECT_NE(refusal(document("other", 4)).find("--resume"), std::string::npos);
  Json wider = document("other", 4);
  wider["model"]["hidden_size"] = 32;
  EXPECT_NE(refusal(wider, true).find("field 'hidden_size': this run's architecture has"), std::string::npos);
  Json longer = document("other", 4);
  longer["batch"]["length"] = 32;
  EXPECT_NE(refusal(longer, true).find("field 'length': this run's configuration says 32, the checkpoint 48"),
            std::string::npos);
  Json rounded = document("other", 4);
  rounded["compute"] = "bf16";
  EXPECT_NE(
      refusal(rounded, true).find("field 'compute': this run's configuration says bf16, the checkpoint f32"),
      std::string::npos);
  Json adamw = document("other", 4);
  adamw["optimiser"]["type"] = "adamw";
  EXPECT_NE(refusal(adamw, true).find("optimiser.safetensors"), std::string::npos);
  EXPECT_EQ(open(document("other", 4), true)->first_step(), 2);
}

TEST_F(TrainerTest, Bf16RunsOnF32Weights) {
  Json f32 = document("f32", 3), bf16 = document("bf16", 3);
  bf16["compute"] = "bf16";
  Watch exact, rounded;
  ASSERT_TRUE(open(f32)->run(exact).has_value());
  const auto trainer = open(bf16);
  ASSERT_TRUE(trainer->run(rounded).has_value());
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NE(rounded.reports[i].loss, exact.reports[i].loss);
    EXPECT_NEAR(rounded.reports[i].loss, exact.reports[i].loss, 0.01);
  }
  // Most weights are between the values that bf16 has.
  const std::vector<float> values = all_values(trainer->model());
  const auto between = std::ranges::count_if(values, [](float v) { return v != round_to_bf16(v); });
  EXPECT_GT(between, std::ssize(values) / 2);
  // Goes on, and only so.
  bf16["steps"] = 4;
  EXPECT_EQ(open(bf16, /*resume=*/true)->first_step(), 3);
  bf16["compute"] = "f32";
  EXPECT_NE(
      refusal(bf16, true).find("field 'compute': this run's configuration says f32, the checkpoint bf16"),
      std::string::npos);
}

TEST_F(TrainerTest, ALossThatIsNoNumberStopsTheRunAndNamesTheLayer) {
  Json json = document("poisoned");
  json["checkpoint"] = Json{{"every", 1}, {"keep", 1}};
  Watch watch;
  const auto trainer = open(json);
  for (const Parameter& parameter : trainer->model().parameters())
    if (parameter.name == "model.layers.1.self_attn.o_proj.weight")
      parameter.value.data[0] = std::numeric_limits<float>::quiet_NaN();
  const Status status = trainer->run(watch);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(
      status.error().message,
      "step 1: the loss is not a number; first in the output of layer 1; no checkpoint has been written yet");
  EXPECT_TRUE(watch.reports.empty());
}

TEST_F(TrainerTest, ARunThatDivergesStopsWithItsLastCheckpoint) {
  Json json = document("diverges", 60);
  json["optimiser"] = Json{{"type", "adamw"}, {"learning_rate", 10}, {"clip", 0}, {"weight_decay", 10}};
  json["checkpoint"] = Json{{"every", 1}, {"keep", 1}};
  Watch watch;
  const Status status = open(json)->run(watch);
  ASSERT_FALSE(status.has_value());
  EXPECT_NE(status.error().message.find(" is not a number; first in "), std::string::npos)
      << status.error().message;
  EXPECT_NE(status.error().message.find("the last good one is "), std::string::npos)
      << status.error().message;
}

TEST_F(TrainerTest, RefusesDataThatDoesNotFit) {
  Json small = document("unfit");
  small["model"]["vocab_size"] = 100;
  EXPECT_NE(refusal(small).find("100"), std::string::npos);
  Json longer = document("unfit");
  longer["batch"]["length"] = 65;
  EXPECT_NE(refusal(longer).find("max_position_embeddings"), std::string::npos);
  Json nowhere = document("unfit");
  nowhere["data"] = "nowhere";
  EXPECT_NE(refusal(nowhere).find("nowhere"), std::string::npos);
}

TEST_F(TrainerTest, RefusesRoutingThatTheModelCannotDo) {
  Json wide = document("unroutable");
  wide["routing"] = Json{{"random_top_k", {1, 7}}};
  EXPECT_EQ(refusal(wide), "field 'routing.random_top_k': 7 experts a token, the model has 6 to choose from");
  Json alone = document("unroutable");
  alone["model"]["n_shared_experts"] = 0;
  alone["routing"] = Json{{"expert_dropout", 0.1}};
  EXPECT_NE(refusal(alone).find("field 'routing.expert_dropout': the model has no shared experts"),
            std::string::npos);
  Json dense = document("unroutable");
  dense["model"]["first_k_dense_replace"] = 2;
  dense["model"]["n_routed_experts"] = nullptr;
  dense["routing"] = Json{{"expert_dropout", 0.1}};
  EXPECT_EQ(refusal(dense), "field 'routing': the model has no experts");
}

TEST_F(TrainerTest, BatchLossAndCapacityRunOverMicroBatches) {
  Json json = document("balanced", 3);
  json["balance"] = Json{{"batch_loss", 0.01}, {"z_loss", 0.001}, {"capacity_factor", 1.0}};
  Watch watch;
  ASSERT_TRUE(open(json)->run(watch).has_value());
  EXPECT_GT(watch.reports[0].auxiliary, 0.01);  // the batch loss is at least about 1
  EXPECT_GT(watch.reports[0].routing.drop_rate, 0);
}

TEST(MicroBatchTest, LeavesOutSegmentsWithoutTargets) {
  TokenBatch batch;
  batch.resize({.rows = 2, .length = 5});
  const RowView first = batch.row(0);
  const std::vector<int32_t> positions = {0, 1, 0, 1, 0}, targets = {5, -1, -1, -1, 7};
  for (size_t i = 0; i < 5; ++i) {
    first.tokens[i] = static_cast<int32_t>(i);
    first.positions[i] = positions[i];
    first.targets[i] = targets[i];
  }
  PackedRows::blank(batch.row(1));
  const MicroBatch micro = micro_batch(batch, 0, 2);
  EXPECT_EQ(micro.tokens, (std::vector<int32_t>{0, 1, 4}));
  EXPECT_EQ(micro.targets, (std::vector<int32_t>{5, -1, 7}));
  ASSERT_EQ(micro.sequences.size(), 2u);
  EXPECT_EQ(micro.sequences[1].first_row, 2);
  EXPECT_EQ(micro.sequences[1].rows, 1);
  EXPECT_EQ(micro.targets_count, 2);
}

}  // namespace
}  // namespace cadre::train
