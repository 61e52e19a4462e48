// Broken models and broken requests: a clear error each, exit code 1 or 2, nothing half-written.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <functional>

#include "cadre/base/fixtures.h"
#include "cadre/base/json.h"
#include "cadre/base/random.h"
#include "program.h"

namespace cadre {
namespace {

using fixtures::read_file;
using fixtures::run_cadre;
using fixtures::ScratchFolder;
using fixtures::write_file;
namespace fs = std::filesystem;

constexpr const char* kTinyConfig = R"({
  "model_type": "deepseek_v3", "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48,
  "moe_intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
  "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8,
  "n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1,
  "n_group": 1, "topk_group": 1, "rms_norm_eps": 1e-06, "rope_theta": 10000,
  "max_position_embeddings": 64, "hidden_act": "silu", "bos_token_id": 0, "eos_token_id": 1
})";

class BrokenInput : public ::testing::Test {
 protected:
  void SetUp() override {
    write_file(scratch_ / "shape.json", kTinyConfig);
    const auto result =
        run_cadre("init " + (scratch_ / "shape.json").string() + " " + model().string() + " --type bf16");
    ASSERT_EQ(result.exit_code, 0) << result.err;
    write_file(scratch_ / "ids.json", "[[5, 6, 7], [8]]");
  }
  fs::path model() const { return scratch_ / "model"; }
  fixtures::ProgramResult logits(const std::string& flags = {}) {
    return run_cadre("logits " + model().string() + " --ids " + (scratch_ / "ids.json").string() + " --out " +
                     out().string() + " " + flags);
  }
  fs::path out() const { return scratch_ / "out.safetensors"; }

  /// Exit code 1 or 2, a message with `fragment`, and no output, whole or partial.
  void expect_clear_error(const fixtures::ProgramResult& result, const std::string& fragment) {
    EXPECT_TRUE(result.exit_code == 1 || result.exit_code == 2) << result.exit_code << " " << result.err;
    EXPECT_NE(result.err.find(fragment), std::string::npos) << "'" << fragment << "' not in: " << result.err;
    EXPECT_FALSE(fs::exists(out()));
    for (const auto& entry : fs::directory_iterator(scratch_.path()))
      EXPECT_EQ(entry.path().string().find("partial"), std::string::npos) << entry.path();
  }

  ScratchFolder scratch_;
};

TEST_F(BrokenInput, TheIntactModelWorks) {
  EXPECT_EQ(logits().exit_code, 0);
  EXPECT_TRUE(fs::exists(out()));
}

TEST_F(BrokenInput, TruncatedWeights) {
  const fs::path weights = model() / "model.safetensors";
  const std::string whole = read_file(weights);
  for (const size_t size : {size_t{0}, size_t{4}, size_t{100}, whole.size() / 2, whole.size() - 1}) {
    write_file(weights, whole.substr(0, size));
    expect_clear_error(logits(), "model.safetensors");
  }
}

TEST_F(BrokenInput, FlippedBytesNeverCrash) {
  const RandomStream random(3, 0);
  const auto flip = [&](const fs::path& path, int cases, size_t limit) {
    const std::string whole = read_file(path);
    for (int i = 0; i < cases; ++i) {
      std::string broken = whole;
      const size_t at = random.bits(static_cast<uint64_t>(i) * 2) % std::min(limit, broken.size());
      broken[at] = static_cast<char>(random.bits(static_cast<uint64_t>(i) * 2 + 1));
      write_file(path, broken);
      const auto result = logits();
      EXPECT_TRUE(result.exit_code >= 0 && result.exit_code <= 2)
          << path << " byte " << at << ": " << result.exit_code;
      fs::remove(out());
    }
    write_file(path, whole);
  };
  flip(model() / "model.safetensors", 30, 4096);
  flip(model() / "config.json", 30, 1 << 20);
}

/// Rewrites the header of a safetensors file: `change` edits its JSON; the data stays as it is.
void edit_header(const fs::path& path, const std::function<void(Json&)>& change) {
  const std::string whole = read_file(path);
  uint64_t length = 0;
  std::memcpy(&length, whole.data(), sizeof(length));
  Json header = Json::parse(whole.substr(8, length));
  change(header);
  const std::string text = header.dump();
  const uint64_t new_length = text.size();
  write_file(path,
             std::string(reinterpret_cast<const char*>(&new_length), 8) + text + whole.substr(8 + length));
}

TEST_F(BrokenInput, OffsetsThatLieNameTheTensor) {
  const fs::path weights = model() / "model.safetensors";
  const std::string whole = read_file(weights);
  constexpr const char* kNorm = "model.norm.weight";
  const auto with_offsets = [&](int64_t begin_change, int64_t end_change) {
    write_file(weights, whole);
    edit_header(weights, [&](Json& header) {
      Json& offsets = header[kNorm]["data_offsets"];
      offsets[0] = offsets[0].get<int64_t>() + begin_change;
      offsets[1] = offsets[1].get<int64_t>() + end_change;
    });
    return logits();
  };
  expect_clear_error(with_offsets(1, 1), kNorm);                    // misaligned, or over the next tensor
  expect_clear_error(with_offsets(0, 2), kNorm);                    // more bytes than the shape takes
  expect_clear_error(with_offsets(-(1 << 30), -(1 << 30)), kNorm);  // negative
  expect_clear_error(with_offsets(1 << 30, 1 << 30), kNorm);        // outside the file
}

