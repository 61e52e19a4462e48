#include "cadre/quant/input_sites.h"

#include <gtest/gtest.h>

#include "cadre/model/shapes.h"
#include "cadre/quant/plan.h"

namespace cadre {
namespace {

struct Named {
  std::vector<InputSite> sites;
  std::map<std::string, WeightInput, std::less<>> inputs;
  std::map<std::string, Shape> matrices;

  explicit Named(const Json& json) {
    const ModelConfig config = split_kv_b(*read_model_config(json, "test"));
    const Family& family = **find_family(config.model_type, "test");
    Transformer layout = Transformer::layout(config);
    sites = input_sites(layout);
    inputs = weight_inputs(family, config);
    family.visit_weights(layout, [&](const WeightSlot& slot) {
      if (slot.matrix != nullptr) matrices[slot.name] = slot.shape;
    });
  }
  const InputSite& site_of(const std::string& weight) const { return sites[inputs.at(weight).site]; }
};

TEST(InputSites, EveryMatrixButTheEmbeddingHasOneOfItsWidth) {
  for (const char* shape : {"cadre-s", "deepseek-v2-lite", "deepseek-v3"}) {
    const Named model(*named_shape(shape));
    for (const auto& [name, matrix] : model.matrices) {
      if (name == "model.embed_tokens.weight" && model.matrices.contains("lm_head.weight")) {
        EXPECT_FALSE(model.inputs.contains(name));
        continue;
      }
      ASSERT_TRUE(model.inputs.contains(name)) << shape << ' ' << name;
      EXPECT_EQ(model.site_of(name).cols, matrix[1]) << shape << ' ' << name;
      const WeightInput& input = model.inputs.at(name);
      EXPECT_LE(input.first_part + input.parts, model.site_of(name).parts) << name;
      EXPECT_EQ(matrix[0] % input.parts, 0) << name;
    }
  }
}

TEST(InputSites, WeightsOfOneInputShareIt) {
  const Named model(*named_shape("deepseek-v2-lite"));
  const std::string layer = "model.layers.3.";
  EXPECT_EQ(model.site_of(layer + "self_attn.q_proj.weight").name, "layers.3.attention.in");
  EXPECT_EQ(model.site_of(layer + "self_attn.kv_a_proj_with_mqa.weight").name, "layers.3.attention.in");
  EXPECT_EQ(model.site_of(layer + "mlp.gate.weight").name, "layers.3.ffn.in");
  EXPECT_EQ(model.site_of(layer + "mlp.shared_experts.up_proj.weight").name, "layers.3.ffn.in");
  for (const char* matrix : {"gate", "up"}) {
    const std::string name = layer + "mlp.experts.17." + matrix + "_proj.weight";
    EXPECT_EQ(model.site_of(name).name, "layers.3.experts.in");
    EXPECT_EQ(model.inputs.at(name).first_part, 17);
    EXPECT_EQ(model.inputs.at(name).parts, 1);
  }
  EXPECT_EQ(model.site_of(layer + "mlp.experts.5.down_proj.weight").name, "layers.3.experts.down");
  EXPECT_EQ(model.inputs.at(layer + "mlp.experts.5.down_proj.weight").first_part, 5);
  EXPECT_EQ(model.inputs.at(layer + "self_attn.k_b_proj.weight").parts, 16);
}

TEST(InputSites, ATiedEmbeddingIsTheHead) {
  Json config = *named_shape("cadre-s");
  config["tie_word_embeddings"] = true;
  EXPECT_EQ(Named(config).site_of("model.embed_tokens.weight").name, "head");
}

}  // namespace
}  // namespace cadre
