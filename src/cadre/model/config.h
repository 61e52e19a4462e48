#pragma once
/// A model's architecture as typed values, made and validated once by its family (families/). Field names are
/// those of Hugging Face's config.json. Code below the families never asks which model this is.

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace cadre {

/// Rotary position embedding: pair i of `dim / 2` turns by position * frequency i.
struct RopeConfig {
  /// NTK-by-parts interpolation (YaRN, Peng et al. 2023), as DeepSeek applies it.
  struct Yarn {
    double factor = 1;
    double original_max_position_embeddings = 4096;
    double beta_fast = 32;
    double beta_slow = 1;
    double mscale = 1;
    double mscale_all_dim = 0;
  };
  /// Llama 3.1's piecewise scaling.
  struct Llama3 {
    double factor = 8;
    double low_freq_factor = 1;
    double high_freq_factor = 4;
    double original_max_position_embeddings = 8192;
  };
  /// All frequencies divided by `factor` (position interpolation).
  struct Linear {
    double factor = 1;
  };
  struct None {};

  int64_t dim = 0;  ///< channels that turn
  double theta = 10000;
  bool interleaved = true;  ///< pairs (2i, 2i + 1); else (i, i + dim / 2)
  std::variant<None, Yarn, Llama3, Linear> scaling;
};

/// Multi-head latent attention (DeepSeek-V2, section 2.1).
struct MlaConfig {
  int64_t num_attention_heads = 0;
  int64_t q_lora_rank = 0;  ///< 0: queries come straight from the hidden state
  int64_t kv_lora_rank = 0;
  int64_t qk_nope_head_dim = 0;
  int64_t qk_rope_head_dim = 0;
  int64_t v_head_dim = 0;
  float softmax_scale = 0;
  /// The file holds kv_b_proj as two stacks, per head: keys transposed, and values (GGUF's attn_k_b,
  /// attn_v_b).
  bool split_kv_b = false;

  int64_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
  int64_t latent_dim() const { return kv_lora_rank + qk_rope_head_dim; }
};

/// Grouped-query attention (Llama).
struct GqaConfig {
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  float softmax_scale = 0;
};

/// How router logits become scores.
enum class ScoreFunction : uint8_t { kSoftmax, kSigmoid, kSqrtSoftplus };

/// How a group of experts is ranked in group-limited selection.
enum class GroupScore : uint8_t {
  kNone,       ///< no groups: plain top-k
  kMax,        ///< best score of the group (DeepSeek-V2)
  kTopTwoSum,  ///< sum of the two best biased scores (DeepSeek-V3)
};

/// How a layer's router logits z are made of its input x (layers/gate_*.h).
struct LinearGateConfig {};
struct MlpGateConfig {
  int64_t hidden = 64;
};
struct TransformerGateConfig {
  int64_t width = 64;  ///< of the context
  int64_t heads = 2;
  int64_t head_dim = 32;
  int64_t hidden = 128;
  bool linear = true;  ///< a linear gate is added to what the context says
};
struct HashGateConfig {
  int64_t layers = 3;  ///< MoE layers that have one, from the first; the others' gates are linear
  int64_t width = 0;   ///< experts of a token in their tables: num_experts_per_tok of config.json
};
using GateConfig = std::variant<LinearGateConfig, MlpGateConfig, TransformerGateConfig, HashGateConfig>;

/// A generalist expert for tokens that no routed expert serves, and when a token is one (model/fallback.h).
struct FallbackConfig {
  int64_t hidden = 0;              ///< its width; 0: the shared experts alone serve such a token
  int64_t confidence_experts = 0;  ///< k of the confidence: that of config.json, whatever the run's
  std::vector<float> threshold;    ///< of each MoE layer; empty: not calibrated
  std::vector<float> temperature;  ///< of each MoE layer's confidence; as many
  double calibrated_rate = 0;      ///< share of token-layers below the thresholds
};

struct MoeConfig {
  int64_t n_routed_experts = 0;
  int64_t n_shared_experts = 0;
  int64_t num_experts_per_tok = 0;
  int64_t moe_intermediate_size = 0;
  int64_t first_k_dense_replace = 0;
  int64_t moe_layer_freq = 1;
  ScoreFunction score_function = ScoreFunction::kSoftmax;
  GroupScore group_score = GroupScore::kNone;
  int64_t n_group = 1;
  int64_t topk_group = 1;
  bool selection_bias = false;  ///< e_score_correction_bias is added for the selection only (noaux_tc)
  bool normalise_weights = false;
  float weight_scale = 1;  ///< applied to the weights of the chosen
  GateConfig gate;
  std::optional<FallbackConfig> fallback;

  /// As many as every gate can choose from for a token: the experts of the best groups, and no more than a
  /// hash gate's table has.
  int64_t most_experts_per_tok() const {
    const int64_t of_groups = n_routed_experts / n_group * topk_group;
    const auto* hash = std::get_if<HashGateConfig>(&gate);
    return hash == nullptr ? of_groups : std::min(of_groups, hash->width);
  }
};

struct ModelConfig {
  std::string model_type;
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;  ///< of dense FFNs
  int64_t num_hidden_layers = 0;
  int64_t max_position_embeddings = 0;
  float rms_norm_eps = 1e-6f;
  bool tie_word_embeddings = false;
  RopeConfig rope;
  std::variant<MlaConfig, GqaConfig> attention;
  std::optional<MoeConfig> moe;
  /// Size [rows, cols] of the blocks of FP8 weights that share a scale; 0 when the checkpoint has none.
  int32_t fp8_block_rows = 0;
  int32_t fp8_block_cols = 0;
  std::vector<int32_t> eos_token_ids;
  std::optional<int32_t> bos_token_id;

  bool is_moe_layer(int64_t layer) const {
    return moe && layer >= moe->first_k_dense_replace && layer % moe->moe_layer_freq == 0;
  }
  int64_t moe_layers() const {
    int64_t count = 0;
    for (int64_t layer = 0; layer < num_hidden_layers; ++layer) count += is_moe_layer(layer) ? 1 : 0;
    return count;
  }
};

}  // namespace cadre
