#include "cadre/model/shapes.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

namespace cadre {
namespace {

struct NamedShape {
  std::string_view name;
  std::string_view config;
};

// Values of the published ones: their config.json; DeepSeek-V2 and V3 also the papers' tables
// (arXiv:2405.04434 section 3.1.2, arXiv:2412.19437 section 4.2), Llama 3: arXiv:2407.21783 table 3.
constexpr NamedShape kShapes[] = {
    {"deepseek-v2-lite", R"({
      "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "torch_dtype": "bfloat16",
      "vocab_size": 102400, "hidden_size": 2048, "intermediate_size": 10944, "moe_intermediate_size": 1408,
      "num_hidden_layers": 27, "num_attention_heads": 16, "num_key_value_heads": 16,
      "q_lora_rank": null, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
      "n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6,
      "first_k_dense_replace": 1, "moe_layer_freq": 1, "topk_method": "greedy", "n_group": 1, "topk_group": 1,
      "scoring_func": "softmax", "norm_topk_prob": false, "routed_scaling_factor": 1.0,
      "hidden_act": "silu", "rms_norm_eps": 1e-06, "attention_bias": false, "tie_word_embeddings": false,
      "max_position_embeddings": 163840, "rope_theta": 10000,
      "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096,
                       "beta_fast": 32, "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707},
      "bos_token_id": 100000, "eos_token_id": 100001})"},

    {"deepseek-v2", R"({
      "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "torch_dtype": "bfloat16",
      "vocab_size": 102400, "hidden_size": 5120, "intermediate_size": 12288, "moe_intermediate_size": 1536,
      "num_hidden_layers": 60, "num_attention_heads": 128, "num_key_value_heads": 128,
      "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
      "n_routed_experts": 160, "n_shared_experts": 2, "num_experts_per_tok": 6,
      "first_k_dense_replace": 1, "moe_layer_freq": 1,
      "topk_method": "group_limited_greedy", "n_group": 8, "topk_group": 3,
      "scoring_func": "softmax", "norm_topk_prob": false, "routed_scaling_factor": 16.0,
      "hidden_act": "silu", "rms_norm_eps": 1e-06, "attention_bias": false, "tie_word_embeddings": false,
      "max_position_embeddings": 163840, "rope_theta": 10000,
      "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096,
                       "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0},
      "bos_token_id": 100000, "eos_token_id": 100001})"},

