#pragma once
/// What the tests of calibration share: a model small enough for milliseconds, and tokens.

#include "cadre/base/random.h"
#include "cadre/model/shapes.h"
#include "cadre/quant/calibration.h"
#include "cadre/runtime/memory_model.h"

namespace cadre {

/// Two layers of MLA, one dense and one of six experts of which a token takes two, and a shared one.
inline Json calibration_shape() {
  Json config = *named_shape("cadre-s");
  config["num_hidden_layers"] = 2;
  config["first_k_dense_replace"] = 1;
  config["hidden_size"] = 64;
  config["intermediate_size"] = 96;
  config["moe_intermediate_size"] = 32;
  config["n_routed_experts"] = 6;
  config["num_experts_per_tok"] = 2;
  config["num_attention_heads"] = 3;
  config["num_key_value_heads"] = 3;
  config["qk_nope_head_dim"] = 32;
  config["qk_rope_head_dim"] = 8;
  config["v_head_dim"] = 24;
  config["kv_lora_rank"] = 32;
  config["vocab_size"] = 300;
  config["tie_word_embeddings"] = false;
  return config;
}

inline Model calibration_model() {
  return make_random_model(calibration_shape(), "test model", {.type = DType::kF32, .threads = 1},
                           [](int64_t, int64_t) {})
      .value();
}

inline CalibrationText random_text(int64_t tokens, int64_t window) {
  CalibrationText text{.window = window, .identity = "random"};
  const RandomStream stream(7, 11);
  for (int64_t i = 0; i < tokens; ++i)
    text.tokens.push_back(static_cast<int32_t>(stream.uniform(static_cast<uint64_t>(i)) * 300));
  return text;
}

}  // namespace cadre
