// `cadre train` as a user runs it: from text to a model that answers, an interrupted run that goes on, and
// what is refused.
#include <gtest/gtest.h>

#include <fstream>

#include "cadre/base/fixtures.h"
#include "program.h"

namespace cadre {
namespace {

using fixtures::read_file;
using fixtures::run_cadre;
using fixtures::ScratchFolder;

class Train : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ofstream text(scratch_ / "text.jsonl");
    for (int i = 0; i < 120; ++i)
      text << R"({"text": "The )" << (i % 3 == 0 ? "cat" : "dog") << " saw " << i
           << R"( birds and went home."})"
           << "\n";
    text.close();
    run("data tokenizer --size 280 --out " + path("tok") + " " + path("text.jsonl"));
    run("data prepare --tokenizer " + path("tok") + " --out " + path("shards") + " --held-out 0.1 " +
        path("text.jsonl"));
    write_config();
  }
  std::string path(const std::string& name) const { return (scratch_ / name).string(); }
  void run(const std::string& arguments) const {
    const auto result = run_cadre(arguments);
    ASSERT_EQ(result.exit_code, 0) << arguments << "\n" << result.err;
  }
  void write_config() const {
    scratch_.file("run.json", R"({
      "model": {"model_type": "cadre", "vocab_size": 280, "hidden_size": 32, "intermediate_size": 64,
        "moe_intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "q_lora_rank": null,
        "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 16,
        "n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1,
        "scoring_func": "sigmoid", "norm_topk_prob": true, "routed_scaling_factor": 1.0,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 10000,
        "tie_word_embeddings": false, "bos_token_id": 0, "eos_token_id": 1},
      "tokenizer": "tok", "data": "shards", "out": "run", "steps": 30,
      "batch": {"sequences": 4, "length": 64},
      "optimiser": {"type": "adamw", "learning_rate": 0.01},
      "validate": {"every": 15, "batches": 2}})");
  }
  ScratchFolder scratch_;
};

TEST_F(Train, MakesAModelThatAnswers) {
  const auto result = run_cadre("train " + path("run.json"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("checkpoint: "), std::string::npos) << result.err;
  const auto answer = run_cadre("run " + path("run/step-00000030") + " --raw -p 'The cat saw' -n 8 --temp 0");
  EXPECT_EQ(answer.exit_code, 0) << answer.err;
  EXPECT_FALSE(answer.out.empty());
  const std::string log = read_file(scratch_ / "run/log.jsonl");
  EXPECT_NE(log.find("\"held_out_loss\""), std::string::npos);

  const auto again = run_cadre("train " + path("run.json"));
  EXPECT_EQ(again.exit_code, 2) << again.err;
  EXPECT_NE(again.err.find("--resume"), std::string::npos) << again.err;
}

/// The held-out loss of a log's last line.
double held_out_loss(const std::string& log) {
  const std::string key = "\"held_out_loss\":";
  const size_t at = log.rfind(key);
  return at == std::string::npos ? -1 : std::stod(log.substr(at + key.size()));
}

TEST_F(Train, GoesOnFromPackedWeights) {
  run("train " + path("run.json"));
  run("quantize " + path("run/step-00000030") + " " + path("packed") + " --type q8");
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "packed/training.json"));
  scratch_.file("more.json", R"({"start_from": "packed", "tokenizer": "tok", "data": "shards",
      "out": "more", "steps": 1, "batch": {"sequences": 4, "length": 64}, "optimiser": {"learning_rate": 0},
      "validate": {"every": 1, "batches": 2}})");
  run("train " + path("more.json"));
  const double before = held_out_loss(read_file(scratch_ / "run/log.jsonl"));
  EXPECT_GT(before, 0);
  EXPECT_NEAR(held_out_loss(read_file(scratch_ / "more/log.jsonl")), before, 0.02 * before);
  run("run " + path("more/step-00000001") + " --raw -p 'The cat saw' -n 8 --temp 0");
}

TEST_F(Train, UnknownFieldsAreRefused) {
  std::string text = read_file(scratch_ / "run.json");
  text.replace(text.find("\"steps\""), 7, "\"stepz\"");
  scratch_.file("run.json", text);
  const auto result = run_cadre("train " + path("run.json"));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("run.json: field 'stepz': there is no such field"), std::string::npos)
      << result.err;
}

TEST_F(Train, AFullDiskLeavesNoHalfCheckpoint) {
  // Files of at most 64 KiB: the weights do not fit.
  const auto result = run_cadre("train " + path("run.json"), {}, "ulimit -f 64; trap '' XFSZ;");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("model.safetensors"), std::string::npos) << result.err;
  for (const auto& entry : std::filesystem::directory_iterator(scratch_ / "run"))
    EXPECT_EQ(entry.path().filename(), "log.jsonl");
}

TEST_F(Train, LearnsAnAdapterThatIsAppliedAndMerged) {
  run("train " + path("run.json"));
  scratch_.file("lora.json", R"({"start_from": "run/step-00000030", "data": "shards",
      "lora": {"rank": 4, "alpha": 8, "targets": ["q_proj", "kv_b_proj", "up_proj"]}, "out": "lora", "steps": 10,
      "batch": {"sequences": 4, "length": 64}, "optimiser": {"learning_rate": 0.01}})");
  run("train " + path("lora.json"));
  const std::string base = path("run/step-00000030");
  const std::string adapter = path("lora/step-00000010");
  run("convert " + base + " " + path("merged") + " --merge " + adapter);
  scratch_.file("text.txt", "The cat saw 7 birds and went home. The dog saw 9 birds.");
  const auto perplexity = [&](const std::string& model) {
    const auto result = run_cadre("perplexity " + model + " " + path("text.txt") + " --json");
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out.substr(0, result.out.find("\"seconds\""));
  };
  const std::string applied = perplexity("-m " + base + " --lora " + adapter);
  EXPECT_EQ(applied, perplexity(path("merged")));
  EXPECT_NE(applied, perplexity(base));
  const auto missing = run_cadre("perplexity " + base + " " + path("text.txt") + " --lora " + path("tok"));
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_NE(missing.err.find("adapter_config.json"), std::string::npos) << missing.err;
}

TEST_F(Train, CalibratesAFallback) {
  run("train " + path("run.json"));
  const std::string base = path("run/step-00000030");
  std::ofstream text(scratch_ / "text.txt");
  for (int i = 0; i < 60; ++i) text << "The cat saw " << i << " birds and went home. ";
  text.close();
  const auto perplexity = [&](const std::string& arguments) {
    return run_cadre("perplexity " + arguments + " " + path("text.txt") + " --ctx 64");
  };
  EXPECT_EQ(perplexity(base + " --fallback on").exit_code, 2);  // no thresholds yet
  run("calibrate " + base + " " + path("text.txt") + " --rate 0.1 --ctx 64 --out " + path("calibrated"));
  EXPECT_NE(read_file(scratch_ / "calibrated/config.json").find("\"threshold\""), std::string::npos);
  for (const char* use : {"auto", "on", "off", "force"})
    EXPECT_EQ(perplexity(path("calibrated") + " --fallback " + use).exit_code, 0) << use;
  EXPECT_EQ(perplexity(path("calibrated") + " --fallback maybe").exit_code, 2);
  run("calibrate " + base + " " + path("text.txt") + " --rate 0.1 --ctx 64 --in-place");
  EXPECT_EQ(perplexity(base + " --fallback on").exit_code, 0);
  EXPECT_EQ(run_cadre("calibrate " + base + " " + path("text.txt")).exit_code, 2);  // where to?
}

}  // namespace
}  // namespace cadre
