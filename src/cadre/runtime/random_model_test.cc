#include "cadre/runtime/random_model.h"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "cadre/base/file.h"
#include "cadre/base/fixtures.h"
#include "cadre/base/interrupt.h"
#include "cadre/model/shapes.h"
#include "cadre/runtime/model.h"
#include "cadre/tensor/blocks.h"
#include "cadre/text/tokenizer.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;

class RandomModel : public ::testing::Test {
 protected:
  void TearDown() override { clear_interrupt(); }
  fs::path path(const char* name) const { return folder_ / name; }

  fixtures::ScratchFolder folder_;
};

/// Tensors of more than one piece, of no whole number of draws, and of nearly nothing.
Json odd_shape() {
  Json config = *named_shape("cadre-s");
  config["num_hidden_layers"] = 2;
  config["hidden_size"] = 252;
  config["qk_nope_head_dim"] = 5;
  config["kv_lora_rank"] = 63;
  return config;
}

Result<Tokenizer> tokenizer_of(const fs::path& model) {
  CADRE_TRY(const std::string json, read_text_file(model / "tokenizer.json"));
  CADRE_TRY(Tokenizer tokenizer, Tokenizer::from_json(json, "tokenizer.json"));
  CADRE_TRY(const Json config, read_json_file((model / "tokenizer_config.json").string()));
  CADRE_CHECK_OK(tokenizer.apply_config(JsonFields(config, "tokenizer_config.json")));
  return tokenizer;
}

std::string weights_of(const fs::path& model) { return *read_text_file(model / "model.safetensors"); }

TEST_F(RandomModel, BytesDependOnTheSeedAndNotOnThreads) {
  for (const DType type : {DType::kBF16, DType::kF32}) {
    for (const int threads : {1, 2, 5}) {
      const auto report =
          write_random_model(odd_shape(), path(fmt::format("{}", threads).c_str()),
                             {.type = type, .seed = 7, .threads = threads}, fixtures::kNoProgress);
      ASSERT_TRUE(report) << report.error().message;
    }
    const std::string one = weights_of(path("1"));
    EXPECT_TRUE(one == weights_of(path("2")));
    EXPECT_TRUE(one == weights_of(path("5")));
    ASSERT_TRUE(
        write_random_model(odd_shape(), path("other"), {.type = type, .seed = 8}, fixtures::kNoProgress));
    EXPECT_FALSE(one == weights_of(path("other")));
    for (const char* name : {"1", "2", "5", "other"}) fs::remove_all(path(name));
  }
}

TEST_F(RandomModel, TheDirectoryLoadsAndItsTokenizerSpeaks) {
  const auto report = write_random_model(*named_shape("cadre-s"), path("model"), {}, fixtures::kNoProgress);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_TRUE(report->has_tokenizer);

  const auto model = Model::load(path("model"));
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->size().parameters, report->parameters);
  EXPECT_EQ(model->size().bytes, report->bytes);

  const auto tokenizer = tokenizer_of(path("model"));
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const std::string text = "any bytes: \xC3\xA4 \n\t\xFF end";
  const auto ids = tokenizer->encode(text, {.add_bos = true});
  ASSERT_TRUE(ids) << ids.error().message;
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_EQ(ids->front(), 0);  // bos_token_id
  EXPECT_EQ(ids->size(), text.size() + 1);
  EXPECT_EQ(*tokenizer->decode(std::span(*ids).subspan(1)), text);
}

TEST_F(RandomModel, BytesOfTheTokenizerKeepClearOfSpecialIds) {
  Json config = odd_shape();
  config["bos_token_id"] = 3;
  config["eos_token_id"] = Json::array({200, 5});
  ASSERT_TRUE(write_random_model(config, path("model"), {}, fixtures::kNoProgress));
  const auto tokenizer = tokenizer_of(path("model"));
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  for (const int32_t id : {3, 5, 200}) EXPECT_TRUE(tokenizer->is_special(id)) << id;
  EXPECT_EQ(*tokenizer->token_bytes(258), "\xFF");
}

TEST_F(RandomModel, ASmallVocabularyHasNoTokenizer) {
  Json config = odd_shape();
  config["vocab_size"] = 96;
  const auto report = write_random_model(config, path("model"), {}, fixtures::kNoProgress);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_FALSE(report->has_tokenizer);
  EXPECT_FALSE(fs::exists(path("model") / "tokenizer.json"));
  EXPECT_TRUE(Model::load(path("model")));
}

