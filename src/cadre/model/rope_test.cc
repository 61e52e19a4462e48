#include "cadre/model/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "cadre/formats/safetensors.h"

namespace cadre {
namespace {

RopeConfig deepseek_rope(double mscale) {
  RopeConfig config{.dim = 64};
  config.scaling = RopeConfig::Yarn{
      .factor = 40, .original_max_position_embeddings = 4096, .mscale = mscale, .mscale_all_dim = mscale};
  return config;
}

TEST(Rope, YarnFrequenciesHaveTheValuesOfTheSpecification) {
  const std::vector<double> f = rope_frequencies(deepseek_rope(1));
  EXPECT_NEAR(f[0], 1, 1e-12);
  EXPECT_NEAR(f[1], 0.749894209, 1e-9);
  EXPECT_NEAR(f[10], 0.0562341325, 1e-10);
  EXPECT_NEAR(f[12], 0.0268793601, 1e-10);
  EXPECT_NEAR(f[16], 0.0055, 1e-12);
  EXPECT_NEAR(f[22], 0.000177827941, 1e-12);
  EXPECT_NEAR(f[31], 3.33380358e-06, 1e-14);
}

TEST(Rope, SoftmaxFactorIsTheSquareOfMscale) {
  EXPECT_NEAR(yarn_softmax_factor(deepseek_rope(1)) / std::sqrt(192.0), 0.13523378, 1e-8);
  EXPECT_NEAR(yarn_softmax_factor(deepseek_rope(0.707)) / std::sqrt(192.0), 0.11472139, 1e-8);
  EXPECT_EQ(yarn_softmax_factor(RopeConfig{.dim = 64}), 1);
  EXPECT_EQ(rope_magnitude(deepseek_rope(0.707)), 1);
}

TEST(Rope, Llama3LeavesFastPairsAndSlowsSlowOnes) {
  RopeConfig config{.dim = 128, .theta = 500000};
  const std::vector<double> plain = rope_frequencies(config);
  config.scaling = RopeConfig::Llama3{};
  const std::vector<double> scaled = rope_frequencies(config);
  EXPECT_EQ(scaled[0], plain[0]);
  EXPECT_NEAR(scaled[63], plain[63] / 8, 1e-15);
}

/// The published geometries, as transformers computes them (f32) and exactly (f64).
TEST(Rope, TablesMatchTheReferenceAtLongPositions) {
  const char* shared = std::getenv("CADRE_SHARED");
  const std::filesystem::path path =
      std::filesystem::path(shared != nullptr ? shared : CADRE_SOURCE_DIR "/../shared") /
      "golden/rope_real/golden.safetensors";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no golden data at " << path << "; set CADRE_SHARED";
  const SafetensorsFile file = SafetensorsFile::open(path).value();
  const auto read = [&]<typename T>(const std::string& name, T) {
    const StoredTensor tensor = file.tensor(name).value();
    std::vector<T> values(tensor.bytes.size() / sizeof(T));
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
    return values;
  };
  ASSERT_EQ(file.tensor("positions")->dtype, DType::kI64);
  const auto wide = read("positions", int64_t{});
  const std::vector<int32_t> positions(wide.begin(), wide.end());
  for (const auto& [name, mscale] : {std::pair("deepseek_v2_lite", 0.707), std::pair("deepseek_v3", 1.0)}) {
    const RopeConfig config = deepseek_rope(mscale);
    const auto frequencies = rope_frequencies(config);
    std::vector<float> cosine(positions.size() * 32);
    std::vector<float> sine(positions.size() * 32);
    fill_rope_tables(frequencies, rope_magnitude(config), positions, cosine, sine);
    const auto expected_cosine = read(std::string(name) + ".cos.f64", double{});
    const auto expected_sine = read(std::string(name) + ".sin.f64", double{});
    for (size_t i = 0; i < cosine.size(); ++i) {
      EXPECT_NEAR(cosine[i], expected_cosine[i], 2e-7) << name << " " << i;
      EXPECT_NEAR(sine[i], expected_sine[i], 2e-7) << name << " " << i;
    }
  }
}

}  // namespace
}  // namespace cadre
