// The golden checkpoints written as GGUF, the way llama.cpp's converter lays them out, must give the
// reference's logits too: with kv_b whole (older files) and split per head (newer ones).
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <map>

#include "cadre/base/fixtures.h"
#include "cadre/base/json.h"
#include "cadre/base/shared_folder_testing.h"
#include "cadre/formats/gguf_writer.h"
#include "cadre/formats/safetensors.h"
#include "program.h"

namespace cadre {
namespace {

using Bytes = std::vector<std::byte>;

struct Source {
  TensorSpec spec;
  Bytes data;
};

Bytes bytes_of(const StoredTensor& tensor) { return {tensor.bytes.begin(), tensor.bytes.end()}; }

/// Collects the tensors of a GGUF file from a Hugging Face checkpoint of the DeepSeek kind (BF16).
class Converter {
 public:
  Converter(const std::filesystem::path& model, bool split_kv_b)
      : config_(read_json_file((model / "config.json").string()).value()),
        weights_(SafetensorsFile::open(model / "model.safetensors").value()),
        split_kv_b_(split_kv_b) {}

  void write(const std::filesystem::path& path) {
    copy("model.embed_tokens.weight", "token_embd.weight");
    copy("model.norm.weight", "output_norm.weight");
    copy("lm_head.weight", "output.weight");
    for (int64_t layer = 0; layer < integer("num_hidden_layers"); ++layer) add_layer(layer);
    std::vector<TensorSpec> specs;
    for (const Source& source : tensors_) specs.push_back(source.spec);
    GgufWriter writer = GgufWriter::create(path, metadata(), specs).value();
    for (const Source& source : tensors_)
      ASSERT_TRUE(writer.write(source.spec.name, source.data).has_value());
    ASSERT_TRUE(writer.finish().has_value());
  }

 private:
  int64_t integer(const char* key) const { return config_[key].get<int64_t>(); }

  void copy(const std::string& from, const std::string& to) {
    if (const StoredTensor* tensor = weights_.find(from))
      tensors_.push_back({{to, tensor->dtype, tensor->shape}, bytes_of(*tensor)});
  }

  void add_layer(int64_t layer) {
    const std::string hf = "model.layers." + std::to_string(layer) + ".";
    const std::string gguf = "blk." + std::to_string(layer) + ".";
    const std::pair<const char*, const char*> names[] = {
        {"input_layernorm.weight", "attn_norm.weight"},
        {"post_attention_layernorm.weight", "ffn_norm.weight"},
        {"self_attn.q_proj.weight", "attn_q.weight"},
        {"self_attn.q_a_proj.weight", "attn_q_a.weight"},
        {"self_attn.q_a_layernorm.weight", "attn_q_a_norm.weight"},
        {"self_attn.q_b_proj.weight", "attn_q_b.weight"},
        {"self_attn.kv_a_proj_with_mqa.weight", "attn_kv_a_mqa.weight"},
        {"self_attn.kv_a_layernorm.weight", "attn_kv_a_norm.weight"},
        {"self_attn.o_proj.weight", "attn_output.weight"},
        {"mlp.gate_proj.weight", "ffn_gate.weight"},
        {"mlp.up_proj.weight", "ffn_up.weight"},
        {"mlp.down_proj.weight", "ffn_down.weight"},
        {"mlp.gate.weight", "ffn_gate_inp.weight"},
        {"mlp.gate.e_score_correction_bias", "exp_probs_b.bias"},
        {"mlp.shared_experts.gate_proj.weight", "ffn_gate_shexp.weight"},
        {"mlp.shared_experts.up_proj.weight", "ffn_up_shexp.weight"},
        {"mlp.shared_experts.down_proj.weight", "ffn_down_shexp.weight"}};
    for (const auto& [from, to] : names) copy(hf + from, gguf + to);
    if (split_kv_b_) {
      add_split_kv_b(hf, gguf);
    } else {
      copy(hf + "self_attn.kv_b_proj.weight", gguf + "attn_kv_b.weight");
    }
    for (const char* matrix : {"gate", "up", "down"}) add_stack(hf, gguf, matrix);
  }

