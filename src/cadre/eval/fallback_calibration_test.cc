#include "cadre/eval/fallback_calibration.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "cadre/base/file.h"
#include "cadre/base/fixtures.h"
#include "cadre/base/random.h"
#include "cadre/runtime/random_model.h"

namespace cadre {
namespace {

TEST(FitTemperature, MakesTheMeanMassWhatIsAsked) {
  std::vector<float> logits(500 * 8);
  const RandomStream random(1, 1);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(0.1 * random.normal(i));
  const double temperature = fit_temperature(logits, 8, 2, 0.7);
  EXPECT_GT(temperature, 0.001);
  EXPECT_LT(temperature, 0.1);
  double mean = 0;
  for (size_t t = 0; t < 500; ++t)
    mean += router_confidence(std::span(logits).subspan(8 * t, 8), 2, temperature).mass / 500;
  EXPECT_NEAR(mean, 0.7, 1e-6);
}

TEST(ShareOut, PartsGoWhereTheyCostLeast) {
  const auto shares_at = [](double rate, std::array<double, 3> price) {
    return share_out(3, rate,
                     [&](std::span<const double> shares) -> Result<double> {
                       double cost = 0;
                       for (size_t i = 0; i < 3; ++i) cost += price[i] * shares[i];
                       return cost;
                     })
        .value();
  };
  // Two parts of 0.4 fit the cheapest layer, the third goes to the next.
  EXPECT_EQ(shares_at(0.4, {3, 1, 2}), (std::vector<double>{0, 0.8, 0.4}));
  EXPECT_EQ(shares_at(0.25, {1, 1, 2}), (std::vector<double>{0.75, 0, 0}));
  const auto broken =
      share_out(2, 0.1, [](std::span<const double>) -> Result<double> { return invalid("no"); });
  EXPECT_FALSE(broken.has_value());
}

class CalibrateFallback : public ::testing::Test {
 protected:
  static Json shape() {
    return Json::parse(
        R"({"model_type": "cadre", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
        "moe_intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "kv_lora_rank": 16,
        "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "n_routed_experts": 6,
        "n_shared_experts": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1,
        "max_position_embeddings": 64, "fallback": {"hidden": 8}})");
  }
  Model model(const Json& json) const {
    const auto written =
        write_random_model(json, folder_ / "model", {.type = DType::kF32}, [](int64_t, int64_t) {});
    EXPECT_TRUE(written) << written.error().message;
    return Model::load(folder_ / "model").value();
  }
  static PerplexityText text() {
    PerplexityText text;
    const RandomStream random(2, 2);
    for (uint64_t i = 0; i < 600; ++i) {
      text.tokens.push_back(static_cast<int32_t>(random.bits(i) % 64));
      text.byte_count.push_back(1);
    }
    return text;
  }
  static constexpr auto kQuiet = [](int64_t, int64_t, double) {};

