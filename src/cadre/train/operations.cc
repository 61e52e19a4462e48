#include "cadre/train/operations.h"

namespace cadre::train {
namespace {

double attention_multiply_adds(const ModelConfig& config, double keys) {
  const auto d = static_cast<double>(config.hidden_size);
  if (const auto* gqa = std::get_if<GqaConfig>(&config.attention)) {
    const auto heads = static_cast<double>(gqa->num_attention_heads);
    const auto width = static_cast<double>(gqa->head_dim);
    return 2 * d * width * (heads + static_cast<double>(gqa->num_key_value_heads)) + 2 * heads * width * keys;
  }
  const auto& mla = std::get<MlaConfig>(config.attention);
  const auto heads = static_cast<double>(mla.num_attention_heads);
  const double q_width = heads * static_cast<double>(mla.qk_head_dim());
  const double v_width = heads * static_cast<double>(mla.v_head_dim);
  const auto q_rank = static_cast<double>(mla.q_lora_rank);
  const double queries = mla.q_lora_rank == 0 ? d * q_width : q_rank * (d + q_width);
  const double latent = d * static_cast<double>(mla.latent_dim());
  const double expansion =
      static_cast<double>(mla.kv_lora_rank) * (heads * static_cast<double>(mla.qk_nope_head_dim) + v_width);
  return queries + latent + expansion + v_width * d + (q_width + v_width) * keys;
}

double ffn_multiply_adds(const ModelConfig& config, int64_t layer) {
  const auto d = static_cast<double>(config.hidden_size);
  if (!config.is_moe_layer(layer)) return 3 * d * static_cast<double>(config.intermediate_size);
  const MoeConfig& moe = *config.moe;
  const auto experts = static_cast<double>(moe.num_experts_per_tok + moe.n_shared_experts);
  return 3 * d * experts * static_cast<double>(moe.moe_intermediate_size) +
         d * static_cast<double>(moe.n_routed_experts);
}

}  // namespace

double training_operations(const ModelConfig& config, int64_t length) {
  double multiply_adds = static_cast<double>(config.hidden_size) * static_cast<double>(config.vocab_size);
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer)
    multiply_adds +=
        attention_multiply_adds(config, static_cast<double>(length) / 2) + ffn_multiply_adds(config, layer);
  return 2 * 3 * multiply_adds;
}

}  // namespace cadre::train
