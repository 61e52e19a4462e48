#include "cadre/quant/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <cstring>
#include <fstream>

#include "cadre/base/file.h"
#include "cadre/base/fixtures.h"
#include "cadre/base/interrupt.h"
#include "cadre/formats/safetensors.h"
#include "cadre/model/shapes.h"
#include "cadre/quant/partial_run.h"
#include "cadre/runtime/random_model.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;

/// Rows that 16 does not divide, columns that 32 does not, a router with a bias.
Json small_shape() {
  Json config = *named_shape("cadre-s");
  config["num_hidden_layers"] = 2;
  config["first_k_dense_replace"] = 1;
  config["hidden_size"] = 64;
  config["intermediate_size"] = 96;
  config["moe_intermediate_size"] = 40;
  config["n_routed_experts"] = 4;
  config["num_experts_per_tok"] = 2;
  config["num_attention_heads"] = 3;
  config["num_key_value_heads"] = 3;
  config["qk_nope_head_dim"] = 32;
  config["qk_rope_head_dim"] = 8;
  config["v_head_dim"] = 24;
  config["kv_lora_rank"] = 32;
  config["vocab_size"] = 300;
  config["tie_word_embeddings"] = false;
  return config;
}

std::string bytes_of(const fs::path& path) { return *read_text_file(path); }

/// All files of a folder, by name.
std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder))
    files[entry.path().filename().string()] = bytes_of(entry.path());
  return files;
}

/// A folder with a model in it.
class Quantize : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto made = write_random_model(small_shape(), path("in"), {.seed = 3}, fixtures::kNoProgress);
    ASSERT_TRUE(made) << made.error().message;
  }
  void TearDown() override { clear_interrupt(); }
  fs::path path(const char* name) const { return folder_ / name; }
  Result<QuantizeReport> quantize(const char* out, const QuantizeOptions& options = {}) const {
    return quantize_model(path("in"), path(out), options, fixtures::kNoProgress);
  }
  /// Overwrites an element of a bf16 tensor of the source.
  void poke(const char* name, int64_t element, uint16_t bits) const {
    const fs::path file = path("in") / "model.safetensors";
    int64_t offset = 0;
    {
      const auto source = SafetensorsFile::open(file);
      offset = source->find(name)->bytes.data() - source->bytes().data() + element * 2;
    }
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(offset);
    stream.write(reinterpret_cast<const char*>(&bits), 2);
  }
  fixtures::ScratchFolder folder_;
};

std::vector<float> decoded(const Weight& weight) {
  std::vector<float> values(static_cast<size_t>(weight.rows * weight.cols));
  for (int64_t r = 0; r < weight.rows; ++r) decode_weight_row(weight, r, values.data() + r * weight.cols);
  return values;
}

/// The root of the mean squared error, relative to the values'.
double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double error = 0;
  double size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    size += static_cast<double>(a[i]) * a[i];
  }
  return std::sqrt(error / size);
}

TEST_F(Quantize, TheModelLoadsAndItsWeightsAreNearTheSource) {
  const auto report = quantize("out");
  ASSERT_TRUE(report) << report.error().message;
  const auto source = Model::load(path("in"));
  const auto model = Model::load(path("out"));
  ASSERT_TRUE(source);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->size().parameters, source->size().parameters);
  EXPECT_EQ(model->size().bytes, report->bytes);
  const Transformer& a = source->transformer();
  const Transformer& b = model->transformer();
  EXPECT_EQ(b.embedding.dtype, DType::kPackedQ6);
  EXPECT_LT(relative_error(decoded(a.embedding), decoded(b.embedding)), 0.03);
  const Moe& moe_a = std::get<Moe>(a.blocks[1].ffn);
  const Moe& moe_b = std::get<Moe>(b.blocks[1].ffn);
  EXPECT_EQ(decoded(std::get<LinearGate>(moe_a.gate).weight),
            decoded(std::get<LinearGate>(moe_b.gate).weight));
  for (size_t e = 0; e < 4; ++e) {
    EXPECT_EQ(moe_b.experts[e].up.dtype, DType::kPackedQ4);
    EXPECT_LT(relative_error(decoded(moe_a.experts[e].up), decoded(moe_b.experts[e].up)), 0.1);
    // 32 does not divide 40.
    EXPECT_EQ(moe_b.experts[e].down.dtype, DType::kBF16);
    EXPECT_EQ(decoded(moe_a.experts[e].down), decoded(moe_b.experts[e].down));
  }
  ASSERT_FALSE(report->notes.empty());
  EXPECT_NE(report->notes[0].find("bf16"), std::string::npos) << report->notes[0];
}

