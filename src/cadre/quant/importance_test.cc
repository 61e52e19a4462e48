#include "cadre/quant/importance.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "cadre/base/fixtures.h"
#include "cadre/quant/test_calibration.h"
#include "cadre/runtime/engine.h"

namespace cadre {
namespace {

const SiteImportance& site(const ImportanceData& data, std::string_view name) {
  return *std::ranges::find(data.sites, name, &SiteImportance::name);
}

/// Sums the squares of what the trace calls `final_norm`.
class FinalNorm : public TraceSink {
 public:
  void record(std::string_view name, int, const Tensor& value) override {
    if (name != "final_norm") return;
    squares.resize(static_cast<size_t>(value.width));
    for (int64_t t = 0; t < value.rows; ++t)
      for (int64_t c = 0; c < value.width; ++c)
        squares[static_cast<size_t>(c)] += static_cast<double>(value.row(t)[c]) * value.row(t)[c];
  }
  void record_routing(int, std::span<const int32_t>, std::span<const int32_t>,
                      std::span<const float>) override {}
  std::vector<double> squares;
};

TEST(CollectImportance, LayerByLayerIsTheForwardPassOfTheEngine) {
  const Model model = calibration_model();
  const CalibrationText text = random_text(100, 40);
  const auto data = collect_importance(model, text, {.threads = 1}, fixtures::kNoProgress);
  ASSERT_TRUE(data) << data.error().message;
  auto engine = Engine::create(model, {.cpu = {.threads = 1},
                                       .kv_type = DType::kF32,
                                       .context_tokens = 64,
                                       .max_step_rows = 40,
                                       .max_logit_rows = 40,
                                       .compute = Compute::kF32});
  ASSERT_TRUE(engine);
  FinalNorm trace;
  engine->set_trace(&trace);
  for (int64_t w = 0; w < text.windows(); ++w) {
    const SequenceId sequence = engine->open_sequence();
    const StepItem item{.sequence = sequence, .tokens = text.window_tokens(w), .logits = LogitsFor::kAll};
    ASSERT_TRUE(engine->step(std::span(&item, 1)));
    engine->close_sequence(sequence);
  }
  const SiteImportance& head = site(*data, "head");
  ASSERT_EQ(head.inputs, std::vector<int64_t>{100});
  for (size_t c = 0; c < trace.squares.size(); ++c)
    EXPECT_EQ(head.mean_squares[c], static_cast<float>(trace.squares[c] / 100));
}

TEST(CollectImportance, EachTokenIsAnInputOfItsExpertsOnly) {
  const auto data =
      collect_importance(calibration_model(), random_text(100, 40), {.threads = 1}, fixtures::kNoProgress);
  ASSERT_TRUE(data) << data.error().message;
  const SiteImportance& all = site(*data, "layers.1.ffn.in");
  const SiteImportance& experts = site(*data, "layers.1.experts.in");
  EXPECT_EQ(all.inputs, std::vector<int64_t>{100});
  EXPECT_EQ(std::accumulate(experts.inputs.begin(), experts.inputs.end(), int64_t{0}), 200);
  EXPECT_EQ(site(*data, "layers.1.experts.down").inputs, experts.inputs);
  for (int64_t c = 0; c < all.cols; ++c) {
    double sum = 0;
    for (int64_t e = 0; e < experts.parts; ++e)
      sum += static_cast<double>(experts.inputs[static_cast<size_t>(e)]) *
             experts.mean_squares[static_cast<size_t>(e * experts.cols + c)];
    EXPECT_NEAR(sum / 200, all.mean_squares[static_cast<size_t>(c)], 1e-5 * sum);
  }
  for (const SiteImportance& s : data->sites)
    if (s.name.ends_with("_b")) {
      EXPECT_EQ(s.inputs, std::vector<int64_t>(3, 100)) << s.name;
      EXPECT_GT(std::ranges::min(s.mean_squares), 0) << s.name;
    }
}

TEST(CollectImportance, ThreadsChangeNoBit) {
  const Model model = calibration_model();
  const CalibrationText text = random_text(100, 40);
  const auto one = collect_importance(model, text, {.threads = 1}, fixtures::kNoProgress);
  const auto three = collect_importance(model, text, {.threads = 3}, fixtures::kNoProgress);
  ASSERT_TRUE(one && three);
  for (size_t s = 0; s < one->sites.size(); ++s)
    EXPECT_EQ(one->sites[s].mean_squares, three->sites[s].mean_squares) << one->sites[s].name;
}

class BindImportance : public testing::Test {
 protected:
  const Model model_ = calibration_model();
  ImportanceData data_ =
      collect_importance(model_, random_text(100, 40), {.threads = 1}, fixtures::kNoProgress).value();
  const ModelConfig config_ = split_kv_b(model_.config());