TEST_F(BrokenInput, WrongConfigFields) {
  Json config = Json::parse(read_file(model() / "config.json"));
  const auto with = [&](const char* field, const Json& value) {
    Json changed = config;
    changed[field] = value;
    write_file(model() / "config.json", changed.dump());
    return logits();
  };
  expect_clear_error(with("hidden_size", 64), "shape");
  expect_clear_error(with("hidden_size", "big"), "hidden_size");
  expect_clear_error(with("num_hidden_layers", 3), "model.layers.2.");
  expect_clear_error(with("vocab_size", 0), "vocab_size");
  expect_clear_error(with("num_experts_per_tok", 5), "num_experts_per_tok");
  expect_clear_error(with("model_type", "gpt9"), "gpt9");
  write_file(model() / "config.json", "{");
  expect_clear_error(logits(), "config.json");
}

TEST_F(BrokenInput, MissingFilesAndWrongKinds) {
  fs::create_directory(scratch_ / "empty");
  expect_clear_error(run_cadre("inspect " + (scratch_ / "empty").string()), "config.json");
  fs::create_directory(scratch_ / "folder.gguf");
  expect_clear_error(run_cadre("inspect " + (scratch_ / "folder.gguf").string()), "directory");
  write_file(scratch_ / "text.gguf", "this is not a GGUF file at all, whatever its name says");
  expect_clear_error(run_cadre("inspect " + (scratch_ / "text.gguf").string()), "text.gguf");
  fs::remove(model() / "model.safetensors");
  expect_clear_error(logits(), "model");
}

TEST_F(BrokenInput, ATokenizerWithoutMerges) {
  Json tokenizer = Json::parse(read_file(model() / "tokenizer.json"));
  tokenizer["model"].erase("merges");
  write_file(model() / "tokenizer.json", tokenizer.dump());
  expect_clear_error(run_cadre("run --raw -p hello " + model().string()), "merges");
}

TEST_F(BrokenInput, IdsOutOfRangeOrMalformed) {
  for (const auto& [ids, fragment] : std::initializer_list<std::pair<const char*, const char*>>{
           {"[300]", "300"},
           {"[-1]", "-1"},
           {"[1, 2.5]", "2.5"},
           {"[\"a\"]", "\"a\""},
           {"{\"ids\": 1}", "array"},
           {"[[1], 2]", "[1]"},
           {"[[]]", "empty"},
           {"[]", "empty"},
           {"[1", "JSON"},
           {"[18446744073709551615]", "18446744073709551615"}}) {
    write_file(scratch_ / "ids.json", ids);
    expect_clear_error(logits(), fragment);
  }
}

TEST_F(BrokenInput, ASequenceLongerThanTheContext) {
  std::string ids = "[";
  for (int i = 0; i < 65; ++i) ids += i > 0 ? ",1" : "1";
  write_file(scratch_ / "ids.json", ids + "]");
  expect_clear_error(logits(), "64");
}

TEST_F(BrokenInput, AFullDiskLeavesNothing) {
  // A limit on the size of files stands for a full disk: writes beyond it fail.
  const auto result = run_cadre("logits " + model().string() + " --ids " + (scratch_ / "ids.json").string() +
                                    " --out " + out().string(),
                                "", "ulimit -f 1;");
  expect_clear_error(result, "write");
}

TEST_F(BrokenInput, APipeAsInputOrOutput) {
  const fs::path pipe = scratch_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const std::string ids = (scratch_ / "ids.json").string();
  expect_clear_error(
      run_cadre("logits " + model().string() + " --ids " + ids + " --out " + pipe.string(), "", "timeout 20"),
      "not a regular file");
  EXPECT_TRUE(fs::is_fifo(pipe));
  fs::remove(model() / "config.json");
  fs::rename(pipe, model() / "config.json");
  expect_clear_error(run_cadre("inspect " + model().string(), "", "timeout 20"), "not a regular file");
}

TEST_F(BrokenInput, AnEmptyOutputPath) {
  const std::string ids = (scratch_ / "ids.json").string();
  expect_clear_error(run_cadre("logits " + model().string() + " --ids " + ids + " --out ''"), "empty");
  expect_clear_error(run_cadre("init deepseek-v2-lite ''"), "empty");
}

TEST_F(BrokenInput, AnOutputFolderThatDoesNotExist) {
  const auto result = run_cadre("logits " + model().string() + " --ids " + (scratch_ / "ids.json").string() +
                                " --out " + (scratch_ / "no/such/out.safetensors").string());
  expect_clear_error(result, "out.safetensors");
}

}  // namespace
}  // namespace cadre
