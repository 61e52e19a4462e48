#pragma once
/// A small random model and random adapters for it, on disk.

#include <gtest/gtest.h>

#include <filesystem>

#include "cadre/base/file.h"
#include "cadre/base/fixtures.h"
#include "cadre/base/random.h"
#include "cadre/formats/safetensors_writer.h"
#include "cadre/runtime/engine.h"
#include "cadre/runtime/lora.h"
#include "cadre/runtime/random_model.h"

namespace cadre::fixtures {

/// The folders "model" and "adapter" in a folder that goes with this.
class LoraFiles {
 public:
  explicit LoraFiles(DType type) {
    std::filesystem::create_directories(adapter());
    const Json shape = Json::parse(R"({"model_type": "cadre", "vocab_size": 64, "hidden_size": 32,
        "intermediate_size": 48, "moe_intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
        "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8,
        "n_routed_experts": 3, "n_shared_experts": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1,
        "max_position_embeddings": 64})");
    const auto report = write_random_model(shape, model(), {.type = type}, [](int64_t, int64_t) {});
    EXPECT_TRUE(report) << report.error().message;
  }

  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }
  std::filesystem::path model() const { return folder_ / "model"; }
  std::filesystem::path adapter() const { return folder_ / "adapter"; }

  struct Matrix {
    std::string name;
    Shape shape;
    double deviation = 0.5;  ///< 0: zeros
  };
  /// A and B of rank 2 for [rows, cols] of a module.
  static std::vector<Matrix> factors(const std::string& module, int64_t rows, int64_t cols, double b = 0.5) {
    return {{lora_tensor_name(module, 'A'), {2, cols}}, {lora_tensor_name(module, 'B'), {rows, 2}, b}};
  }
  void write(const Json& config, const std::vector<Matrix>& matrices) const {
    EXPECT_TRUE(write_text_file(adapter() / kLoraConfigFile, dump_json(config)));
    std::vector<std::vector<float>> values;
    std::vector<NamedTensor> tensors;
    for (const Matrix& matrix : matrices) {
      std::vector<float>& filled = values.emplace_back(static_cast<size_t>(element_count(matrix.shape)));
      const RandomStream random(values.size(), 1);
      for (size_t i = 0; i < filled.size(); ++i)
        filled[i] = static_cast<float>(matrix.deviation * random.normal(i));
      tensors.push_back({matrix.name, {DType::kF32, matrix.shape, std::as_bytes(std::span(filled))}});
    }
    EXPECT_TRUE(write_safetensors(adapter() / kLoraWeightsFile, tensors));
  }
  /// Of one matrix of attention and one of an expert.
  void write_usual(double b = 0.5) const {
    std::vector<Matrix> matrices = factors("model.layers.0.self_attn.kv_b_proj", 32, 16, b);
    for (const Matrix& matrix : factors("model.layers.1.mlp.experts.2.down_proj", 32, 24, b))
      matrices.push_back(matrix);
    write(lora_config_json({.rank = 2, .alpha = 3, .targets = {"kv_b_proj", "down_proj"}}, "model"),
          matrices);
  }

  static std::vector<float> logits(const Model& model) {
    Engine engine =
        Engine::create(model, {.cpu = {.threads = 1}, .kv_type = DType::kF32, .max_logit_rows = 64}).value();
    std::vector<int32_t> tokens(20);
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(7 * i % 64);
    const StepItem item{.sequence = engine.open_sequence(), .tokens = tokens, .logits = LogitsFor::kAll};
    const Tensor rows = engine.step(std::span(&item, 1)).value();
    return {rows.data, rows.data + rows.rows * rows.width};
  }

 private:
  ScratchFolder folder_;
};

}  // namespace cadre::fixtures
