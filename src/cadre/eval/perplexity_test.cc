#include "cadre/eval/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "cadre/base/file.h"
#include "cadre/base/fixtures.h"
#include "cadre/model/shapes.h"
#include "cadre/runtime/random_model.h"
#include "cadre/text/tokenizer.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;

constexpr const char* kText = "The quick brown fox jumps over the lazy dog; \xC3\xA4\xC3\xB6\xC3\xBC.";

Json tiny_shape() {
  Json config = *named_shape("cadre-s");
  config["num_hidden_layers"] = 2;
  config["hidden_size"] = 64;
  config["vocab_size"] = 300;
  config["tie_word_embeddings"] = false;  // tied random models agree: each predicts the token it saw
  config["max_position_embeddings"] = 128;
  return config;
}

class Perplexity : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const uint64_t seed : {uint64_t{1}, uint64_t{2}}) {
      const auto written = write_random_model(tiny_shape(), model_path(seed),
                                              {.type = DType::kF32, .seed = seed}, [](int64_t, int64_t) {});
      ASSERT_TRUE(written) << written.error().message;
    }
  }

  fs::path model_path(uint64_t seed) const { return folder_ / fmt::format("model-{}", seed); }
  std::string file(const char* name) const { return (folder_ / name).string(); }

  static Engine engine(const Model& model, int64_t step_rows) {
    EngineOptions options{.cpu = {.threads = 2}, .context_tokens = 128, .max_step_rows = step_rows};
    options.max_logit_rows = step_rows;
    auto made = Engine::create(model, options);
    EXPECT_TRUE(made) << made.error().message;
    return std::move(*made);
  }

  Tokenizer tokenizer() const {
    auto tokenizer =
        Tokenizer::from_json(*read_text_file(model_path(1) / "tokenizer.json"), "tokenizer.json");
    EXPECT_TRUE(tokenizer) << tokenizer.error().message;
    const Json config = *read_json_file((model_path(1) / "tokenizer_config.json").string());
    EXPECT_TRUE(tokenizer->apply_config(JsonFields(config, "tokenizer_config.json")));
    return std::move(*tokenizer);
  }
  PerplexityText text() const { return *tokenize_for_perplexity(tokenizer(), kText); }

  /// Measures model `seed` in steps of at most `step_rows`.
  Result<PerplexityReport> measure(uint64_t seed, const PerplexityOptions& options, int64_t step_rows = 7) {
    const auto model = Model::load(model_path(seed));
    EXPECT_TRUE(model) << model.error().message;
    Engine run = engine(*model, step_rows);
    return measure_perplexity(run, text(), options, [](int64_t, int64_t, double) {});
  }

  fixtures::ScratchFolder folder_;
};

/// Nats of each token of one window, by decoding it token by token and summing in the order written down.
std::vector<double> nats_of_window(Engine& engine, const std::vector<int32_t>& tokens) {
  std::vector<double> nats;
  const SequenceId sequence = engine.open_sequence();
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    const StepItem item{.sequence = sequence, .tokens = std::span(&tokens[i], 1)};
    const auto logits = engine.step(std::span(&item, 1));
    EXPECT_TRUE(logits);
    double sum = 0;
    for (int64_t v = 0; v < logits->width; ++v) sum += std::exp(static_cast<double>(logits->row(0)[v]));
    nats.push_back(std::log(sum) - logits->row(0)[tokens[i + 1]]);
  }
  engine.close_sequence(sequence);
  return nats;
}

TEST_F(Perplexity, EqualsASumOverTheEnginesOwnLogits) {
  const PerplexityText input = text();
  ASSERT_TRUE(input.bos);
  const auto model = Model::load(model_path(1));
  Engine reference = engine(*model, 4);
  double sum = 0;
  int64_t count = 0;
  for (size_t begin = 0; begin < input.tokens.size(); begin += 15) {
    std::vector<int32_t> window = {*input.bos};
    for (size_t i = begin; i < std::min(begin + 15, input.tokens.size()); ++i)
      window.push_back(input.tokens[i]);
    for (const double nats : nats_of_window(reference, window)) {
      sum += nats;
      ++count;
    }
  }
  const auto report = measure(1, {.ctx = 16});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(count, static_cast<int64_t>(input.tokens.size()));
  EXPECT_EQ(report->tokens, count);
  EXPECT_EQ(report->bytes, static_cast<int64_t>(std::string_view(kText).size()));
  EXPECT_NEAR(report->nats.mean, sum / static_cast<double>(count), 1e-6);
  EXPECT_NEAR(report->perplexity, std::exp(sum / static_cast<double>(count)), 1e-3);
  EXPECT_NEAR(report->bits_per_byte, sum / std::log(2.0) / static_cast<double>(report->bytes), 1e-6);
}

