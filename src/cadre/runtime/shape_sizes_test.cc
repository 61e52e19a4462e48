// The published parameter counts, from the shapes alone: each field of a shape and each weight of its family
// is in the sum.
#include <gtest/gtest.h>

#include "cadre/model/shapes.h"
#include "cadre/runtime/model.h"

namespace cadre {
namespace {

ModelSize size_of(const char* shape) {
  const auto config = read_model_config(*named_shape(shape), shape);
  EXPECT_TRUE(config) << config.error().message;
  return model_size(**find_family(config->model_type, shape), *config);
}

double share(const ModelSize& size) {
  return static_cast<double>(size.active_parameters) / static_cast<double>(size.parameters);
}

TEST(ShapeSizes, DeepseekV2Lite) {
  const ModelSize size = size_of("deepseek-v2-lite");
  EXPECT_NEAR(static_cast<double>(size.parameters), 15.706e9, 1e6);
  EXPECT_GT(size.active_parameters, 2'400'000'000);
  EXPECT_LT(size.active_parameters, 2'700'000'000);
}

/// MLA in int8: 512 codes, 8 scales of 4 bytes, 64 rotary channels of 2.
TEST(ShapeSizes, CacheBytesOfAToken) {
  const auto layout = [](const char* shape) {
    return Transformer::layout(read_model_config(*named_shape(shape), shape).value());
  };
  const Transformer lite = layout("deepseek-v2-lite");
  EXPECT_EQ(kv_bytes_per_token(lite, DType::kF32), 27 * 576 * 4);
  EXPECT_EQ(kv_bytes_per_token(lite, DType::kBF16), 27 * 576 * 2);
  EXPECT_EQ(kv_bytes_per_token(lite, DType::kI8), 27 * (512 + 8 * 4 + 64 * 2));
  EXPECT_EQ(kv_bytes_per_token(layout("llama-3-8b"), DType::kI8), 32 * 2 * 8 * (128 + 2 * 4));
}

TEST(ShapeSizes, DeepseekV2) {
  const ModelSize size = size_of("deepseek-v2");
  EXPECT_NEAR(static_cast<double>(size.parameters), 236e9, 0.5e9);
  EXPECT_NEAR(static_cast<double>(size.active_parameters), 21e9, 0.5e9);
}

TEST(ShapeSizes, DeepseekV3) {
  const ModelSize size = size_of("deepseek-v3");
  EXPECT_NEAR(static_cast<double>(size.parameters), 671e9, 0.5e9);
  EXPECT_NEAR(static_cast<double>(size.active_parameters), 37e9, 0.5e9);
}

TEST(ShapeSizes, Llama3) {
  EXPECT_NEAR(static_cast<double>(size_of("llama-3-8b").parameters), 8.03e9, 0.005e9);
}

TEST(ShapeSizes, CadreOwn) {
  EXPECT_NEAR(static_cast<double>(size_of("cadre-s").parameters), 10.9e6, 0.05e6);
  EXPECT_NEAR(static_cast<double>(size_of("cadre-m").parameters), 58.7e6, 0.05e6);
}

TEST(ShapeSizes, Cadre280B) {
  const ModelSize size = size_of("cadre-280b");
  EXPECT_NEAR(static_cast<double>(size.parameters), 280e9, 0.05 * 280e9);
  EXPECT_GT(share(size), 0.20);
  EXPECT_LT(share(size), 0.27);
}

}  // namespace
}  // namespace cadre
