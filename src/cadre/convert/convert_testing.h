#pragma once
/// For the tests of this folder: small models of every family, in a scratch folder.

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "cadre/base/fixtures.h"
#include "cadre/convert/convert.h"
#include "cadre/formats/safetensors.h"
#include "cadre/formats/safetensors_writer.h"
#include "cadre/model/shapes.h"
#include "cadre/runtime/engine.h"
#include "cadre/runtime/random_model.h"
#include "cadre/tensor/packed.h"

namespace cadre::fixtures {

namespace fs = std::filesystem;

class ConvertTest : public ::testing::Test {
 protected:
  fs::path path(const std::string& name) const { return folder_ / name; }

  void write_model(const std::string& name, const Json& config, DType type = DType::kBF16) const {
    const auto report =
        write_random_model(config, path(name), {.type = type, .seed = 5, .threads = 1}, kNoProgress);
    ASSERT_TRUE(report.has_value()) << report.error().message;
  }

  Result<ConvertReport> to_gguf(const std::string& in, const std::string& out,
                                ConvertOptions options = {}) const {
    options.threads = 2;
    return convert_to_gguf(path(in), path(out), options, kNoProgress);
  }
  Result<ConvertReport> to_directory(const std::string& in, const std::string& out,
                                     ConvertOptions options = {}) const {
    options.threads = 2;
    return convert_to_directory(path(in), path(out), options, kNoProgress);
  }

