// Llama 2 and 3: dense, grouped-query attention. The baseline that sparse models are compared with.
#include <cmath>

#include "cadre/model/families/families.h"
#include "cadre/model/families/hf_config.h"

namespace cadre::llama {

Result<ModelConfig> read_config(const JsonFields& fields) {
  CADRE_TRY(ModelConfig config, hf::read_common(fields));
  GqaConfig gqa;
  CADRE_TRY(gqa.num_attention_heads, hf::size(fields, "num_attention_heads", hf::kMaxCount));
  CADRE_TRY(gqa.num_key_value_heads,
            fields.integer_or("num_key_value_heads", gqa.num_attention_heads, 1, gqa.num_attention_heads));
  if (gqa.num_attention_heads % gqa.num_key_value_heads != 0)
    return fields.error("num_key_value_heads",
                        fmt::format("expected a divisor of num_attention_heads = {}, found {}",
                                    gqa.num_attention_heads, gqa.num_key_value_heads));
  if (!fields.has("head_dim") && config.hidden_size % gqa.num_attention_heads != 0)
    return fields.error("num_attention_heads",
                        fmt::format("expected a divisor of hidden_size = {} (or head_dim), found {}",
                                    config.hidden_size, gqa.num_attention_heads));
  CADRE_TRY(gqa.head_dim,
            fields.integer_or("head_dim", config.hidden_size / gqa.num_attention_heads, 1, hf::kMaxCount));
  if (gqa.head_dim % 2 != 0)
    return fields.error("head_dim", fmt::format("expected an even number, found {}", gqa.head_dim));
  gqa.softmax_scale = static_cast<float>(1 / std::sqrt(static_cast<double>(gqa.head_dim)));
  // llama.cpp permutes the rows of W_q and W_k so that rotary pairs are adjacent; Hugging Face files do not.
  CADRE_TRY(const bool interleaved, fields.boolean_or("cadre_rope_interleaved", false));
  CADRE_TRY(config.rope, hf::read_rope(fields, gqa.head_dim, interleaved));
  config.attention = gqa;
  return config;
}

void visit_weights(Transformer& model, WeightVisitor visit) {
  const ModelConfig& config = model.config;
  const int64_t d = config.hidden_size;
  const int64_t f = config.intermediate_size;
  visit({.name = "model.embed_tokens.weight",
         .shape = {config.vocab_size, d},
         .role = WeightRole::kEmbedding,
         .matrix = &model.embedding});
  for (size_t layer = 0; layer < model.blocks.size(); ++layer) {
    Block& block = model.blocks[layer];
    auto& attention = std::get<Gqa>(block.attention);
    auto& ffn = std::get<SwigluFfn>(block.ffn);
    const int64_t q_width = attention.c.num_attention_heads * attention.c.head_dim;
    const int64_t kv_width = attention.c.num_key_value_heads * attention.c.head_dim;
    const auto matrix = [&](std::string_view name, int64_t rows, int64_t cols, WeightRole role,
                            Weight& weight) {
      visit({.name = fmt::format("model.layers.{}.{}.weight", layer, name),
             .shape = {rows, cols},
             .role = role,
             .matrix = &weight});
    };
    const auto norm = [&](std::string_view name, VectorWeight& gain) {
      visit({.name = fmt::format("model.layers.{}.{}.weight", layer, name),
             .shape = {d},
             .role = WeightRole::kNorm,
             .vector = &gain});
    };
    norm("input_layernorm", block.attention_norm);
    matrix("self_attn.q_proj", q_width, d, WeightRole::kAttention, attention.q_proj);
    matrix("self_attn.k_proj", kv_width, d, WeightRole::kAttention, attention.k_proj);
    matrix("self_attn.v_proj", kv_width, d, WeightRole::kAttention, attention.v_proj);
    matrix("self_attn.o_proj", d, q_width, WeightRole::kAttention, attention.o_proj);
    norm("post_attention_layernorm", block.ffn_norm);
    matrix("mlp.gate_proj", f, d, WeightRole::kDenseFfn, ffn.gate_proj);
    matrix("mlp.up_proj", f, d, WeightRole::kDenseFfn, ffn.up_proj);
    matrix("mlp.down_proj", d, f, WeightRole::kDenseFfn, ffn.down_proj);
  }
  visit({.name = "model.norm.weight", .shape = {d}, .role = WeightRole::kNorm, .vector = &model.final_norm});
  if (!config.tie_word_embeddings)
    visit({.name = "lm_head.weight",
           .shape = {config.vocab_size, d},
           .role = WeightRole::kHead,
           .matrix = &model.head});
}

}  // namespace cadre::llama
