#pragma once
/// A small model and batches for the tests of training.

#include <gtest/gtest.h>

#include <cmath>

#include "cadre/base/function_ref.h"
#include "cadre/base/random.h"
#include "cadre/train/pass.h"

namespace cadre::train::fixtures {

/// Two layers, the first dense; MLA with compressed queries; `score` is the router's score function.
inline Json small_shape(const std::string& score = "sigmoid") {
  return Json::parse(R"({
    "model_type": "cadre", "vocab_size": 32, "hidden_size": 24, "intermediate_size": 40,
    "moe_intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 2, "q_lora_rank": 12,
    "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 12,
    "n_routed_experts": 6, "n_shared_experts": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1,
    "scoring_func": ")" +
                     score + R"(", "norm_topk_prob": true, "routed_scaling_factor": 1.5,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 10000, "tie_word_embeddings": false
  })");
}

inline TrainableModel small_model(uint64_t seed = 1, const Json& shape = small_shape()) {
  return TrainableModel::initialise(shape, "shape", seed).value();
}

/// Random sequences of the lengths given; every seventh token has no target.
struct RandomBatch {
  std::vector<int32_t> tokens;
  std::vector<int32_t> targets;
  std::vector<SequenceRows> sequences;

  explicit RandomBatch(const std::vector<int64_t>& lengths, int32_t vocab = 32, uint64_t seed = 3) {
    const RandomStream random(seed, 0);
    for (const int64_t length : lengths) {
      sequences.push_back({.first_row = static_cast<int64_t>(tokens.size()), .rows = length});
      for (int64_t i = 0; i < length; ++i) {
        tokens.push_back(static_cast<int32_t>(random.bits(2 * tokens.size()) % static_cast<uint64_t>(vocab)));
        targets.push_back(i % 7 == 6 ? -1
                                     : static_cast<int32_t>(random.bits(2 * tokens.size() + 1) %
                                                            static_cast<uint64_t>(vocab)));
      }
    }
  }
  PassBatch batch() const { return {tokens, targets, sequences}; }
};

/// Compares the routers' gradients, of a pass that has run, with finite differences of loss(false).
inline void expect_router_gradients(const TrainableModel& model, FunctionRef<double(bool)> loss) {
  for (const Parameter& parameter : model.parameters()) {
    if (parameter.role != WeightRole::kRouter) continue;
    for (size_t i = 0; i < parameter.values().size(); i += 11) {
      float& value = parameter.values()[i];
      const float kept = value;
      value = kept + 1e-3f;
      const double above = loss(false);
      value = kept - 1e-3f;
      const double below = loss(false);
      value = kept;
      const double numeric = (above - below) / 2e-3;
      EXPECT_NEAR(double{parameter.gradients()[i]}, numeric, 0.02 * (0.5 + std::abs(numeric))) << i;
    }
  }
}

inline std::vector<float> all_gradients(const TrainableModel& model) {
  std::vector<float> result;
  for (const Parameter& parameter : model.parameters())
    result.insert(result.end(), parameter.gradients().begin(), parameter.gradients().end());
  return result;
}

inline std::vector<float> all_values(const TrainableModel& model) {
  std::vector<float> result;
  for (const Parameter& parameter : model.parameters())
    result.insert(result.end(), parameter.values().begin(), parameter.values().end());
  return result;
}

}  // namespace cadre::train::fixtures