  ScratchFolder folder_;
};

/// `name` of the shapes, cut to `layers` layers and shrunk to sizes that a test can bear.
inline Json small_shape(const char* name, int64_t layers = 2) {
  Json config = *named_shape(name);
  EXPECT_TRUE(cut_layers(config, layers).has_value());
  config["vocab_size"] = 300;
  config["hidden_size"] = 96;
  config["intermediate_size"] = 160;
  config["moe_intermediate_size"] = 64;
  config["num_attention_heads"] = 4;
  config["num_key_value_heads"] = 4;
  config["kv_lora_rank"] = 64;
  config["qk_nope_head_dim"] = 32;
  config["qk_rope_head_dim"] = 16;
  config["v_head_dim"] = 48;
  config["n_routed_experts"] = 16;
  config["num_experts_per_tok"] = 3;
  config["first_k_dense_replace"] = 1;
  if (config["q_lora_rank"].is_number()) config["q_lora_rank"] = 64;
  config["bos_token_id"] = 298;
  config["eos_token_id"] = 299;
  config["max_position_embeddings"] = 512;
  return config;
}

inline Json small_llama() {
  return {{"model_type", "llama"},    {"vocab_size", 300},      {"hidden_size", 96},
          {"intermediate_size", 160}, {"num_hidden_layers", 2}, {"num_attention_heads", 6},
          {"num_key_value_heads", 2}, {"head_dim", 16},         {"max_position_embeddings", 512},
          {"rms_norm_eps", 1e-5},     {"rope_theta", 500000.0}, {"tie_word_embeddings", false},
          {"bos_token_id", 298},      {"eos_token_id", 299}};
}

/// Puts random packed blocks of `type` in place of every matrix of a model directory but router and
/// embedding.
inline void pack_matrices(const fs::path& model, DType type) {
  std::vector<NamedTensor> tensors;
  std::vector<std::vector<std::byte>> owned;
  {
    const SafetensorsFile file = SafetensorsFile::open(model / "model.safetensors").value();
    std::mt19937 random(9);
    for (NamedTensor tensor : file.tensors()) {
      const Shape& shape = tensor.tensor.shape;
      const bool keeps = shape.size() != 2 || tensor.name.ends_with("mlp.gate.weight");
      auto& bytes = owned.emplace_back(tensor.tensor.bytes.begin(), tensor.tensor.bytes.end());
      if (!keeps) {
        tensor.tensor.dtype = type;
        const int64_t block = packed_block_bytes(type, shape[1]);
        const auto group_bytes = static_cast<size_t>(packed_group_bytes(type));
        const auto scales = static_cast<size_t>(packed_scale_bytes(type));
        bytes.resize(static_cast<size_t>(packed_blocks(shape[0]) * block));
        for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
        // Scales of about 2^-8, so that logits stay finite.
        for (size_t first = 0; first < bytes.size(); first += group_bytes)
          for (size_t at = 0; at < scales; ++at)
            if (type == DType::kPackedMXFP4 || at % 2 == 1)
              bytes[first + at] =
                  static_cast<std::byte>(type == DType::kPackedMXFP4 ? 119 : 0x1C + random() % 4);
        // Rows that fill up the last block are zero, which a code of one type only says.
        const int64_t rows = shape[0] % kPackedRows;
        const auto zero = packed_codes(type).values;
        const auto code = static_cast<uint8_t>(std::find(zero.begin(), zero.end(), 0) - zero.begin());
        std::byte* last = bytes.data() + bytes.size() - static_cast<size_t>(block);
        for (int64_t row = rows; rows != 0 && row < kPackedRows; ++row) {
          const int64_t scale = packed_scale_bytes(type) / kPackedRows;
          for (int64_t group = 0; group < shape[1] / kPackedGroup; ++group) {
            for (int64_t at = 0; at < scale; ++at)
              last[packed_scales_offset(type, group) + row * scale + at] = std::byte{0};
            for (int64_t column = 0; column < kPackedGroup; ++column)
              set_packed_code(type, last + packed_codes_offset(type, group), row, column, code);
          }
        }
      }
      tensors.push_back(std::move(tensor));
    }
  }
  for (size_t i = 0; i < tensors.size(); ++i) tensors[i].tensor.bytes = owned[i];
  ASSERT_TRUE(write_safetensors(model / "model.safetensors", tensors).has_value());
}

/// Expects the same names, types, shapes and bytes in both directories.
inline void expect_same_tensors(const fs::path& a, const fs::path& b) {
  const SafetensorsFile expected = SafetensorsFile::open(a / "model.safetensors").value();
  const SafetensorsFile found = SafetensorsFile::open(b / "model.safetensors").value();
  ASSERT_EQ(found.tensors().size(), expected.tensors().size());
  for (const NamedTensor& tensor : expected.tensors()) {
    const StoredTensor* other = found.find(tensor.name);
    ASSERT_NE(other, nullptr) << tensor.name;
    EXPECT_EQ(name(other->dtype), name(tensor.tensor.dtype)) << tensor.name;
    EXPECT_EQ(other->shape, tensor.tensor.shape) << tensor.name;
    ASSERT_EQ(other->bytes.size(), tensor.tensor.bytes.size()) << tensor.name;
    EXPECT_TRUE(std::equal(other->bytes.begin(), other->bytes.end(), tensor.tensor.bytes.begin()))
        << tensor.name;
  }
}

/// Logits of a fixed prompt, all rows.
inline std::vector<float> logits_of(const fs::path& path, const LoadOptions& options = {}) {
  const auto model = Model::load(path, options);
  EXPECT_TRUE(model.has_value()) << model.error().message;
  if (!model) return {};
  Engine engine = Engine::create(*model, {.cpu = {.threads = 1},
                                          .kv_type = DType::kF32,
                                          .context_tokens = 64,
                                          .max_logit_rows = 64,
                                          .compute = Compute::kF32})
                      .value();
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 24; ++i) tokens.push_back(i * 11 % 290);
  const StepItem item{.sequence = engine.open_sequence(), .tokens = tokens, .logits = LogitsFor::kAll};
  const Tensor rows = engine.step(std::span(&item, 1)).value();
  std::vector<float> logits;
  for (int64_t r = 0; r < rows.rows; ++r) logits.insert(logits.end(), rows.row(r), rows.row(r) + rows.width);
  return logits;
}

inline void expect_near(const std::vector<float>& a, const std::vector<float>& b, float tolerance) {
  ASSERT_EQ(a.size(), b.size());
  float worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
  EXPECT_LE(worst, tolerance);
}

}  // namespace cadre::fixtures
