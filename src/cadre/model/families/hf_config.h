#pragma once
/// Fields of config.json that families share, read and validated the same way.

#include "cadre/base/json.h"
#include "cadre/model/config.h"

namespace cadre::hf {

/// Limits that no published model comes near: above them a field is a mistake, and products of sizes could
/// overflow.
inline constexpr int64_t kMaxWidth = int64_t{1} << 24;
inline constexpr int64_t kMaxCount = int64_t{1} << 16;

/// vocab_size, hidden_size, intermediate_size, num_hidden_layers, max_position_embeddings, rms_norm_eps,
/// tie_word_embeddings, hidden_act, attention_bias, token ids, quantization_config.
Result<ModelConfig> read_common(const JsonFields& fields);

/// rope_theta and rope_scaling (or the newer rope_parameters) for `dim` rotary channels.
Result<RopeConfig> read_rope(const JsonFields& fields, int64_t dim, bool interleaved);

/// An integer of at least 1 and at most `highest`.
inline Result<int64_t> size(const JsonFields& fields, std::string_view key, int64_t highest = kMaxWidth) {
  return fields.integer(key, 1, highest);
}

}  // namespace cadre::hf
