#include "cadre/model/shapes.h"

#include <gtest/gtest.h>

namespace cadre {
namespace {

TEST(Shapes, EveryNameAnswersAnObjectWithAModelType) {
  ASSERT_FALSE(shape_names().empty());
  for (const std::string_view name : shape_names()) {
    const auto config = named_shape(name);
    ASSERT_TRUE(config) << name << ": " << config.error().message;
    EXPECT_TRUE(config->contains("model_type")) << name;
  }
}

TEST(Shapes, AFamilyThatDoesNotRunIsNamed) {
  for (const std::string_view name : {"deepseek-v4-flash", "deepseek-v4-pro"}) {
    const auto config = named_shape(name);
    ASSERT_FALSE(config);
    EXPECT_EQ(config.error().kind, ErrorKind::kUsage);
    EXPECT_NE(config.error().message.find("deepseek_v4"), std::string::npos) << config.error().message;
  }
}

TEST(Shapes, AnUnknownNameListsTheKnownOnes) {
  const auto config = find_shape("deepseek-v99");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().kind, ErrorKind::kUsage);
  EXPECT_NE(config.error().message.find("deepseek-v2-lite"), std::string::npos) << config.error().message;
}

TEST(Shapes, APathThatDoesNotExistIsAnErrorAboutTheFile) {
  const auto config = find_shape("/nowhere/config.json");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().kind, ErrorKind::kNotFound);
}

TEST(Shapes, CuttingKeepsDenseLayersWithinTheModel) {
  Json config = *named_shape("deepseek-v3");
  ASSERT_TRUE(cut_layers(config, 2));
  EXPECT_EQ(config["num_hidden_layers"], 2);
  EXPECT_EQ(config["first_k_dense_replace"], 2);

  config = *named_shape("deepseek-v3");
  ASSERT_TRUE(cut_layers(config, 4));
  EXPECT_EQ(config["num_hidden_layers"], 4);
  EXPECT_EQ(config["first_k_dense_replace"], 3);
}

TEST(Shapes, CuttingOutsideTheModelIsAnError) {
  Json config = *named_shape("deepseek-v3");
  for (const int64_t layers : {int64_t{0}, int64_t{-1}, int64_t{62}}) {
    const Status status = cut_layers(config, layers);
    ASSERT_FALSE(status) << layers;
    EXPECT_EQ(status.error().kind, ErrorKind::kUsage);
  }
  EXPECT_EQ(config["num_hidden_layers"], 61);
}

}  // namespace
}  // namespace cadre