  void add_stack(const std::string& hf, const std::string& gguf, const std::string& matrix) {
    Source stack{{gguf + "ffn_" + matrix + "_exps.weight", DType::kF32, {}}, {}};
    int64_t experts = 0;
    while (const StoredTensor* expert =
               weights_.find(hf + "mlp.experts." + std::to_string(experts) + "." + matrix + "_proj.weight")) {
      stack.data.insert(stack.data.end(), expert->bytes.begin(), expert->bytes.end());
      stack.spec.dtype = expert->dtype;
      stack.spec.shape = {++experts, expert->shape[0], expert->shape[1]};
    }
    if (experts > 0) tensors_.push_back(std::move(stack));
  }

  /// Per head: W_uk [nope, lora] transposed to [lora, nope], and W_uv [v, lora] as it is.
  void add_split_kv_b(const std::string& hf, const std::string& gguf) {
    const StoredTensor whole = weights_.tensor(hf + "self_attn.kv_b_proj.weight").value();
    ASSERT_EQ(whole.dtype, DType::kBF16);
    std::vector<uint16_t> in(whole.bytes.size() / 2);
    std::memcpy(in.data(), whole.bytes.data(), whole.bytes.size());
    const int64_t heads = integer("num_attention_heads");
    const int64_t nope = integer("qk_nope_head_dim");
    const int64_t v = integer("v_head_dim");
    const int64_t lora = integer("kv_lora_rank");
    std::vector<uint16_t> k;
    std::vector<uint16_t> values;
    for (int64_t h = 0; h < heads; ++h) {
      const uint16_t* head = in.data() + h * (nope + v) * lora;
      for (int64_t c = 0; c < lora; ++c)
        for (int64_t i = 0; i < nope; ++i) k.push_back(head[i * lora + c]);
      values.insert(values.end(), head + nope * lora, head + (nope + v) * lora);
    }
    const auto bytes = [](const std::vector<uint16_t>& data) {
      const auto view = std::as_bytes(std::span(data));
      return Bytes(view.begin(), view.end());
    };
    tensors_.push_back({{gguf + "attn_k_b.weight", DType::kBF16, {heads, lora, nope}}, bytes(k)});
    tensors_.push_back({{gguf + "attn_v_b.weight", DType::kBF16, {heads, v, lora}}, bytes(values)});
  }

  GgufMetadata metadata() const {
    GgufMetadata meta;
    const auto u32 = [&](const char* key, int64_t value) {
      meta.add(std::string("deepseek2.") + key, static_cast<uint32_t>(value));
    };
    const auto f32 = [&](const char* key, double value) {
      meta.add(std::string("deepseek2.") + key, static_cast<float>(value));
    };
    const int64_t rope = integer("qk_rope_head_dim");
    meta.add_string("general.architecture", "deepseek2");
    u32("block_count", integer("num_hidden_layers"));
    u32("context_length", integer("max_position_embeddings"));
    u32("embedding_length", integer("hidden_size"));
    u32("feed_forward_length", integer("intermediate_size"));
    u32("vocab_size", integer("vocab_size"));
    u32("attention.head_count", integer("num_attention_heads"));
    u32("attention.head_count_kv", split_kv_b_ ? 1 : integer("num_attention_heads"));
    f32("attention.layer_norm_rms_epsilon", config_["rms_norm_eps"].get<double>());
    if (config_["q_lora_rank"].is_number()) u32("attention.q_lora_rank", integer("q_lora_rank"));
    u32("attention.kv_lora_rank", integer("kv_lora_rank"));
    u32("attention.key_length",
        split_kv_b_ ? integer("kv_lora_rank") + rope : integer("qk_nope_head_dim") + rope);
    u32("attention.value_length", split_kv_b_ ? integer("kv_lora_rank") : integer("v_head_dim"));
    if (split_kv_b_) {
      u32("attention.key_length_mla", integer("qk_nope_head_dim") + rope);
      u32("attention.value_length_mla", integer("v_head_dim"));
    }
    u32("rope.dimension_count", rope);
    f32("rope.freq_base", config_["rope_theta"].get<double>());
    const Json& scaling = config_["rope_scaling"];
    meta.add_string("deepseek2.rope.scaling.type", "yarn");
    f32("rope.scaling.factor", scaling["factor"].get<double>());
    u32("rope.scaling.original_context_length", scaling["original_max_position_embeddings"].get<int64_t>());
    f32("rope.scaling.yarn_log_multiplier", 0.1 * scaling["mscale_all_dim"].get<double>());
    u32("leading_dense_block_count", integer("first_k_dense_replace"));
    u32("expert_count", integer("n_routed_experts"));
    u32("expert_used_count", integer("num_experts_per_tok"));
    u32("expert_shared_count", integer("n_shared_experts"));
    u32("expert_feed_forward_length", integer("moe_intermediate_size"));
    f32("expert_weights_scale", config_["routed_scaling_factor"].get<double>());
    meta.add("deepseek2.expert_weights_norm", config_["norm_topk_prob"].get<bool>());
    u32("expert_gating_func", config_["scoring_func"] == "sigmoid" ? 2 : 1);
    if (config_["n_group"].is_number()) {
      u32("expert_group_count", integer("n_group"));
      u32("expert_group_used_count", integer("topk_group"));
    }
    return meta;
  }

