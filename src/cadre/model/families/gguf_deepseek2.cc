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
  // 0 in files of models without one: llama.cpp looks for the key in all but models of 26 or 27 layers.
  CADRE_TRY(const int64_t q_lora_rank, file.integer_or(key("attention.q_lora_rank"), 0, 0, kMaxSize));
  if (q_lora_rank > 0) config["q_lora_rank"] = q_lora_rank;
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
  const double mscale = written_decimal(static_cast<float>(multiplier * 10));
  scaling["mscale"] = mscale;
  scaling["mscale_all_dim"] = mscale;
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

void write_attention(const ModelConfig& config, const MlaConfig& mla, GgufMetadata& metadata) {
  const auto add = [&](std::string_view name, int64_t value) {
    metadata.add(key(name), static_cast<uint32_t>(value));
  };
  add("attention.head_count", mla.num_attention_heads);
  // In absorbed form all heads share one latent key and value.
  add("attention.head_count_kv", 1);
  add("attention.q_lora_rank", mla.q_lora_rank);
  add("attention.kv_lora_rank", mla.kv_lora_rank);
  add("attention.key_length", mla.latent_dim());
  add("attention.value_length", mla.kv_lora_rank);
  add("attention.key_length_mla", mla.qk_head_dim());
  add("attention.value_length_mla", mla.v_head_dim);
  add("rope.dimension_count", config.rope.dim);
}

Status write_rope(const RopeConfig& rope, const std::string& origin, GgufMetadata& metadata) {
  if (std::holds_alternative<RopeConfig::None>(rope.scaling)) return {};
  const auto* yarn = std::get_if<RopeConfig::Yarn>(&rope.scaling);
  if (yarn == nullptr)
    return gguf::no_gguf_for(origin, "rope_scaling.type", "GGUF's deepseek2 knows \"yarn\" only");
  if (yarn->mscale != yarn->mscale_all_dim)
    return gguf::no_gguf_for(
        origin, "rope_scaling.mscale",
        fmt::format("GGUF's deepseek2 has one number for this and mscale_all_dim, found {} and {}",
                    yarn->mscale, yarn->mscale_all_dim));
  constexpr RopeConfig::Yarn kDefault;
  if (yarn->beta_fast != kDefault.beta_fast || yarn->beta_slow != kDefault.beta_slow)
    return gguf::no_gguf_for(origin, "rope_scaling.beta_fast",
                             fmt::format("GGUF's deepseek2 implies 32, and 1 for beta_slow, found {} and {}",
                                         yarn->beta_fast, yarn->beta_slow));
  metadata.add_string(key("rope.scaling.type"), "yarn");
  metadata.add(key("rope.scaling.factor"), static_cast<float>(yarn->factor));
  metadata.add(key("rope.scaling.original_context_length"),
               static_cast<uint32_t>(yarn->original_max_position_embeddings));
  metadata.add(key("rope.scaling.yarn_log_multiplier"), static_cast<float>(yarn->mscale_all_dim * 0.1));
  return {};
}

uint32_t gating_number(ScoreFunction function) {
  switch (function) {
    case ScoreFunction::kSoftmax:
      return 1;
    case ScoreFunction::kSigmoid:
      return 2;
    case ScoreFunction::kSqrtSoftplus:
      return 4;
  }
  return 0;
}

Status write_experts(const ModelConfig& config, const std::string& origin, GgufMetadata& metadata) {
  const auto add = [&](std::string_view name, int64_t value) {
    metadata.add(key(name), static_cast<uint32_t>(value));
  };
  if (!config.moe) {
    add("leading_dense_block_count", config.num_hidden_layers);
    return {};
  }
  const MoeConfig& moe = *config.moe;
  if (moe.moe_layer_freq != 1)
    return gguf::no_gguf_for(origin, "moe_layer_freq",
                             fmt::format("GGUF's deepseek2 implies 1, found {}", moe.moe_layer_freq));
  add("leading_dense_block_count", moe.first_k_dense_replace);
  add("expert_count", moe.n_routed_experts);
  add("expert_used_count", moe.num_experts_per_tok);
  add("expert_shared_count", moe.n_shared_experts);
  add("expert_feed_forward_length", moe.moe_intermediate_size);
  add("expert_group_count", moe.n_group);
  add("expert_group_used_count", moe.topk_group);
  metadata.add(key("expert_weights_scale"), moe.weight_scale);
  metadata.add(key("expert_weights_norm"), moe.normalise_weights);
  metadata.add(key("expert_gating_func"), gating_number(moe.score_function));
  return {};
}

}  // namespace

Status add_metadata(const ModelConfig& config, const std::string& origin, GgufMetadata& metadata) {
  gguf::add_common(config, kPrefix, metadata);
  write_attention(config, std::get<MlaConfig>(config.attention), metadata);
  CADRE_CHECK_OK(write_rope(config.rope, origin, metadata));
  return write_experts(config, origin, metadata);
}

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
