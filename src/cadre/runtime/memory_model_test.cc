#include "cadre/runtime/memory_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "cadre/base/fixtures.h"
#include "cadre/model/shapes.h"
#include "cadre/runtime/engine.h"

namespace cadre {
namespace {

Json small_shape() {
  Json config = named_shape("cadre-s").value();
  config["num_hidden_layers"] = 2;
  config["hidden_size"] = 64;
  config["vocab_size"] = 300;
  config["n_routed_experts"] = 4;
  config["num_experts_per_tok"] = 2;
  return config;
}

/// The bytes of every tensor that the model's family knows.
std::vector<std::pair<std::string, std::vector<std::byte>>> bytes_of(const Model& model) {
  std::vector<std::pair<std::string, std::vector<std::byte>>> all;
  Transformer views = model.transformer();
  model.checkpoint().visit_weights(views, [&](const WeightSlot& slot) {
    const StoredTensor tensor = model.checkpoint().find(slot.name).value().value();
    all.emplace_back(slot.name, std::vector<std::byte>(tensor.bytes.begin(), tensor.bytes.end()));
  });
  return all;
}

TEST(MemoryModel, HasTheBytesOfTheModelOnDisk) {
  const fixtures::ScratchFolder scratch;
  const auto folder = scratch / "model";
  for (const DType type : {DType::kF32, DType::kBF16, DType::kPackedQ4, DType::kPackedMXFP4}) {
    std::filesystem::remove_all(folder);
    const RandomModelOptions options{.type = type, .seed = 5, .threads = 2};
    ASSERT_TRUE(write_random_model(small_shape(), folder, options, fixtures::kNoProgress));
    const Model on_disk = Model::load(folder).value();
    int64_t heard = 0;
    int64_t total = 0;
    const Model in_memory =
        make_random_model(small_shape(), "memory", options, [&](int64_t done, int64_t of) {
          EXPECT_GE(done, heard);
          heard = done;
          total = of;
        }).value();
    EXPECT_EQ(heard, total);
    EXPECT_EQ(bytes_of(in_memory), bytes_of(on_disk)) << name(type);
    EXPECT_EQ(in_memory.size().bytes, on_disk.size().bytes);
    EXPECT_EQ(in_memory.checkpoint().path().string(), "memory");
    EXPECT_NE(in_memory.checkpoint().where("x").find("memory: tensor 'x'"), std::string::npos);
  }
}

TEST(MemoryModel, MoreThanTheMachineHasIsAnErrorBeforeAnythingIsMade) {
  const auto model = make_random_model(named_shape("deepseek-v3").value(), "deepseek-v3",
                                       {.type = DType::kF32}, fixtures::kNoProgress);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().kind, ErrorKind::kTooLarge);
  EXPECT_NE(model.error().message.find("TB"), std::string::npos) << model.error().message;
}

TEST(MemoryModel, AConfigurationThatCannotRunNamesItsField) {
  Json config = small_shape();
  config["hidden_size"] = -1;
  const auto model = make_random_model(config, "broken", {}, fixtures::kNoProgress);
  ASSERT_FALSE(model);
  EXPECT_NE(model.error().message.find("hidden_size"), std::string::npos) << model.error().message;
}

TEST(FillWithCopies, DecodesAtADepthAsIfThePagesHadBeenComputed) {
  const Model model =
      make_random_model(small_shape(), "memory", {.type = DType::kF32}, fixtures::kNoProgress).value();
  Engine engine = Engine::create(model, {.cpu = {.threads = 1}, .context_tokens = 5 * kPageTokens}).value();
  std::vector<int32_t> prompt(static_cast<size_t>(kPageTokens));
  for (size_t i = 0; i < prompt.size(); ++i) prompt[i] = static_cast<int32_t>(i * 11 % 300);
  const SequenceId source = engine.open_sequence();
  const StepItem item{.sequence = source, .tokens = prompt};
  ASSERT_TRUE(engine.step(std::span(&item, 1)));

  // A copy of exactly what the source holds goes on as the source does.
  const SequenceId copy = engine.open_sequence();
  ASSERT_TRUE(engine.fill_with_copies(copy, source, kPageTokens));
  EXPECT_EQ(engine.length(copy), kPageTokens);
  const std::vector<int32_t> next = {42};
  const auto logits_of = [&](SequenceId sequence) {
    const StepItem one{.sequence = sequence, .tokens = next};
    const Tensor logits = engine.step(std::span(&one, 1)).value();
    return std::vector<float>(logits.data, logits.data + logits.width);
  };
  EXPECT_EQ(logits_of(copy), logits_of(source));

  engine.close_sequence(copy);
  const SequenceId deep = engine.open_sequence();
  EXPECT_FALSE(engine.fill_with_copies(deep, source, 4 * kPageTokens));  // three are free
  EXPECT_EQ(engine.length(deep), 0);
  ASSERT_TRUE(engine.fill_with_copies(deep, source, 2 * kPageTokens + 1));
  EXPECT_EQ(engine.length(deep), 2 * kPageTokens + 1);
  EXPECT_EQ(logits_of(deep).size(), 300u);
}

}  // namespace
}  // namespace cadre