TEST_F(Quantize, TheHalvesOfKvBAreWhatTheyWereTogether) {
  ASSERT_TRUE(quantize("out", {.plan = {.rules = {{"*", DType::kBF16}}}}));
  const auto source = Model::load(path("in"));
  const auto model = Model::load(path("out"));
  ASSERT_TRUE(model) << model.error().message;
  const Mla& whole = std::get<Mla>(source->transformer().blocks[1].attention);
  const Mla& split = std::get<Mla>(model->transformer().blocks[1].attention);
  ASSERT_TRUE(split.c.split_kv_b);
  const std::vector<float> both = decoded(whole.kv_b_proj);
  const std::vector<float> key = decoded(split.k_b_proj);
  const std::vector<float> value = decoded(split.v_b_proj);
  const int64_t rank = whole.c.kv_lora_rank;
  const int64_t nope = whole.c.qk_nope_head_dim;
  const int64_t v = whole.c.v_head_dim;
  const auto at = [&](int64_t row, int64_t col) { return both[static_cast<size_t>(row * rank + col)]; };
  for (int64_t h = 0; h < whole.c.num_attention_heads; ++h)
    for (int64_t j = 0; j < rank; ++j) {
      for (int64_t i = 0; i < nope; ++i)
        ASSERT_EQ(key[static_cast<size_t>((h * rank + j) * nope + i)], at(h * (nope + v) + i, j));
      for (int64_t i = 0; i < v; ++i)
        ASSERT_EQ(value[static_cast<size_t>((h * v + i) * rank + j)], at(h * (nope + v) + nope + i, j));
    }
}

TEST_F(Quantize, ThreadsChangeNoByte) {
  ASSERT_TRUE(quantize("one", {.threads = 1}));
  ASSERT_TRUE(quantize("three", {.threads = 3}));
  EXPECT_EQ(files_of(path("one")), files_of(path("three")));
}

TEST_F(Quantize, TensorsAreAlignedAndAnExpertIsInOnePiece) {
  ASSERT_TRUE(quantize("out"));
  const auto file = SafetensorsFile::open(path("out") / "model.safetensors");
  ASSERT_TRUE(file);
  const auto offset = [&](const std::string& name) {
    return file->find(name)->bytes.data() - file->bytes().data();
  };
  for (const NamedTensor& tensor : file->tensors()) EXPECT_EQ(offset(tensor.name) % 4096, 0) << tensor.name;
  for (int e = 0; e < 4; ++e) {
    const std::string expert = fmt::format("model.layers.1.mlp.experts.{}.", e);
    const auto gap = [&](const char* first, const char* second) {
      const auto end =
          offset(expert + first) + static_cast<int64_t>(file->find(expert + first)->bytes.size());
      return offset(expert + second) - end;
    };
    for (const auto between :
         {gap("gate_proj.weight", "up_proj.weight"), gap("up_proj.weight", "down_proj.weight")}) {
      EXPECT_GE(between, 0);
      EXPECT_LT(between, 4096);
    }
  }
}