    {"deepseek-v3", R"({
      "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "torch_dtype": "bfloat16",
      "vocab_size": 129280, "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048,
      "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128,
      "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
      "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8,
      "first_k_dense_replace": 3, "moe_layer_freq": 1, "topk_method": "noaux_tc", "n_group": 8, "topk_group": 4,
      "scoring_func": "sigmoid", "norm_topk_prob": true, "routed_scaling_factor": 2.5,
      "hidden_act": "silu", "rms_norm_eps": 1e-06, "attention_bias": false, "tie_word_embeddings": false,
      "max_position_embeddings": 163840, "rope_theta": 10000,
      "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096,
                       "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0},
      "bos_token_id": 0, "eos_token_id": 1})"},

    {"llama-3-8b", R"({
      "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
      "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
      "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_act": "silu", "rms_norm_eps": 1e-05,
      "attention_bias": false, "mlp_bias": false, "tie_word_embeddings": false,
      "max_position_embeddings": 8192, "rope_theta": 500000.0, "rope_scaling": null,
      "bos_token_id": 128000, "eos_token_id": 128001})"},

    // What cadre trains itself: few, small experts of which a quarter (S) or an eighth (M) run.
    {"cadre-s", R"({
      "architectures": ["CadreForCausalLM"], "model_type": "cadre", "torch_dtype": "float32",
      "vocab_size": 4096, "hidden_size": 256, "intermediate_size": 512, "moe_intermediate_size": 128,
      "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 4,
      "q_lora_rank": null, "kv_lora_rank": 64, "qk_nope_head_dim": 48, "qk_rope_head_dim": 16, "v_head_dim": 64,
      "n_routed_experts": 16, "n_shared_experts": 1, "num_experts_per_tok": 4,
      "first_k_dense_replace": 1, "moe_layer_freq": 1, "topk_method": "noaux_tc", "n_group": 1, "topk_group": 1,
      "gate": {"type": "linear", "score": "sigmoid"}, "norm_topk_prob": true, "routed_scaling_factor": 1.0,
      "hidden_act": "silu", "rms_norm_eps": 1e-06, "attention_bias": false, "tie_word_embeddings": true,
      "max_position_embeddings": 2048, "rope_theta": 10000, "rope_scaling": null,
      "bos_token_id": 0, "eos_token_id": 1})"},

    {"cadre-m", R"({
      "architectures": ["CadreForCausalLM"], "model_type": "cadre", "torch_dtype": "bfloat16",
      "vocab_size": 8192, "hidden_size": 384, "intermediate_size": 1024, "moe_intermediate_size": 192,
      "num_hidden_layers": 8, "num_attention_heads": 6, "num_key_value_heads": 6,
      "q_lora_rank": null, "kv_lora_rank": 96, "qk_nope_head_dim": 48, "qk_rope_head_dim": 16, "v_head_dim": 64,
      "n_routed_experts": 32, "n_shared_experts": 1, "num_experts_per_tok": 4,
      "first_k_dense_replace": 1, "moe_layer_freq": 1, "topk_method": "noaux_tc", "n_group": 1, "topk_group": 1,
      "gate": {"type": "linear", "score": "sigmoid"}, "norm_topk_prob": true, "routed_scaling_factor": 1.0,
      "hidden_act": "silu", "rms_norm_eps": 1e-06, "attention_bias": false, "tie_word_embeddings": true,
      "max_position_embeddings": 4096, "rope_theta": 10000, "rope_scaling": null,
      "bos_token_id": 0, "eos_token_id": 1})"},

    // A plan, not a trained model: 280 B parameters in 1,368 large experts over 57 layers, 4 of 24 per token,
    // so that with the shared expert and attention 23 % are active; 256K tokens of context.
    {"cadre-280b", R"({
      "architectures": ["CadreForCausalLM"], "model_type": "cadre", "torch_dtype": "bfloat16",
      "vocab_size": 129280, "hidden_size": 6144, "intermediate_size": 18432, "moe_intermediate_size": 10240,
      "num_hidden_layers": 58, "num_attention_heads": 128, "num_key_value_heads": 128,
      "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
      "n_routed_experts": 24, "n_shared_experts": 1, "num_experts_per_tok": 4,
      "first_k_dense_replace": 1, "moe_layer_freq": 1, "topk_method": "noaux_tc", "n_group": 1, "topk_group": 1,
      "gate": {"type": "linear", "score": "sigmoid"}, "norm_topk_prob": true, "routed_scaling_factor": 2.5,
      "hidden_act": "silu", "rms_norm_eps": 1e-06, "attention_bias": false, "tie_word_embeddings": false,
      "max_position_embeddings": 262144, "rope_theta": 10000,
      "rope_scaling": {"type": "yarn", "factor": 64, "original_max_position_embeddings": 4096,
                       "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0},
      "bos_token_id": 0, "eos_token_id": 1})"},
};

/// Published shapes of a family that does not run.
constexpr std::string_view kDeepseekV4Shapes[] = {"deepseek-v4-flash", "deepseek-v4-pro"};

}  // namespace

std::vector<std::string_view> shape_names() {
  std::vector<std::string_view> names;
  for (const NamedShape& shape : kShapes) names.push_back(shape.name);
  return names;
}

Result<Json> named_shape(std::string_view name) {
  for (const NamedShape& shape : kShapes)
    if (shape.name == name) return parse_json(shape.config, name);
  if (std::ranges::find(kDeepseekV4Shapes, name) != std::ranges::end(kDeepseekV4Shapes))
    return fail(ErrorKind::kUsage, "shape '{}' is of the family deepseek_v4, which does not run yet", name);
  return fail(ErrorKind::kUsage, "no shape '{}': expected the path of a config.json, or one of {}", name,
              fmt::join(shape_names(), ", "));
}

Result<Json> find_shape(const std::string& name_or_path) {
  std::error_code ignored;
  const std::filesystem::path path = name_or_path;
  if (std::filesystem::is_directory(path, ignored)) return read_json_file((path / "config.json").string());
  const bool looks_like_path = name_or_path.find('/') != std::string::npos || path.extension() == ".json";
  if (looks_like_path || std::filesystem::exists(path, ignored)) return read_json_file(name_or_path);
  return named_shape(name_or_path);
}

Status cut_layers(Json& config, int64_t layers) {
  const JsonFields fields(config, "config.json");
  CADRE_TRY(const int64_t has, fields.integer("num_hidden_layers", 1, int64_t{1} << 16));
  if (layers < 1 || layers > has)
    return fail(ErrorKind::kUsage, "{} layers wanted, the shape has from 1 to {}", layers, has);
  CADRE_TRY(const int64_t dense, fields.integer_or("first_k_dense_replace", 0, 0, int64_t{1} << 16));
  config["num_hidden_layers"] = layers;
  if (dense > layers) config["first_k_dense_replace"] = layers;
  return {};
}

}  // namespace cadre
