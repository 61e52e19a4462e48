#include "cadre/quant/plan.h"

#include <gtest/gtest.h>

#include <map>

#include "cadre/model/shapes.h"
#include "cadre/tensor/packed.h"

namespace cadre {
namespace {

struct Shaped {
  ModelConfig config;
  const Family* family;
};

Shaped shape(const char* name) {
  const Json json = *named_shape(name);
  ModelConfig config = split_kv_b(*read_model_config(json, name));
  return {config, *find_family(config.model_type, name)};
}

Result<QuantPlan> plan_of(const char* name, const QuantPlanOptions& options) {
  const Shaped model = shape(name);
  return plan_quantisation(*model.family, model.config, options);
}

std::map<std::string, DType> types(const QuantPlan& plan) {
  std::map<std::string, DType> types;
  for (const PlannedWeight& weight : plan.weights) types[weight.short_name] = weight.type;
  return types;
}

TEST(QuantPlan, GlobsMatchAnythingWhereAStarStands) {
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_TRUE(glob_matches("layers.*.experts.*.down", "layers.3.experts.17.down"));
  EXPECT_FALSE(glob_matches("layers.*.experts.*.down", "layers.3.experts.17.up"));
  EXPECT_TRUE(glob_matches("*down", "a.down.down"));
  EXPECT_TRUE(glob_matches("a**b", "ab"));
  EXPECT_FALSE(glob_matches("a*b", "abc"));
  EXPECT_FALSE(glob_matches("head", "heads"));
  EXPECT_FALSE(glob_matches("heads", "head"));
  EXPECT_FALSE(glob_matches("", "x"));
}

TEST(QuantPlan, ShortNames) {
  for (const auto& [name, expected] : std::map<std::string, std::string>{
           {"model.embed_tokens.weight", "embedding"},
           {"lm_head.weight", "head"},
           {"model.norm.weight", "norm"},
           {"model.layers.3.mlp.gate.weight", "layers.3.router"},
           {"model.layers.3.mlp.experts.17.gate_proj.weight", "layers.3.experts.17.gate"},
           {"model.layers.3.mlp.shared_experts.down_proj.weight", "layers.3.shared.down"},
           {"model.layers.0.mlp.gate_proj.weight", "layers.0.ffn.gate"},
           {"model.layers.3.self_attn.kv_a_proj_with_mqa.weight", "layers.3.attention.kv_a"},
           {"model.layers.3.self_attn.o_proj.weight", "layers.3.attention.o"}})
    EXPECT_EQ(short_weight_name(name), expected);
}

TEST(QuantPlan, TheDefaultPresetKeepsWhatEveryTokenUsesAtMoreBits) {
  const auto plan = plan_of("deepseek-v2-lite", {});
  ASSERT_TRUE(plan) << plan.error().message;
  auto type = types(*plan);
  EXPECT_EQ(type["embedding"], DType::kPackedQ6);
  EXPECT_EQ(type["head"], DType::kPackedQ6);
  EXPECT_EQ(type["norm"], DType::kF32);
  EXPECT_EQ(type["layers.0.ffn.up"], DType::kPackedQ8);
  EXPECT_EQ(type["layers.1.router"], DType::kF32);
  EXPECT_EQ(type["layers.1.experts.63.down"], DType::kPackedQ4);
  EXPECT_EQ(type["layers.1.shared.gate"], DType::kPackedQ8);
  EXPECT_EQ(type["layers.1.attention.k_b"], DType::kPackedQ8);
  EXPECT_EQ(type.count("layers.1.attention.kv_b"), 0u);
  EXPECT_NEAR(plan->bits_per_weight(), 4.8, 0.1);
}

TEST(QuantPlan, TheSmallestPresetSparesTheFirstLayers) {
  const auto plan = plan_of("deepseek-v2-lite", {.preset = DType::kPackedQ2});
  ASSERT_TRUE(plan);
  auto type = types(*plan);
  EXPECT_EQ(type["layers.1.experts.0.gate"], DType::kPackedQ2);
  EXPECT_EQ(type["layers.1.experts.0.down"], DType::kPackedQ4);
  EXPECT_EQ(type["layers.2.experts.0.down"], DType::kPackedQ4);
  EXPECT_EQ(type["layers.3.experts.0.down"], DType::kPackedQ3);
}

TEST(QuantPlan, PureLeavesOnlyTheRouter) {
  for (int i = 0; i < kPackedTypeCount; ++i) {
    const auto plan = plan_of("deepseek-v3", {.preset = packed_type(i), .pure = true});
    ASSERT_TRUE(plan);
    for (const PlannedWeight& weight : plan->weights) {
      const bool kept = !weight.is_matrix() || weight.role == WeightRole::kRouter;
      EXPECT_EQ(weight.type, kept ? DType::kF32 : packed_type(i)) << weight.name;
    }
    const double bits =
        packed_codes(packed_type(i)).bits + (i == packed_index(DType::kPackedMXFP4) ? 0.25 : 0.5);
    EXPECT_NEAR(plan->bits_per_weight() / bits, 1, 0.01);
  }
}

TEST(QuantPlan, TheFirstRuleThatMatchesDecides) {
  const auto plan = plan_of("deepseek-v2-lite", {.rules = {{"layers.3.experts.*.down", DType::kPackedQ8},
                                                           {"*.experts.*", DType::kPackedQ3},
                                                           {"lm_head.weight", DType::kBF16},
                                                           {"*router", DType::kPackedQ8}}});
  ASSERT_TRUE(plan) << plan.error().message;
  auto type = types(*plan);
  EXPECT_EQ(type["layers.3.experts.5.down"], DType::kPackedQ8);
  EXPECT_EQ(type["layers.3.experts.5.up"], DType::kPackedQ3);
  EXPECT_EQ(type["layers.4.experts.5.down"], DType::kPackedQ3);
  EXPECT_EQ(type["head"], DType::kBF16);
  EXPECT_EQ(type["layers.3.router"], DType::kPackedQ8);
}

TEST(QuantPlan, ARuleThatDecidesNothingIsAnError) {
  // One that matches nothing, one that matches what is no matrix, one behind another that takes everything.
  for (const std::vector<QuantRule>& rules :
       {std::vector<QuantRule>{{"layers.99.*", DType::kPackedQ8}},
        std::vector<QuantRule>{{"norm", DType::kPackedQ8}},
        std::vector<QuantRule>{{"*", DType::kPackedQ8}, {"layers.99.attention.o", DType::kPackedQ6}}}) {
    const auto plan = plan_of("deepseek-v2-lite", {.rules = rules});
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().kind, ErrorKind::kUsage);
    EXPECT_NE(plan.error().message.find(rules.back().pattern), std::string::npos) << plan.error().message;
  }
}

TEST(QuantPlan, RulesAreParsed) {
  const auto rule = parse_quant_rule("layers.*=mxfp4");
  ASSERT_TRUE(rule);
  EXPECT_EQ(rule->pattern, "layers.*");
  EXPECT_EQ(rule->type, DType::kPackedMXFP4);
  for (const char* text : {"", "head", "=q4", "head=", "head=Q4_K", "head=q5", "head=i8"}) {
    const auto bad = parse_quant_rule(text);
    ASSERT_FALSE(bad) << text;
    EXPECT_EQ(bad.error().kind, ErrorKind::kUsage);
  }
  EXPECT_NE(parse_quant_rule("head=q5").error().message.find("mxfp4"), std::string::npos);
}

TEST(QuantPlan, RowsThat32DoesNotDivideFallBack) {
  Json json = *named_shape("cadre-s");
  json["qk_nope_head_dim"] = 24;
  const ModelConfig config = split_kv_b(*read_model_config(json, "test"));
  const auto plan = plan_quantisation(**find_family(config.model_type, "test"), config, {});
  ASSERT_TRUE(plan);
  int64_t fallen = 0;
  for (const PlannedWeight& weight : plan->weights) {
    if (weight.wanted == weight.type) continue;
    EXPECT_TRUE(weight.short_name.ends_with("k_b")) << weight.short_name;
    EXPECT_EQ(weight.type, DType::kBF16);
    EXPECT_EQ(weight.wanted, DType::kPackedQ8);
    ++fallen;
  }
  EXPECT_EQ(fallen, config.num_hidden_layers);
}

}  // namespace
}  // namespace cadre