  Json config_;
  SafetensorsFile weights_;
  bool split_kv_b_;
  std::vector<Source> tensors_;
};

class GgufGolden : public ::testing::TestWithParam<std::tuple<const char*, bool>> {};

TEST_P(GgufGolden, GivesTheReferencesLogits) {
  const auto [name, split_kv_b] = GetParam();
  const std::filesystem::path model = fixtures::shared_folder() / "golden" / name;
  if (!std::filesystem::exists(model)) GTEST_SKIP() << "no golden data at " << model << "; set CADRE_SHARED";
  const fixtures::ScratchFolder scratch;
  Converter(model, split_kv_b).write(scratch / "model.gguf");

  const SafetensorsFile golden = SafetensorsFile::open(model / "golden.safetensors").value();
  const StoredTensor ids = golden.tensor("input_ids.1").value();
  std::ofstream stream(scratch / "ids.json");
  for (size_t i = 0; i < ids.bytes.size(); i += sizeof(int32_t)) {
    int32_t id = 0;
    std::memcpy(&id, ids.bytes.data() + i, sizeof(id));
    stream << (i > 0 ? "," : "[") << id;
  }
  stream << "]";
  stream.close();
  const auto run =
      fixtures::run_cadre("logits " + (scratch / "model.gguf").string() + " --ids " +
                          (scratch / "ids.json").string() + " --out " + (scratch / "out").string());
  ASSERT_EQ(run.exit_code, 0) << run.err;

  const SafetensorsFile ours = SafetensorsFile::open(scratch / "out").value();
  const StoredTensor expected = golden.tensor("logits.1").value();
  const StoredTensor found = ours.tensor("logits.0").value();
  ASSERT_EQ(found.bytes.size(), expected.bytes.size());
  for (size_t i = 0; i < expected.bytes.size(); i += sizeof(float)) {
    float a = 0;
    float b = 0;
    std::memcpy(&a, expected.bytes.data() + i, sizeof(a));
    std::memcpy(&b, found.bytes.data() + i, sizeof(b));
    ASSERT_LE(std::abs(a - b), 3e-4f) << "logit " << i / sizeof(float);
  }
}

INSTANTIATE_TEST_SUITE_P(DeepSeek, GgufGolden,
                         ::testing::Combine(::testing::Values("v2lite_tiny", "v2_tiny", "v3_tiny"),
                                            ::testing::Bool()),
                         [](const auto& golden) {
                           return std::string(std::get<0>(golden.param)) +
                                  (std::get<1>(golden.param) ? "_split_kv_b" : "_whole_kv_b");
                         });

}  // namespace
}  // namespace cadre
