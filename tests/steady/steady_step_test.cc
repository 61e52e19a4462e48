// Once the engine has seen its largest step, steps allocate nothing: everything that one needs is kept from
// those before it. On one thread: with several, a worker's scratch grows when it first happens to take the
// largest kind of task, which may be late.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "cadre/model/shapes.h"
#include "cadre/runtime/engine.h"
#include "cadre/runtime/memory_model.h"

namespace {

std::atomic<int64_t> allocations{0};

void* count_and_allocate(std::size_t bytes, std::size_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* p = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (p == nullptr) std::abort();
  return p;
}

}  // namespace

// The array forms and those that do not throw call these.
void* operator new(std::size_t bytes) { return count_and_allocate(bytes, alignof(std::max_align_t)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return count_and_allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

namespace cadre {
namespace {

constexpr int64_t kSequences = 3;

Model make_model(DType type) {
  Json config = named_shape("deepseek-v3").value();
  config["num_hidden_layers"] = 3;
  config["first_k_dense_replace"] = 1;
  config["hidden_size"] = 64;
  config["intermediate_size"] = 96;
  config["moe_intermediate_size"] = 32;
  config["num_attention_heads"] = 4;
  config["num_key_value_heads"] = 4;
  config["q_lora_rank"] = 32;
  config["kv_lora_rank"] = 32;
  config["qk_nope_head_dim"] = 16;
  config["qk_rope_head_dim"] = 16;
  config["v_head_dim"] = 16;
  config["n_routed_experts"] = 16;
  config["n_group"] = 4;
  config["topk_group"] = 2;
  config["num_experts_per_tok"] = 4;
  config["vocab_size"] = 300;
  config["max_position_embeddings"] = 512;
  auto model =
      make_random_model(std::move(config), "steady", {.type = type, .threads = 1}, [](int64_t, int64_t) {});
  if (!model) ADD_FAILURE() << model.error().message;
  return std::move(model).value();
}

class SteadyStep : public testing::TestWithParam<DType> {};

TEST_P(SteadyStep, DecodeAllocatesNothing) {
  const Model model = make_model(GetParam());
  // One thread: with more, which of them first meets a task, and grows its scratch memory, is chance.
  Engine engine =
      Engine::create(model, {.cpu = {.threads = 1}, .context_tokens = 1024, .max_step_rows = 64}).value();
  std::vector<SequenceId> sequences;
  std::vector<int32_t> tokens(64);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 37 % 300);
  for (int64_t i = 0; i < kSequences; ++i) {
    sequences.push_back(engine.open_sequence());
    const StepItem prompt{.sequence = sequences.back(), .tokens = tokens};
    ASSERT_TRUE(engine.step(std::span(&prompt, 1)));
  }
  std::vector<StepItem> items(kSequences);
  int64_t failures = 0;
  const auto decode = [&](int32_t steps) {
    for (int32_t step = 0; step < steps; ++step) {
      for (size_t i = 0; i < items.size(); ++i)
        items[i] = {.sequence = sequences[i], .tokens = std::span(tokens).subspan(size_t(step) % 60 + i, 1)};
      if (!engine.step(items)) ++failures;
    }
  };
  decode(8);
  const int64_t before = allocations.load();
  ASSERT_GT(before, 0);
  decode(100);  // across the ends of pages
  EXPECT_EQ(allocations.load() - before, 0);
  EXPECT_EQ(failures, 0);
}

INSTANTIATE_TEST_SUITE_P(Types, SteadyStep, testing::Values(DType::kF32, DType::kBF16, DType::kPackedQ4),
                         [](const auto& test) { return std::string(name(test.param)); });

}  // namespace
}  // namespace cadre