  SiteImportance& named(std::string_view name) {
    return *std::ranges::find(data_.sites, name, &SiteImportance::name);
  }
  Result<Importance> bind() const {
    return Importance::bind(data_, **find_family(config_.model_type, "test"), config_, "test.imatrix");
  }
};

TEST_F(BindImportance, RareExpertsBorrowFromTheirLayer) {
  SiteImportance& in = named("layers.1.experts.in");
  std::ranges::fill(in.inputs, 0);
  in.inputs[0] = 64;
  in.inputs[1] = 3 * 64;
  for (int64_t c = 0; c < in.cols; ++c) {
    in.mean_squares[static_cast<size_t>(c)] = 5;
    in.mean_squares[static_cast<size_t>(in.cols + c)] = 1;
  }
  const auto importance = bind();
  ASSERT_TRUE(importance) << importance.error().message;
  const auto factor = [&](int expert) {
    const auto row =
        importance->of_row(fmt::format("model.layers.1.mlp.experts.{}.up_proj.weight", expert), 9, 32);
    EXPECT_EQ(row.size(), 64U);
    return row[5] / (1 + Importance::kFloor);
  };
  const double mean = (64 * 5 + 192 * 1) / 256.0;
  EXPECT_NEAR(factor(0), (5 + mean) / 2, 1e-5);
  EXPECT_NEAR(factor(1), (3 * 1 + mean) / 4, 1e-5);
  EXPECT_NEAR(factor(2), mean, 1e-5);
  ASSERT_EQ(importance->notes().size(), 1U);
  EXPECT_NE(importance->notes()[0].find("4 of 6 experts"), std::string::npos) << importance->notes()[0];
}

TEST_F(BindImportance, RowsOfHeadsHaveTheirOwn) {
  const auto importance = bind();
  ASSERT_TRUE(importance) << importance.error().message;
  const SiteImportance& k_b = named("layers.0.attention.k_b");
  for (const int64_t row : {0, 31, 32, 95}) {  // kv_lora_rank rows to a head
    const auto factors = importance->of_row("model.layers.0.self_attn.k_b_proj.weight", row, 96);
    ASSERT_EQ(factors.size(), 32U);
    const auto* expected = k_b.mean_squares.data() + row / 32 * 32;
    const double mean = std::accumulate(expected, expected + 32, 0.0) / 32;
    EXPECT_NEAR(factors[7], expected[7] + Importance::kFloor * mean, 1e-5 * mean);
  }
  EXPECT_TRUE(importance->of_row("model.embed_tokens.weight", 0, 300).empty());
}

TEST_F(BindImportance, AnotherModelsIsRefusedByName) {
  {
    SiteImportance& o = named("layers.1.attention.o");
    o.cols = 36;
    o.parts = 2;
    const auto bound = bind();
    ASSERT_FALSE(bound);
    for (const char* part : {"test.imatrix", "layers.1.attention.o", "[1, 72]", "[2, 36]"})
      EXPECT_NE(bound.error().message.find(part), std::string::npos) << bound.error().message;
    o.name = "layers.7.attention.o";
    const auto missing = bind();
    ASSERT_FALSE(missing);
    EXPECT_NE(missing.error().message.find("'layers.1.attention.o.mean_squares'"), std::string::npos);
    o = {.name = "layers.1.attention.o",
         .parts = 1,
         .cols = 72,
         .mean_squares = std::vector<float>(72),
         .inputs = {1}};
  }
  ASSERT_TRUE(bind());
  data_.sites.push_back({.name = "layers.9.ffn.in", .parts = 1, .cols = 64});
  const auto surplus = bind();
  ASSERT_FALSE(surplus);
  EXPECT_NE(surplus.error().message.find("layers.9.ffn.in"), std::string::npos) << surplus.error().message;
}

TEST_F(BindImportance, IdentityFollowsTheValues) {
  const std::string before = bind()->identity();
  EXPECT_EQ(bind()->identity(), before);
  named("head").mean_squares[3] *= 2;
  EXPECT_NE(bind()->identity(), before);
}

}  // namespace
}  // namespace cadre
