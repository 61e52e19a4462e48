#include "cadre/model/families/deepseek.h"

#include <cmath>

#include "cadre/model/families/families.h"
#include "cadre/model/families/gate_weights.h"
#include "cadre/model/families/hf_config.h"
#include "cadre/model/rope.h"

namespace cadre::deepseek {
namespace {

using hf::size;

Result<MlaConfig> read_mla(const JsonFields& fields) {
  MlaConfig mla;
  CADRE_TRY(mla.num_attention_heads, size(fields, "num_attention_heads", hf::kMaxCount));
  CADRE_TRY(const int64_t kv_heads,
            fields.integer_or("num_key_value_heads", mla.num_attention_heads, 1, hf::kMaxCount));
  // GGUF files in MLA form write 1; every published config.json writes the number of heads.
  if (kv_heads != mla.num_attention_heads && kv_heads != 1)
    return fields.error("num_key_value_heads", fmt::format("expected num_attention_heads = {}, found {}",
                                                           mla.num_attention_heads, kv_heads));
  CADRE_TRY(mla.q_lora_rank, fields.integer_or("q_lora_rank", 0, 1, hf::kMaxWidth));
  CADRE_TRY(mla.kv_lora_rank, size(fields, "kv_lora_rank"));
  CADRE_TRY(mla.qk_nope_head_dim, size(fields, "qk_nope_head_dim", hf::kMaxCount));
  CADRE_TRY(mla.qk_rope_head_dim, size(fields, "qk_rope_head_dim", hf::kMaxCount));
  if (mla.qk_rope_head_dim % 2 != 0)
    return fields.error("qk_rope_head_dim",
                        fmt::format("expected an even number, found {}", mla.qk_rope_head_dim));
  CADRE_TRY(mla.v_head_dim, size(fields, "v_head_dim", hf::kMaxCount));
  CADRE_TRY(mla.split_kv_b, fields.boolean_or("cadre_split_kv_b", false));
  return mla;
}

Status read_scores(const JsonFields& fields, const Generation& generation, MoeConfig& moe) {
  CADRE_TRY(const std::string function,
            fields.string_or("scoring_func", std::string(generation.scoring_func)));
  if (function == "softmax") {
    moe.score_function = ScoreFunction::kSoftmax;
  } else if (function == "sigmoid") {
    moe.score_function = ScoreFunction::kSigmoid;
  } else if (function == "sqrtsoftplus") {
    moe.score_function = ScoreFunction::kSqrtSoftplus;
  } else {
    return fields.error(
        "scoring_func",
        fmt::format("expected \"softmax\", \"sigmoid\" or \"sqrtsoftplus\", found \"{}\"", function));
  }
  return {};
}

Status read_selection(const JsonFields& fields, const Generation& generation, MoeConfig& moe) {
  CADRE_TRY(const std::string method, fields.string_or("topk_method", std::string(generation.topk_method)));
  if (method != "greedy" && method != "group_limited_greedy" && method != "noaux_tc")
    return fields.error(
        "topk_method",
        fmt::format("expected \"greedy\", \"group_limited_greedy\" or \"noaux_tc\", found \"{}\"", method));
  moe.selection_bias = method == "noaux_tc";
  if (method == "greedy") return {};
  CADRE_TRY(moe.n_group, fields.integer_or("n_group", 1, 1, moe.n_routed_experts));
  CADRE_TRY(moe.topk_group, fields.integer_or("topk_group", 1, 1, moe.n_group));
  if (moe.n_routed_experts % moe.n_group != 0)
    return fields.error("n_group", fmt::format("expected a divisor of n_routed_experts = {}, found {}",
                                               moe.n_routed_experts, moe.n_group));
  const int64_t eligible = moe.n_routed_experts / moe.n_group * moe.topk_group;
  if (moe.num_experts_per_tok > eligible)
    return fields.error("topk_group", fmt::format("{} groups leave {} experts, num_experts_per_tok is {}",
                                                  moe.topk_group, eligible, moe.num_experts_per_tok));
  if (moe.n_group > 1) moe.group_score = method == "noaux_tc" ? GroupScore::kTopTwoSum : GroupScore::kMax;
  return {};
}

Result<MoeConfig> read_moe(const JsonFields& fields, const Generation& generation) {
  MoeConfig moe;
  CADRE_TRY(moe.n_routed_experts, size(fields, "n_routed_experts", hf::kMaxCount));
  CADRE_TRY(moe.n_shared_experts, fields.integer_or("n_shared_experts", 0, 0, hf::kMaxCount));
  CADRE_TRY(moe.num_experts_per_tok, fields.integer("num_experts_per_tok", 1, moe.n_routed_experts));
  CADRE_TRY(moe.moe_intermediate_size, size(fields, "moe_intermediate_size"));
  CADRE_TRY(moe.first_k_dense_replace, fields.integer_or("first_k_dense_replace", 0, 0, hf::kMaxCount));
  CADRE_TRY(moe.moe_layer_freq, fields.integer_or("moe_layer_freq", 1, 1, hf::kMaxCount));
  CADRE_CHECK_OK(read_scores(fields, generation, moe));
  CADRE_CHECK_OK(read_selection(fields, generation, moe));
  CADRE_TRY(moe.normalise_weights, fields.boolean_or("norm_topk_prob", generation.norm_topk_prob));
  CADRE_TRY(const double scale, fields.number_or("routed_scaling_factor", 1.0));
  if (!std::isfinite(scale)) return fields.error("routed_scaling_factor", "expected a finite number");
  moe.weight_scale =
      moe.normalise_weights && !generation.scales_normalised_weights ? 1.0f : static_cast<float>(scale);
  return moe;
}

void visit_mla(Mla& attention, int64_t d, const std::string& prefix, WeightVisitor visit) {
  const MlaConfig& c = attention.c;
  const int64_t heads = c.num_attention_heads;
  const auto matrix = [&](std::string_view name, int64_t rows, int64_t cols, Weight& weight) {
    visit({.name = fmt::format("{}.{}.weight", prefix, name),
           .shape = {rows, cols},
           .role = WeightRole::kAttention,
           .matrix = &weight});
  };
  const auto norm = [&](std::string_view name, int64_t width, VectorWeight& gain) {
    visit({.name = fmt::format("{}.{}.weight", prefix, name),
           .shape = {width},
           .role = WeightRole::kNorm,
           .vector = &gain});
  };
  if (c.q_lora_rank == 0) {
    matrix("q_proj", heads * c.qk_head_dim(), d, attention.q_proj);
  } else {
    matrix("q_a_proj", c.q_lora_rank, d, attention.q_a_proj);
    norm("q_a_layernorm", c.q_lora_rank, attention.q_a_norm);
    matrix("q_b_proj", heads * c.qk_head_dim(), c.q_lora_rank, attention.q_b_proj);
  }
  matrix("kv_a_proj_with_mqa", c.latent_dim(), d, attention.kv_a_proj);
  norm("kv_a_layernorm", c.kv_lora_rank, attention.kv_a_norm);
  if (c.split_kv_b) {
    matrix("k_b_proj", heads * c.kv_lora_rank, c.qk_nope_head_dim, attention.k_b_proj);
    matrix("v_b_proj", heads * c.v_head_dim, c.kv_lora_rank, attention.v_b_proj);
  } else {
    matrix("kv_b_proj", heads * (c.qk_nope_head_dim + c.v_head_dim), c.kv_lora_rank, attention.kv_b_proj);
  }
  matrix("o_proj", d, heads * c.v_head_dim, attention.o_proj);
}

void visit_ffn(Weight& gate, Weight& up, Weight& down, int64_t d, int64_t f, const std::string& prefix,
               WeightRole role, WeightVisitor visit) {
  visit({.name = prefix + ".gate_proj.weight", .shape = {f, d}, .role = role, .matrix = &gate});
  visit({.name = prefix + ".up_proj.weight", .shape = {f, d}, .role = role, .matrix = &up});
  visit({.name = prefix + ".down_proj.weight", .shape = {d, f}, .role = role, .matrix = &down});
}

void visit_moe(Moe& moe, const ModelConfig& config, const std::string& prefix, WeightVisitor visit) {
  const MoeConfig& c = moe.c;
  const int64_t d = config.hidden_size;
  visit_gate(moe, config, prefix + ".gate", visit);
  if (c.selection_bias)
    visit({.name = prefix + ".gate.e_score_correction_bias",
           .shape = {c.n_routed_experts},
           .role = WeightRole::kRouter,
           .vector = &moe.selection_bias});
  for (size_t e = 0; e < moe.experts.size(); ++e) {
    ExpertWeights& expert = moe.experts[e];
    visit_ffn(expert.gate, expert.up, expert.down, d, c.moe_intermediate_size,
              fmt::format("{}.experts.{}", prefix, e), WeightRole::kRoutedExpert, visit);
  }
  if (c.n_shared_experts > 0)
    visit_ffn(moe.shared.gate_proj, moe.shared.up_proj, moe.shared.down_proj, d,
              c.n_shared_experts * c.moe_intermediate_size, prefix + ".shared_experts",
              WeightRole::kSharedExpert, visit);
  if (c.fallback && c.fallback->hidden > 0)
    visit_ffn(moe.fallback.gate_proj, moe.fallback.up_proj, moe.fallback.down_proj, d, c.fallback->hidden,
              prefix + ".fallback", WeightRole::kFallbackExpert, visit);
}

}  // namespace

Result<ModelConfig> read_config(const JsonFields& fields, const Generation& generation) {
  CADRE_TRY(ModelConfig config, hf::read_common(fields));
  CADRE_TRY(MlaConfig mla, read_mla(fields));
  CADRE_TRY(config.rope, hf::read_rope(fields, mla.qk_rope_head_dim, /*interleaved=*/true));
  mla.softmax_scale = static_cast<float>(yarn_softmax_factor(config.rope) /
                                         std::sqrt(static_cast<double>(mla.qk_head_dim())));
  config.attention = mla;
  if (fields.has("n_routed_experts")) {
    CADRE_TRY(config.moe, read_moe(fields, generation));
    if (config.moe->first_k_dense_replace > config.num_hidden_layers)
      return fields.error("first_k_dense_replace",
                          fmt::format("expected at most num_hidden_layers = {}, found {}",
                                      config.num_hidden_layers, config.moe->first_k_dense_replace));
  }
  return config;
}

void visit_weights(Transformer& model, WeightVisitor visit) {
  const ModelConfig& config = model.config;
  const int64_t d = config.hidden_size;
  visit({.name = "model.embed_tokens.weight",
         .shape = {config.vocab_size, d},
         .role = WeightRole::kEmbedding,
         .matrix = &model.embedding});
  for (size_t layer = 0; layer < model.blocks.size(); ++layer) {
    Block& block = model.blocks[layer];
    const std::string prefix = fmt::format("model.layers.{}", layer);
    visit({.name = prefix + ".input_layernorm.weight",
           .shape = {d},
           .role = WeightRole::kNorm,
           .vector = &block.attention_norm});
    visit_mla(std::get<Mla>(block.attention), d, prefix + ".self_attn", visit);
    visit({.name = prefix + ".post_attention_layernorm.weight",
           .shape = {d},
           .role = WeightRole::kNorm,
           .vector = &block.ffn_norm});
    if (block.gate_block) visit_gate_block(*block.gate_block, d, visit);
    if (auto* moe = std::get_if<Moe>(&block.ffn)) {
      visit_moe(*moe, config, prefix + ".mlp", visit);
    } else {
      auto& ffn = std::get<SwigluFfn>(block.ffn);
      visit_ffn(ffn.gate_proj, ffn.up_proj, ffn.down_proj, d, config.intermediate_size, prefix + ".mlp",
                WeightRole::kDenseFfn, visit);
    }
  }
  visit({.name = "model.norm.weight", .shape = {d}, .role = WeightRole::kNorm, .vector = &model.final_norm});
  if (!config.tie_word_embeddings)
    visit({.name = "lm_head.weight",
           .shape = {config.vocab_size, d},
           .role = WeightRole::kHead,
           .matrix = &model.head});
}

}  // namespace cadre::deepseek
