// What changes the bits of a KV cache changes the fingerprint, and nothing else does.
#include "cadre/runtime/cache_fingerprint.h"

#include "cadre/runtime/lora_testing.h"

namespace cadre {
namespace {

using fixtures::LoraFiles;

class CacheFingerprint : public ::testing::Test {
 protected:
  CacheFingerprint() { files_.write_usual(); }

  uint64_t of(const Model& model, EngineOptions options = {}) const {
    options.cpu.threads = 1;
    Engine engine = Engine::create(model, options).value();
    return cache_fingerprint(engine).value();
  }
  Model model(const LoadOptions& options = {}) const { return Model::load(files_.model(), options).value(); }

  LoraFiles files_{DType::kF32};
};

TEST_F(CacheFingerprint, IsTheSameForWhatDoesNotChangeBits) {
  const uint64_t print = of(model());
  EXPECT_EQ(of(model()), print);
  EXPECT_EQ(of(model(), {.context_tokens = 128}), print);
  EXPECT_EQ(of(model(), {.max_step_rows = 16}), print);
}

TEST_F(CacheFingerprint, ChangesWithAnAdapterTheFallbackAndTheCache) {
  const uint64_t print = of(model());
  EXPECT_NE(of(model({.lora = files_.adapter()})), print);
  EXPECT_NE(of(model(), {.fallback = FallbackUse::kForce}), print);
  EXPECT_NE(of(model(), {.kv_type = DType::kF32}), print);
}

TEST_F(CacheFingerprint, ChangesWithTheWeightsOfAnAdapter) {
  const uint64_t print = of(model({.lora = files_.adapter()}));
  files_.write_usual(0.25);
  EXPECT_NE(of(model({.lora = files_.adapter()})), print);
}

}  // namespace
}  // namespace cadre
