// GGUF architecture "deepseek2": DeepSeek V2, V2-Lite, V3, R1 and V3.1 as llama.cpp's converter writes them.
#include "cadre/model/families/families.h"
#include "cadre/model/families/gguf_names.h"

namespace cadre::gguf_deepseek2 {
namespace {

constexpr std::string_view kPrefix = "deepseek2";
constexpr int64_t kMaxSize = int64_t{1} << 40;

constexpr gguf::LayerName kLayerNames[] = {
    {"input_layernorm.weight", "attn_norm.weight"},
    {"post_attention_layernorm.weight", "ffn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.q_a_proj.weight", "attn_q_a.weight"},
    {"self_attn.q_a_layernorm.weight", "attn_q_a_norm.weight"},
    {"self_attn.q_b_proj.weight", "attn_q_b.weight"},
    {"self_attn.kv_a_proj_with_mqa.weight", "attn_kv_a_mqa.weight"},
    {"self_attn.kv_a_layernorm.weight", "attn_kv_a_norm.weight"},
    {"self_attn.kv_b_proj.weight", "attn_kv_b.weight"},
    {"self_attn.k_b_proj.weight", "attn_k_b.weight"},
    {"self_attn.v_b_proj.weight", "attn_v_b.weight"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
    {"mlp.gate.weight", "ffn_gate_inp.weight"},
    {"mlp.gate.e_score_correction_bias", "exp_probs_b.bias"},
    {"mlp.shared_experts.gate_proj.weight", "ffn_gate_shexp.weight"},
    {"mlp.shared_experts.up_proj.weight", "ffn_up_shexp.weight"},
    {"mlp.shared_experts.down_proj.weight", "ffn_down_shexp.weight"},
};

std::string key(std::string_view name) { return fmt::format("{}.{}", kPrefix, name); }

/// Head sizes: `key_length_mla` in files with absorbed projections, `key_length` in older ones.
Status add_attention(const GgufFile& file, Json& config) {
  const bool split = file.has_tensor("blk.0.attn_k_b.weight");
  const auto integer = [&](std::string_view name) { return file.integer(key(name), 1, kMaxSize); };
  CADRE_TRY(const int64_t rope_dim, integer("rope.dimension_count"));
  CADRE_TRY(const int64_t key_length,
            integer(file.has(key("attention.key_length_mla")) ? "attention.key_length_mla"
                                                              : "attention.key_length"));
  CADRE_TRY(const int64_t value_length,
            integer(file.has(key("attention.value_length_mla")) ? "attention.value_length_mla"
                                                                : "attention.value_length"));
  if (key_length <= rope_dim)
    return invalid("{}: key '{}': expected more than rope.dimension_count = {}, found {}",
                   file.path().string(), key("attention.key_length"), rope_dim, key_length);
  CADRE_TRY(config["kv_lora_rank"], integer("attention.kv_lora_rank"));
  if (file.has(key("attention.q_lora_rank"))) {
    CADRE_TRY(config["q_lora_rank"], integer("attention.q_lora_rank"));
  }
  config["qk_rope_head_dim"] = rope_dim;
  config["qk_nope_head_dim"] = key_length - rope_dim;
  config["v_head_dim"] = value_length;
  config["cadre_split_kv_b"] = split;
  return {};
}

/// YaRN: the log multiplier is 0.1 mscale_all_dim; cosines and sines are not scaled, so mscale equals it.
Status add_rope(const GgufFile& file, Json& config) {
  CADRE_TRY(const std::string type, file.string_or(key("rope.scaling.type"), "none"));
  if (type == "none") return {};
  if (type != "yarn")
    return invalid("{}: key '{}': expected \"yarn\" or \"none\", found \"{}\"", file.path().string(),
                   key("rope.scaling.type"), type);
  Json scaling;
  scaling["type"] = "yarn";
  CADRE_TRY(scaling["factor"], file.number(key("rope.scaling.factor")));
  CADRE_TRY(scaling["original_max_position_embeddings"],
            file.integer(key("rope.scaling.original_context_length"), 1, kMaxSize));
  CADRE_TRY(const double multiplier, file.number_or(key("rope.scaling.yarn_log_multiplier"), 0.0));
  scaling["mscale"] = multiplier * 10;
  scaling["mscale_all_dim"] = multiplier * 10;
  config["rope_scaling"] = scaling;
  return {};
}

Result<std::string> scoring_function(const GgufFile& file, int64_t gating) {
  switch (gating) {
    case 1:
      return "softmax";
    case 2:
      return "sigmoid";
    case 4:
      return "sqrtsoftplus";
    default:
      return invalid("{}: key '{}': expected 1 (softmax), 2 (sigmoid) or 4 (sqrt-softplus), found {}",
                     file.path().string(), key("expert_gating_func"), gating);
  }
}

Status add_experts(const GgufFile& file, Json& config) {
  CADRE_TRY(const int64_t experts, file.integer_or(key("expert_count"), 0, 0, kMaxSize));
  if (experts == 0) return {};
  const auto integer = [&](std::string_view name) { return file.integer(key(name), 0, kMaxSize); };
  config["n_routed_experts"] = experts;
  CADRE_TRY(config["num_experts_per_tok"], integer("expert_used_count"));
  CADRE_TRY(config["n_shared_experts"], file.integer_or(key("expert_shared_count"), 0, 0, kMaxSize));
  CADRE_TRY(config["moe_intermediate_size"], integer("expert_feed_forward_length"));
  CADRE_TRY(config["first_k_dense_replace"],
            file.integer_or(key("leading_dense_block_count"), 0, 0, kMaxSize));
  CADRE_TRY(config["routed_scaling_factor"], file.number_or(key("expert_weights_scale"), 1.0));
  CADRE_TRY(config["norm_topk_prob"], file.boolean_or(key("expert_weights_norm"), false));
  CADRE_TRY(config["n_group"], file.integer_or(key("expert_group_count"), 1, 1, kMaxSize));
  CADRE_TRY(config["topk_group"], file.integer_or(key("expert_group_used_count"), 1, 1, kMaxSize));
  CADRE_TRY(const int64_t gating, file.integer_or(key("expert_gating_func"), 1, 0, 16));
  CADRE_TRY(config["scoring_func"], scoring_function(file, gating));
  const int64_t first_moe = config["first_k_dense_replace"].get<int64_t>();
  const bool biased = file.has_tensor(fmt::format("blk.{}.exp_probs_b.bias", first_moe));
  const bool grouped = config["n_group"].get<int64_t>() > 1;
  config["topk_method"] = biased ? "noaux_tc" : grouped ? "group_limited_greedy" : "greedy";
  return {};
}

}  // namespace

Result<Json> config(const GgufFile& file) {
  CADRE_TRY(Json config, gguf::common_config(file, kPrefix));
  config["model_type"] = "deepseek_v3";
  CADRE_CHECK_OK(add_attention(file, config));
  CADRE_CHECK_OK(add_rope(file, config));
  CADRE_CHECK_OK(add_experts(file, config));
  return config;
}

GgufArchitecture::Source source(std::string_view name) { return gguf::find_source(name, kLayerNames); }

}  // namespace cadre::gguf_deepseek2
