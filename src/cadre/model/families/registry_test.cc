#include "cadre/model/families/registry.h"

#include <gtest/gtest.h>

namespace cadre {
namespace {

/// A valid configuration of the V3 kind, small.
Json valid_v3() {
  return Json::parse(R"({
    "model_type": "deepseek_v3", "vocab_size": 256, "hidden_size": 64, "intermediate_size": 128,
    "moe_intermediate_size": 32, "num_hidden_layers": 5, "num_attention_heads": 4, "num_key_value_heads": 4,
    "q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 16, "v_head_dim": 16,
    "n_routed_experts": 16, "n_shared_experts": 1, "num_experts_per_tok": 4, "first_k_dense_replace": 2,
    "n_group": 4, "topk_group": 2, "routed_scaling_factor": 2.5, "rms_norm_eps": 1e-06, "rope_theta": 10000,
    "max_position_embeddings": 2560, "hidden_act": "silu", "bos_token_id": 0, "eos_token_id": 1
  })");
}

Json valid_llama() {
  return Json::parse(R"({
    "model_type": "llama", "vocab_size": 256, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
    "max_position_embeddings": 2048, "eos_token_id": [1, 2]
  })");
}

TEST(ReadModelConfig, ReadsTheV3Kind) {
  const auto config = read_model_config(valid_v3(), "config.json");
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->moe->group_score, GroupScore::kTopTwoSum);
  EXPECT_EQ(config->moe->score_function, ScoreFunction::kSigmoid);
  EXPECT_TRUE(config->moe->selection_bias);
  EXPECT_TRUE(config->moe->normalise_weights);
  EXPECT_EQ(config->moe->weight_scale, 2.5f);
  EXPECT_FALSE(config->is_moe_layer(1));
  EXPECT_TRUE(config->is_moe_layer(2));
}

TEST(ReadModelConfig, V2NormalisesOrScalesButNeverBoth) {
  Json json = valid_v3();
  json["model_type"] = "deepseek_v2";
  json["topk_method"] = "greedy";
  EXPECT_EQ(read_model_config(json, "c")->moe->weight_scale, 2.5f);
  EXPECT_FALSE(read_model_config(json, "c")->moe->normalise_weights);
  json["norm_topk_prob"] = true;
  EXPECT_EQ(read_model_config(json, "c")->moe->weight_scale, 1.0f);
}

TEST(ReadModelConfig, ReadsLlamaWithSeveralEndTokens) {
  const auto config = read_model_config(valid_llama(), "config.json");
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(std::get<GqaConfig>(config->attention).head_dim, 16);
  EXPECT_EQ(config->eos_token_ids, (std::vector<int32_t>{1, 2}));
}

TEST(ReadModelConfig, EveryRequiredFieldIsNamedWhenItIsMissingOrOfTheWrongType) {
  for (const char* field :
       {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "model_type",
        "num_experts_per_tok", "moe_intermediate_size", "max_position_embeddings"}) {
    Json missing = valid_v3();
    missing.erase(field);
    Json wrong = valid_v3();
    wrong[field] = Json::array({"x"});
    for (const Json& json : {missing, wrong}) {
      const auto config = read_model_config(json, "dir/config.json");
      ASSERT_FALSE(config.has_value()) << field;
      EXPECT_NE(config.error().message.find(fmt::format("dir/config.json: field '{}'", field)),
                std::string::npos)
          << config.error().message;
    }
  }
}

struct Contradiction {
  const char* field;
  Json value;
  const char* named;  ///< the field that the error names
};

TEST(ReadModelConfig, ContradictionsNameTheField) {
  const Contradiction cases[] = {
      {"num_experts_per_tok", 17, "num_experts_per_tok"},
      {"num_experts_per_tok", 9, "topk_group"},
      {"n_group", 3, "n_group"},
      {"topk_group", 5, "topk_group"},
      {"first_k_dense_replace", 6, "first_k_dense_replace"},
      {"num_key_value_heads", 3, "num_key_value_heads"},
      {"qk_rope_head_dim", 15, "qk_rope_head_dim"},
      {"rms_norm_eps", -1, "rms_norm_eps"},
      {"hidden_act", "gelu", "hidden_act"},
      {"attention_bias", true, "attention_bias"},
      {"eos_token_id", 256, "eos_token_id"},
      {"scoring_func", "tanh", "scoring_func"},
      {"topk_method", "magic", "topk_method"},
      {"rope_theta", 0, "rope_theta"},
      {"hidden_size", -64, "hidden_size"},
      {"hidden_size", 1e300, "hidden_size"},
      {"rope_scaling", {{"type", "yarn"}}, "rope_scaling.factor"},
      {"rope_scaling", {{"type", "wave"}}, "rope_scaling.type"},
      {"quantization_config", {{"quant_method", "awq"}}, "quantization_config.quant_method"},
      {"quantization_config", {{"quant_method", "fp8"}}, "quantization_config.weight_block_size"},
  };
  for (const Contradiction& c : cases) {
    Json json = valid_v3();
    json[c.field] = c.value;
    const auto config = read_model_config(json, "c");
    ASSERT_FALSE(config.has_value()) << c.field;
    EXPECT_NE(config.error().message.find(fmt::format("field '{}'", c.named)), std::string::npos)
        << config.error().message;
  }
}