TEST_F(Quantize, ShardsHoldWholeExpertsAndTheModelLoads) {
  const auto report = quantize("out", {.shard_bytes = 20000});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_GT(report->files, 2);
  const auto set = SafetensorsSet::open(path("out"));
  ASSERT_TRUE(set) << set.error().message;
  EXPECT_EQ(static_cast<int64_t>(set->files().size()), report->files);
  for (int e = 0; e < 4; ++e) {
    const std::string expert = fmt::format("model.layers.1.mlp.experts.{}.", e);
    EXPECT_EQ(set->file_of(expert + "gate_proj.weight"), set->file_of(expert + "down_proj.weight"));
  }
  EXPECT_TRUE(Model::load(path("out")));
}

TEST_F(Quantize, AnInterruptedRunGoesOnToTheSameBytes) {
  install_interrupt_handlers();
  for (const int64_t shard_bytes : {int64_t{1} << 30, int64_t{20000}}) {
    const QuantizeOptions options{.threads = 1, .shard_bytes = shard_bytes};
    const auto whole = quantize("whole", options);
    ASSERT_TRUE(whole) << whole.error().message;
    const auto expected = files_of(path("whole"));
    // Each tensor is one step of the progress. An interrupt is noticed before the next.
    for (int64_t stop = 1; stop < whole->tensors; stop += whole->files == 1 ? 1 : 7) {
      int64_t steps = 0;
      const auto interrupted = quantize_model(path("in"), path("out"), options, [&](int64_t, int64_t) {
        if (++steps == stop) std::raise(SIGINT);
      });
      ASSERT_FALSE(interrupted);
      ASSERT_EQ(interrupted.error().kind, ErrorKind::kInterrupt);
      EXPECT_FALSE(fs::exists(path("out")));
      clear_interrupt();
      const auto resumed = quantize("out", options);
      ASSERT_TRUE(resumed) << resumed.error().message;
      EXPECT_EQ(resumed->resumed_tensors, stop);
      ASSERT_TRUE(files_of(path("out")) == expected) << "after tensor " << stop;
      EXPECT_FALSE(fs::exists(path("out.partial")));
      fs::remove_all(path("out"));
    }
    fs::remove_all(path("whole"));
  }
}

TEST_F(Quantize, AnInterruptedRunGoesOnOnlyWithItsOwnOptions) {
  install_interrupt_handlers();
  int64_t steps = 0;
  ASSERT_FALSE(quantize_model(path("in"), path("out"), {}, [&](int64_t, int64_t) {
    if (++steps == 5) std::raise(SIGINT);
  }));
  clear_interrupt();
  const auto other = quantize("out", {.plan = {.preset = DType::kPackedQ8}});
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().message.find("--restart"), std::string::npos) << other.error().message;
  const auto restarted = quantize("out", {.plan = {.preset = DType::kPackedQ8}, .restart = true});
  ASSERT_TRUE(restarted) << restarted.error().message;
  EXPECT_EQ(restarted->resumed_tensors, 0);
}

TEST_F(Quantize, AnInterruptBeforeTheFirstTensorLeavesNothing) {
  install_interrupt_handlers();
  std::raise(SIGINT);
  EXPECT_FALSE(quantize("out"));
  EXPECT_FALSE(fs::exists(path("out")));
  EXPECT_FALSE(fs::exists(path("out.partial")));
}

TEST_F(Quantize, AWeightThatIsNotFiniteIsNamed) {
  constexpr const char* kName = "model.layers.1.mlp.experts.2.up_proj.weight";
  for (const uint16_t bits : {uint16_t{0x7FC0}, uint16_t{0xFF80}}) {
    poke(kName, 17 * 64 + 5, bits);
    const auto report = quantize("out", {.restart = true});
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().kind, ErrorKind::kInvalid);
    for (const char* part : {kName, "row 17, column 5"})
      EXPECT_NE(report.error().message.find(part), std::string::npos) << report.error().message;
    EXPECT_FALSE(fs::exists(path("out")));
  }
}

