#include "cadre/runtime/lora.h"

#include <cmath>

#include "cadre/runtime/lora_testing.h"

namespace cadre {
namespace {

using fixtures::LoraFiles;

TEST(Lora, TargetsNameModulesAsPeftDoes) {
  const LoraConfig config{.rank = 1, .alpha = 1, .targets = {"q_proj", "layers.1.mlp.up_proj"}};
  EXPECT_TRUE(is_target(config, "model.layers.0.self_attn.q_proj"));
  EXPECT_FALSE(is_target(config, "model.layers.0.self_attn.xq_proj"));
  EXPECT_TRUE(is_target(config, "model.layers.1.mlp.up_proj"));
  EXPECT_FALSE(is_target(config, "model.layers.11.mlp.up_proj"));
  EXPECT_EQ(module_name("model.layers.0.self_attn.q_proj.weight"), "model.layers.0.self_attn.q_proj");
}

TEST(Lora, OfZerosIsTheIdentityBitForBit) {
  for (const DType type : {DType::kF32, DType::kBF16}) {
    const LoraFiles files(type);
    files.write_usual(/*b=*/0);
    const Model adapted = Model::load(files.model(), {.lora = files.adapter()}).value();
    EXPECT_EQ(LoraFiles::logits(adapted), LoraFiles::logits(Model::load(files.model()).value()))
        << name(type);
  }
}

TEST(Lora, AddsTheScaledProductToTheMatricesItNamesAndToNoOther) {
  const LoraFiles files(DType::kBF16);
  files.write_usual();
  const Model base = Model::load(files.model()).value();
  const Model adapted = Model::load(files.model(), {.lora = files.adapter()}).value();
  const LoraAdapter adapter = LoraAdapter::open(files.adapter()).value();
  EXPECT_EQ(adapter.modules().size(), 2u);
  const auto factors = adapter.factors("model.layers.0.self_attn.kv_b_proj", 32, 16).value();
  const Weight& w = std::get<Mla>(base.transformer().blocks[0].attention).kv_b_proj;
  const Weight& changed = std::get<Mla>(adapted.transformer().blocks[0].attention).kv_b_proj;
  std::vector<float> before(16), after(16);
  for (int64_t r = 0; r < 32; ++r) {
    decode_weight_row(w, r, before.data());
    decode_weight_row(changed, r, after.data());
    for (size_t i = 0; i < 16; ++i) {
      double product = 0;
      for (size_t k = 0; k < 2; ++k)
        product += double{factors->b[static_cast<size_t>(r) * 2 + k]} * double{factors->a[k * 16 + i]};
      EXPECT_NEAR(double{after[i]}, double{before[i]} + 1.5 * product, 1e-6);
    }
  }
  EXPECT_EQ(std::get<Mla>(adapted.transformer().blocks[1].attention).kv_b_proj.dtype, DType::kBF16);
}

std::string refusal(const LoraFiles& files) {
  const auto model = Model::load(files.model(), {.lora = files.adapter()});
  return model ? "" : model.error().message;
}

TEST(Lora, WhatDoesNotFitTheModelIsNamed) {
  const LoraFiles files(DType::kF32);
  const Json config = lora_config_json({.rank = 2, .alpha = 3, .targets = {"kv_b_proj"}}, "model");
  EXPECT_NE(refusal(files).find(kLoraConfigFile), std::string::npos);  // nothing there
  files.write(config, LoraFiles::factors("model.layers.7.self_attn.kv_b_proj", 32, 16));
  EXPECT_NE(refusal(files).find("'model.layers.7.self_attn.kv_b_proj'"), std::string::npos);
  files.write(config, LoraFiles::factors("model.layers.1.mlp.gate", 3, 32));
  EXPECT_NE(refusal(files).find("'model.layers.1.mlp.gate'"), std::string::npos);
  files.write(config, LoraFiles::factors("model.layers.0.self_attn.kv_b_proj", 32, 17));
  EXPECT_NE(refusal(files).find("[2, 16] expected"), std::string::npos) << refusal(files);
  files.write(config, {LoraFiles::factors("model.layers.0.self_attn.kv_b_proj", 32, 16)[0]});
  EXPECT_NE(refusal(files).find("lora_B"), std::string::npos) << refusal(files);
  files.write(config, {{"q_proj.lora_A.weight", {2, 16}}});
  EXPECT_NE(refusal(files).find("base_model.model."), std::string::npos);
  Json other = config;
  other["r"] = 3;
  files.write(other, LoraFiles::factors("model.layers.0.self_attn.kv_b_proj", 32, 16));
  EXPECT_NE(refusal(files).find("rank 3"), std::string::npos);
}

TEST(Lora, ConfigurationsOfOtherAdaptersAreRefusedByField) {
  const Json good = lora_config_json({.rank = 2, .alpha = 3, .targets = {"kv_b_proj"}}, "model");
  EXPECT_EQ(parse_lora_config(good, "c")->scale(), 1.5f);
  const std::pair<const char*, Json> cases[] = {
      {"peft_type", "IA3"},
      {"r", 0},
      {"r", "8"},
      {"lora_alpha", "x"},
      {"bias", "all"},
      {"use_dora", true},
      {"use_rslora", true},
      {"fan_in_fan_out", true},
      {"rank_pattern", {{"q_proj", 4}}},
      {"modules_to_save", {"lm_head"}},
      {"target_modules", {1, 2}},
  };
  for (const auto& [field, value] : cases) {
    Json json = good;
    json[field] = value;
    const auto config = parse_lora_config(json, "c");
    ASSERT_FALSE(config) << field;
    EXPECT_NE(config.error().message.find(fmt::format("field '{}'", field)), std::string::npos)
        << config.error().message;
  }
  EXPECT_FALSE(parse_lora_config(Json::array(), "c"));
}

}  // namespace
}  // namespace cadre
