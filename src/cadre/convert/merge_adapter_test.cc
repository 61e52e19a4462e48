#include "cadre/convert/merge_adapter.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cadre/runtime/lora_testing.h"

namespace cadre {
namespace {

using fixtures::LoraFiles;

TEST(MergeAdapter, MergedIsAppliedWithinRounding) {
  for (const DType type : {DType::kF32, DType::kBF16}) {
    const LoraFiles files(type);
    files.write_usual();
    const auto report =
        merge_adapter(files.model(), files.adapter(), files / "merged", 1, [](int64_t, int64_t) {});
    ASSERT_TRUE(report) << report.error().message;
    const Model merged = Model::load(files / "merged").value();
    EXPECT_EQ(merged.size().bytes, Model::load(files.model())->size().bytes);
    EXPECT_TRUE(std::filesystem::exists(files / "merged" / "tokenizer.json") ==
                std::filesystem::exists(files.model() / "tokenizer.json"));
    const std::vector<float> plain = LoraFiles::logits(Model::load(files.model()).value());
    const std::vector<float> a =
        LoraFiles::logits(Model::load(files.model(), {.lora = files.adapter()}).value());
    const std::vector<float> b = LoraFiles::logits(merged);
    if (type == DType::kF32) {
      EXPECT_EQ(a, b);  // nothing is rounded
    }
    double largest = 0, change = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      largest = std::max(largest, std::abs(double{a[i]} - double{b[i]}));
      change = std::max(change, std::abs(double{a[i]} - double{plain[i]}));
    }
    EXPECT_GT(change, 0.01);
    EXPECT_LT(largest, 0.1 * change);
  }
}

TEST(MergeAdapter, QuantisedModelsAndOccupiedFoldersAreRefused) {
  const LoraFiles files(DType::kPackedQ8);
  std::vector<LoraFiles::Matrix> matrices =
      LoraFiles::factors("model.layers.1.mlp.experts.2.gate_proj", 24, 32);
  files.write(lora_config_json({.rank = 2, .alpha = 3, .targets = {"gate_proj"}}, "model"), matrices);
  const auto packed =
      merge_adapter(files.model(), files.adapter(), files / "merged", 1, [](int64_t, int64_t) {});
  ASSERT_FALSE(packed);
  EXPECT_NE(packed.error().message.find("then quantize"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(files / "merged"));
  EXPECT_FALSE(merge_adapter(files.model(), files.adapter(), files.model(), 1, [](int64_t, int64_t) {}));
}

}  // namespace
}  // namespace cadre