TEST_F(Quantize, AQuantisedSourceNeedsItsFlag) {
  ASSERT_TRUE(quantize("once"));
  const auto refused = quantize_model(path("once"), path("twice"), {}, fixtures::kNoProgress);
  ASSERT_FALSE(refused);
  for (const char* part : {"tensor '", "q6", "--requantize"})
    EXPECT_NE(refused.error().message.find(part), std::string::npos) << refused.error().message;
  const auto accepted =
      quantize_model(path("once"), path("twice"), {.requantize = true}, fixtures::kNoProgress);
  ASSERT_TRUE(accepted) << accepted.error().message;
  EXPECT_TRUE(Model::load(path("twice")));
}

TEST_F(Quantize, WhatIsThereIsReplacedOnlyWithForceAndOnlyAModel) {
  ASSERT_TRUE(quantize("out"));
  const auto refused = quantize("out");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kUsage);
  ASSERT_TRUE(quantize("out", {.plan = {.preset = DType::kPackedQ8}, .force = true}));
  EXPECT_EQ(std::get<Moe>(Model::load(path("out"))->transformer().blocks[1].ffn).experts[0].up.dtype,
            DType::kPackedQ8);
  fs::create_directories(path("papers"));
  fixtures::write_file(path("papers") / "thesis.txt", "years");
  EXPECT_FALSE(quantize("papers", {.force = true}));
  EXPECT_TRUE(fs::exists(path("papers") / "thesis.txt"));
  // The source, and what is around it.
  EXPECT_FALSE(quantize("in", {.force = true}));
  EXPECT_FALSE(quantize(".", {.force = true}));
  EXPECT_TRUE(fs::exists(path("in") / "config.json"));
}

TEST_F(Quantize, AFolderInTheWayIsNotTouched) {
  fs::create_directories(path("out.partial"));
  fixtures::write_file(path("out.partial") / "notes.txt", "mine");
  EXPECT_FALSE(quantize("out"));
  EXPECT_TRUE(fs::exists(path("out.partial") / "notes.txt"));
}

TEST_F(Quantize, SmallFilesComeAlongAndTheConfigSaysWhatWasDone) {
  ASSERT_TRUE(quantize("out", {.plan = {.rules = {{"head", DType::kPackedQ8}}}}));
  EXPECT_EQ(bytes_of(path("out") / "tokenizer.json"), bytes_of(path("in") / "tokenizer.json"));
  const auto config = read_json_file((path("out") / "config.json").string());
  ASSERT_TRUE(config);
  const Json& quantization = (*config)["quantization_config"];
  EXPECT_EQ(quantization["quant_method"], "cadre");
  EXPECT_EQ(quantization["preset"], "q4");
  EXPECT_EQ(quantization["rules"][0], "head=q8");
  EXPECT_EQ((*config)["cadre_split_kv_b"], true);
  EXPECT_EQ((*config)["hidden_size"], 64);
}

/// The first column counts, the others hardly.
class FirstColumn : public ColumnImportance {
 public:
  FirstColumn() { factors_[0] = 1; }
  std::span<const float> of_row(std::string_view weight, int64_t, int64_t) const override {
    if (!weight.ends_with("up_proj.weight")) return {};
    return factors_;
  }
  std::string identity() const override { return "first column"; }

 private:
  std::vector<float> factors_ = std::vector<float>(64, 1e-6f);
};

TEST_F(Quantize, ImportanceIsAskedForRowsByName) {
  const FirstColumn importance;
  ASSERT_TRUE(quantize("plain"));
  ASSERT_TRUE(quantize("guided", {.importance = &importance}));
  const auto source = Model::load(path("in"));
  const auto column_error = [&](const char* name) {
    const auto model = Model::load(path(name));
    double error = 0;
    for (size_t e = 0; e < 4; ++e) {
      const auto up = [&](const Model& m) {
        return decoded(std::get<Moe>(m.transformer().blocks[1].ffn).experts[e].up);
      };
      const std::vector<float> a = up(*source);
      const std::vector<float> b = up(*model);
      for (size_t i = 0; i < a.size(); i += 64) error += std::fabs(static_cast<double>(a[i]) - b[i]);
    }
    return error;
  };
  EXPECT_LT(column_error("guided"), 0.2 * column_error("plain"));
}

}  // namespace
}  // namespace cadre