TEST(ReadModelConfig, UnknownFamiliesAreRefusedWithTheListOfKnownOnes) {
  Json json = valid_v3();
  json["model_type"] = "deepseek_v4";
  const auto config = read_model_config(json, "c");
  ASSERT_FALSE(config.has_value());
  EXPECT_NE(config.error().message.find("deepseek_v3"), std::string::npos);
  EXPECT_FALSE(read_model_config(Json::array(), "c").has_value());
}

Json valid_cadre() {
  Json json = valid_v3();
  json["model_type"] = "cadre";
  return json;
}

TEST(ReadModelConfig, OurOwnFamilyHasFourGates) {
  Json json = valid_cadre();
  json["gate"] = {{"type", "linear"}, {"score", "sqrtsoftplus"}};
  EXPECT_EQ(read_model_config(json, "c")->moe->score_function, ScoreFunction::kSqrtSoftplus);
  json["gate"] = {{"type", "mlp"}};
  EXPECT_EQ(std::get<MlpGateConfig>(read_model_config(json, "c")->moe->gate).hidden, 64);
  EXPECT_EQ(read_model_config(json, "c")->moe->score_function, ScoreFunction::kSigmoid);
  json["gate"] = {{"type", "transformer"}, {"width", 32}, {"linear", false}};
  const auto transformer = std::get<TransformerGateConfig>(read_model_config(json, "c")->moe->gate);
  EXPECT_EQ(transformer.width, 32);
  EXPECT_EQ(transformer.hidden, 128);
  EXPECT_FALSE(transformer.linear);
  json["gate"] = {{"type", "hash"}, {"layers", 2}};
  EXPECT_EQ(std::get<HashGateConfig>(read_model_config(json, "c")->moe->gate).layers, 2);
}

TEST(ReadModelConfig, OurOwnFamilyHasAFallback) {
  Json json = valid_cadre();
  json["fallback"] = Json::object();
  const auto plain = read_model_config(json, "c")->moe->fallback;
  EXPECT_EQ(plain->hidden, 4 * 32 / 2);
  EXPECT_TRUE(plain->threshold.empty());
  json["fallback"] = {{"hidden", 0}, {"threshold", {0.5, 0, 0.25}}, {"calibrated_rate", 0.05}};
  const auto calibrated = read_model_config(json, "c")->moe->fallback;
  EXPECT_EQ(calibrated->hidden, 0);
  EXPECT_EQ(calibrated->confidence_experts, 4);
  EXPECT_EQ(calibrated->threshold, (std::vector<float>{0.5f, 0.0f, 0.25f}));
  EXPECT_EQ(calibrated->temperature, (std::vector<float>{1, 1, 1}));
}

TEST(ReadModelConfig, MistakesInGateAndFallbackNameTheField) {
  const std::pair<const char*, Json> cases[] = {
      {"gate.type", {{"gate", {{"type", "tree"}}}}},
      {"gate.hidden", {{"gate", {{"type", "mlp"}, {"hidden", 0}}}}},
      {"gate.linear", {{"gate", {{"type", "transformer"}, {"linear", 1}}}}},
      {"gate.layers", {{"gate", {{"type", "hash"}, {"layers", -1}}}}},
      {"gate.score", {{"gate", {{"score", "softmax"}}}, {"scoring_func", "sigmoid"}}},
      {"fallback.hidden", {{"fallback", {{"hidden", -1}}}}},
      {"fallback.threshold", {{"fallback", {{"threshold", {0.5}}}}}},
      {"fallback.threshold", {{"fallback", {{"threshold", {0.5, "x", 0.5}}}}}},
      {"fallback.temperature", {{"fallback", {{"threshold", {1, 1, 1}}, {"temperature", {1, 0, 1}}}}}},
      {"fallback", {{"fallback", Json::object()}, {"n_routed_experts", nullptr}}},
  };
  for (const auto& [field, changes] : cases) {
    Json json = valid_cadre();
    json.update(changes);
    const auto config = read_model_config(json, "c");
    ASSERT_FALSE(config.has_value()) << field;
    EXPECT_NE(config.error().message.find(fmt::format("field '{}'", field)), std::string::npos)
        << config.error().message;
  }
}

TEST(VisitWeights, NamesAreUniqueAndEveryTargetIsDistinct) {
  std::vector<Json> shapes = {valid_v3(), valid_llama()};
  for (const char* gate : {"mlp", "transformer", "hash"}) {
    shapes.push_back(valid_cadre());
    shapes.back()["gate"] = {{"type", gate}};
    shapes.back()["fallback"] = {{"hidden", 8}};
  }
  for (const Json& json : shapes) {
    const ModelConfig config = *read_model_config(json, "c");
    const Family* family = *find_family(config.model_type, "c");
    Transformer model = Transformer::layout(config);
    std::vector<std::string> names;
    std::vector<const void*> targets;
    family->visit_weights(model, [&](const WeightSlot& slot) {
      names.push_back(slot.name);
      targets.push_back(slot.matrix != nullptr ? static_cast<const void*>(slot.matrix) : slot.vector);
    });
    const size_t count = names.size();
    std::sort(names.begin(), names.end());
    std::sort(targets.begin(), targets.end());
    EXPECT_EQ(std::unique(names.begin(), names.end()) - names.begin(), static_cast<int64_t>(count));
    EXPECT_EQ(std::unique(targets.begin(), targets.end()) - targets.begin(), static_cast<int64_t>(count));
  }
}

}  // namespace
}  // namespace cadre