TEST_F(RandomModel, WeightsAreNormalAndGainsAreOne) {
  ASSERT_TRUE(write_random_model(*named_shape("cadre-s"), path("model"), {.type = DType::kF32},
                                 fixtures::kNoProgress));
  const auto model = Model::load(path("model"));
  ASSERT_TRUE(model) << model.error().message;
  const Weight& embedding = model->transformer().embedding;
  const auto deviation = [](const Weight& weight) {
    double sum = 0;
    double squares = 0;
    std::vector<float> row(static_cast<size_t>(weight.cols));
    for (int64_t r = 0; r < weight.rows; ++r) {
      decode_weight_row(weight, r, row.data());
      for (const float value : row) {
        sum += value;
        squares += static_cast<double>(value) * value;
      }
    }
    const double count = static_cast<double>(weight.rows * weight.cols);
    EXPECT_LT(std::abs(sum / count), 5 * std::sqrt(squares) / count);
    return std::sqrt(squares / count);
  };
  EXPECT_NEAR(deviation(embedding), 1 / std::sqrt(256.0), 1e-3 / std::sqrt(256.0) * 5);
  const auto& moe = std::get<Moe>(model->transformer().blocks[1].ffn);
  EXPECT_NEAR(deviation(moe.experts[3].down), 0.02, 0.02 * 0.02);
  EXPECT_EQ(model->transformer().final_norm, VectorWeight(256, 1.0f));
  EXPECT_EQ(moe.selection_bias, VectorWeight(16, 0.0f));
}

TEST_F(RandomModel, ACutModelHasTheSameLayers) {
  Json config = *named_shape("cadre-s");
  ASSERT_TRUE(write_random_model(config, path("whole"), {.seed = 1}, fixtures::kNoProgress));
  ASSERT_TRUE(cut_layers(config, 2));
  ASSERT_TRUE(write_random_model(config, path("cut"), {.seed = 1}, fixtures::kNoProgress));
  const auto whole = Checkpoint::open(path("whole"));
  const auto cut = Checkpoint::open(path("cut"));
  ASSERT_TRUE(whole && cut);
  const std::string name = "model.layers.1.mlp.experts.15.up_proj.weight";
  const auto a = whole->find(name);
  const auto b = cut->find(name);
  ASSERT_TRUE(a && b && *a && *b);
  EXPECT_TRUE(std::ranges::equal((*a)->bytes, (*b)->bytes));
}

TEST_F(RandomModel, AnInterruptLeavesNothing) {
  install_interrupt_handlers();
  int calls = 0;
  const auto interrupt = [&](int64_t, int64_t) {
    if (++calls == 1) std::raise(SIGINT);
  };
  const auto report = write_random_model(*named_shape("cadre-s"), path("model"), {}, interrupt);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind, ErrorKind::kInterrupt);
  EXPECT_TRUE(folder_.empty());
}

TEST_F(RandomModel, AFolderInUseIsRefusedAndAnEmptyOneIsFilled) {
  fs::create_directories(path("used"));
  ASSERT_TRUE(write_text_file(path("used") / "note", "mine"));
  const auto refused = write_random_model(odd_shape(), path("used"), {}, fixtures::kNoProgress);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("not empty"), std::string::npos) << refused.error().message;
  EXPECT_EQ(*read_text_file(path("used") / "note"), "mine");

  fs::create_directories(path("empty"));
  EXPECT_TRUE(write_random_model(odd_shape(), path("empty/"), {}, fixtures::kNoProgress));
  EXPECT_TRUE(fs::exists(path("empty") / "config.json"));
}

TEST_F(RandomModel, TooLittleDiskIsSaidBeforeAnythingIsWritten) {
  Json config = *named_shape("cadre-280b");
  config["n_routed_experts"] = 512;  // 11 TB
  const auto report = write_random_model(config, path("model"), {}, fixtures::kNoProgress);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind, ErrorKind::kTooLarge) << report.error().message;
  EXPECT_TRUE(folder_.empty());
}

TEST_F(RandomModel, AConfigurationThatCannotRunNamesItsField) {
  Json config = odd_shape();
  config["hidden_act"] = "gelu";
  const auto report = write_random_model(config, path("model"), {}, fixtures::kNoProgress);
  ASSERT_FALSE(report);
  EXPECT_NE(report.error().message.find("hidden_act"), std::string::npos) << report.error().message;
}

}  // namespace
}  // namespace cadre