TEST_F(Perplexity, DoesNotDependOnTheSizeOfTheSteps) {
  const auto one = measure(1, {.ctx = 32}, 1);
  const auto many = measure(1, {.ctx = 32}, 32);
  ASSERT_TRUE(one && many);
  EXPECT_EQ(one->nats.mean, many->nats.mean);
  EXPECT_EQ(one->nats.standard_error, many->nats.standard_error);
}

TEST_F(Perplexity, AStrideCountsEveryTokenOnceWithMoreContext) {
  const auto plain = measure(1, {.ctx = 16});
  const auto strided = measure(1, {.ctx = 16, .stride = 4});
  ASSERT_TRUE(plain && strided);
  EXPECT_EQ(strided->tokens, plain->tokens);
  EXPECT_GT(strided->evaluated, plain->evaluated);
  EXPECT_NE(strided->nats.mean, plain->nats.mean);
}

TEST_F(Perplexity, AModelDoesNotDivergeFromItselfAndDoesFromAnother) {
  ASSERT_TRUE(measure(1, {.ctx = 16, .save_logits = file("base")}));
  const auto same = measure(1, {.ctx = 16, .kl_base = file("base")});
  ASSERT_TRUE(same && same->divergence) << same.error().message;
  EXPECT_EQ(same->divergence->kl.mean, 0);
  EXPECT_EQ(same->divergence->kl_max, 0);
  EXPECT_EQ(same->divergence->top_agreement, 1);
  EXPECT_EQ(same->divergence->base_nats, same->nats.mean);

  const auto other = measure(2, {.ctx = 16, .kl_base = file("base")});
  ASSERT_TRUE(other && other->divergence);
  EXPECT_GT(other->divergence->kl.mean, 0.01);
  EXPECT_GE(other->divergence->kl_max, other->divergence->kl_99);
  EXPECT_LT(other->divergence->top_agreement, 0.5);
}

TEST_F(Perplexity, ABaseThatDoesNotBelongIsAnError) {
  ASSERT_TRUE(measure(1, {.ctx = 16, .save_logits = file("base")}));
  const auto other_ctx = measure(1, {.ctx = 17, .kl_base = file("base")});
  ASSERT_FALSE(other_ctx);
  EXPECT_NE(other_ctx.error().message.find("ctx 16"), std::string::npos) << other_ctx.error().message;

  const auto model = Model::load(model_path(1));
  Engine run = engine(*model, 16);
  PerplexityText changed = text();
  changed.tokens[3] += 1;
  const auto other_text =
      measure_perplexity(run, changed, {.ctx = 16, .kl_base = file("base")}, [](int64_t, int64_t, double) {});
  ASSERT_FALSE(other_text);
  EXPECT_NE(other_text.error().message.find("another text"), std::string::npos) << other_text.error().message;

  const auto not_a_base = measure(1, {.ctx = 16, .kl_base = (model_path(1) / "model.safetensors").string()});
  ASSERT_FALSE(not_a_base);
  EXPECT_NE(not_a_base.error().message.find("--save-logits"), std::string::npos)
      << not_a_base.error().message;
}

TEST_F(Perplexity, SizesOutsideTheContextAreErrors) {
  for (const PerplexityOptions& options : {PerplexityOptions{.ctx = 1}, PerplexityOptions{.ctx = 129},
                                           PerplexityOptions{.ctx = 16, .stride = 17}}) {
    const auto report = measure(1, options);
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().kind, ErrorKind::kUsage) << report.error().message;
  }
}

TEST_F(Perplexity, TooShortATextIsAnError) {
  EXPECT_TRUE(tokenize_for_perplexity(tokenizer(), "a"));  // BOS predicts it
  EXPECT_FALSE(tokenize_for_perplexity(tokenizer(), ""));
}

}  // namespace
}  // namespace cadre