  fixtures::ScratchFolder folder_;
};

TEST_F(CalibrateFallback, FindsThresholdsOfTheRateAskedForAndWritesThem) {
  const Model model = this->model(shape());
  const auto found =
      calibrate_fallback(model, {.cpu = {.threads = 1}}, text(), {.rate = 0.1, .ctx = 64}, kQuiet);
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_EQ(found->layers.size(), 2u);
  EXPECT_EQ(found->layers[0].layer, 1);
  EXPECT_GT(found->tokens, 580);  // of 600, a window's last is not run
  EXPECT_LE(found->tokens, 600);
  EXPECT_NEAR(found->layers[0].mean.mass, 0.7, 1e-3);
  // The first MoE layer reads what it read without fallback.
  EXPECT_NEAR(found->layers[0].rate, 0.1, 1.5 / 580);
  EXPECT_NEAR(found->layers[1].rate, 0.1, 0.05);
  EXPECT_NEAR(found->rate, (found->layers[0].rate + found->layers[1].rate) / 2, 1e-12);
  EXPECT_NE(found->nats, found->fallback_nats);

  const Json written = with_thresholds(shape(), *found).value();
  ASSERT_TRUE(write_with_config(folder_ / "model", folder_ / "out", written));
  const Model calibrated = Model::load(folder_ / "out").value();
  const FallbackConfig& fallback = *calibrated.config().moe->fallback;
  EXPECT_EQ(fallback.hidden, 8);
  EXPECT_EQ(fallback.threshold[1], static_cast<float>(found->layers[1].threshold));
  EXPECT_EQ(fallback.calibrated_rate, found->rate);
  // The written model does by itself what was measured.
  Engine engine =
      Engine::create(calibrated,
                     {.cpu = {.threads = 1}, .context_tokens = 64, .max_step_rows = 64, .max_logit_rows = 64})
          .value();
  EXPECT_NEAR(measure_perplexity(engine, text(), {.ctx = 64}, kQuiet)->nats.mean, found->fallback_nats,
              1e-12);

  ASSERT_TRUE(write_with_config(folder_ / "model", "", written));
  EXPECT_EQ(*read_text_file(folder_ / "model" / "config.json"),
            *read_text_file(folder_ / "out" / "config.json"));
  EXPECT_FALSE(write_with_config(folder_ / "model", folder_ / "out", written));  // is there already
}

TEST_F(CalibrateFallback, GreedyCostsNoMoreThanEqualSharesOfTheSameTotal) {
  const Model model = this->model(shape());
  const FallbackCalibrationOptions equal{.rate = 0.2, .ctx = 64};
  FallbackCalibrationOptions greedy = equal;
  greedy.greedy = true;
  const auto a = calibrate_fallback(model, {.cpu = {.threads = 1}}, text(), equal, kQuiet).value();
  const auto b = calibrate_fallback(model, {.cpu = {.threads = 1}}, text(), greedy, kQuiet).value();
  // Two parts for two layers: one each, or both to one of them.
  EXPECT_NEAR(b.rate, 0.2, 0.05);
  for (const FallbackLayer& layer : b.layers) {
    const double parts = layer.rate / 0.2;
    EXPECT_NEAR(parts, std::round(parts), 0.25);
  }
  EXPECT_LE(b.fallback_nats, a.fallback_nats);
  EXPECT_EQ(a.nats, b.nats);
}

TEST_F(CalibrateFallback, RandomCostsWhatAnyOfTheTokensCost) {
  const Model model = this->model(shape());
  const auto at = [&](double rate) {
    return calibrate_fallback(model, {.cpu = {.threads = 1}}, text(),
                              {.rate = rate, .ctx = 64, .random = true}, kQuiet)
        .value();
  };
  const FallbackCalibration few = at(0.1), most = at(0.998);
  ASSERT_TRUE(few.random_nats);
  EXPECT_NE(*few.random_nats, few.nats);
  EXPECT_NE(*few.random_nats, few.fallback_nats);
  EXPECT_EQ(*few.random_nats, *at(0.1).random_nats);
  // Where nearly all fall back, it hardly matters which.
  EXPECT_NEAR(*most.random_nats, most.fallback_nats, 0.2 * std::abs(most.nats - most.fallback_nats));
  EXPECT_FALSE(calibrate_fallback(model, {.cpu = {.threads = 1}}, text(), {.rate = 0.1, .ctx = 64}, kQuiet)
                   ->random_nats);
}

TEST_F(CalibrateFallback, ModelsThatCannotFallBackAreRefused) {
  Json json = shape();
  json["n_shared_experts"] = 0;
  json.erase("fallback");
  const auto nothing = calibrate_fallback(model(json), {}, text(), {.ctx = 64}, kQuiet);
  ASSERT_FALSE(nothing);
  EXPECT_NE(nothing.error().message.find("nothing would serve"), std::string::npos);
  json["model_type"] = "deepseek_v3";
  EXPECT_NE(with_thresholds(json, {}).error().message.find("model_type"), std::string::npos);
}

}  // namespace
}  // namespace cadre
