#include "cadre/quant/hessian.h"

#include <gtest/gtest.h>

#include "cadre/base/fixtures.h"
#include "cadre/quant/importance.h"
#include "cadre/quant/test_calibration.h"

namespace cadre {
namespace {

TEST(HessianRanges, CoverTheColumnsInWholeGroups) {
  EXPECT_EQ(hessian_ranges(32).size(), 1U);
  EXPECT_EQ(hessian_ranges(kMaxHessianColumns).size(), 1U);
  for (const int64_t cols : {kMaxHessianColumns + 32, int64_t{18432}, int64_t{20000 / 32 * 32}}) {
    int64_t next = 0;
    for (const ColumnRange& range : hessian_ranges(cols)) {
      EXPECT_EQ(range.begin, next);
      EXPECT_EQ(range.count % 32, 0);
      EXPECT_LE(range.count, kMaxHessianColumns);
      EXPECT_GE(range.count, cols / 4);
      next += range.count;
    }
    EXPECT_EQ(next, cols);
  }
}

class Hessians : public testing::Test {
 protected:
  void SetUp() override {
    auto pass = CalibrationPass::create(model_, text_, {.threads = 1});
    ASSERT_TRUE(pass) << pass.error().message;
    for (size_t layer = 0; layer < 2; ++layer) {
      layers_.emplace_back(layer_input_sites(model_.transformer(), layer), 100, pass->backend());
      ASSERT_TRUE(pass->run_layer(&layers_.back()));
    }
    pass_.emplace(std::move(*pass));
  }
  void TearDown() override { layers_.clear(); }

  const Model model_ = calibration_model();
  const CalibrationText text_ = random_text(100, 40);
  std::optional<CalibrationPass> pass_;
  std::vector<LayerHessians> layers_;
};

/// Two ways to collect, one result: the diagonal are the mean squares, mixed with what is borrowed.
TEST_F(Hessians, HaveTheMeanSquaresOnTheirDiagonal) {
  const auto data = collect_importance(model_, text_, {.threads = 1}, fixtures::kNoProgress);
  ASSERT_TRUE(data);
  const auto of = [&](const std::string& name) {
    return *std::ranges::find(data->sites, name, &SiteImportance::name);
  };
  int compared = 0;
  for (const LayerHessians& layer : layers_)
    for (size_t s = 0; s < layer.sites().size(); ++s) {
      const InputSite& site = layer.sites()[s];
      if (site.cols % 32 != 0) continue;
      const SiteImportance expected = of(site.name);
      double all = 0;  // of every column and input
      double inputs = 0;
      for (size_t i = 0; i < expected.mean_squares.size(); ++i)
        all += expected.mean_squares[i] *
               static_cast<double>(expected.inputs[i / static_cast<size_t>(site.cols)]) /
               static_cast<double>(site.cols);
      for (const int64_t count : expected.inputs) inputs += static_cast<double>(count);
      for (int64_t part = 0; part < site.parts; ++part) {
        EXPECT_EQ(layer.inputs(s, part), expected.inputs[static_cast<size_t>(part)]) << site.name;
        const std::vector<float> h = layer.hessian(s, part, {0, site.cols});
        const auto n = static_cast<double>(layer.inputs(s, part));
        const double k = site.kind == InputParts::kExperts ? LayerHessians::kPriorInputs : 0;
        for (int64_t c = 0; c < site.cols; ++c) {
          double prior = all / inputs;
          if (site.shared_columns) prior = of("layers.1.ffn.in").mean_squares[static_cast<size_t>(c)];
          const double own = expected.mean_squares[static_cast<size_t>(part * site.cols + c)];
          const double value = (n * own + k * prior) / (n + k);
          ASSERT_NEAR(h[static_cast<size_t>(c * site.cols + c)], value, 1e-4 * value)
              << site.name << ' ' << c;
          ++compared;
        }
      }
    }
  EXPECT_GT(compared, 500);
}

}  // namespace
}  // namespace cadre
