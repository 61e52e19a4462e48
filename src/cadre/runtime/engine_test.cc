// Every family with tiny random weights: one request gives the same bits alone, in pieces, in company, with
// any number of threads and in every instruction set. And the engine's own errors.
#include "cadre/runtime/engine.h"

#include <gtest/gtest.h>

#include <cstring>

#include "cadre/base/fixtures.h"
#include "cadre/base/random.h"
#include "cadre/runtime/random_model.h"

namespace cadre {
namespace {

constexpr const char* kShapes[] = {
    // V2-Lite-like: direct queries, softmax, greedy.
    R"({"model_type": "deepseek_v2", "vocab_size": 300, "hidden_size": 48, "intermediate_size": 80,
        "moe_intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "kv_lora_rank": 20,
        "qk_nope_head_dim": 12, "qk_rope_head_dim": 6, "v_head_dim": 10, "n_routed_experts": 7,
        "n_shared_experts": 2, "num_experts_per_tok": 3, "first_k_dense_replace": 1, "topk_method": "greedy",
        "max_position_embeddings": 512})",
    // V3-like: query compression, sigmoid, groups, bias, YaRN.
    R"({"model_type": "deepseek_v3", "vocab_size": 300, "hidden_size": 64, "intermediate_size": 96,
        "moe_intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "q_lora_rank": 24,
        "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 16, "v_head_dim": 16,
        "n_routed_experts": 12, "n_shared_experts": 1, "num_experts_per_tok": 4, "first_k_dense_replace": 1,
        "n_group": 4, "topk_group": 2, "routed_scaling_factor": 2.5, "max_position_embeddings": 512,
        "rope_scaling": {"type": "yarn", "factor": 8, "original_max_position_embeddings": 64, "mscale": 1,
                         "mscale_all_dim": 1}})",
    // Our own: every expert chosen, tied head.
    R"({"model_type": "cadre", "vocab_size": 300, "hidden_size": 33, "intermediate_size": 17,
        "moe_intermediate_size": 19, "num_hidden_layers": 2, "num_attention_heads": 2, "kv_lora_rank": 21,
        "qk_nope_head_dim": 7, "qk_rope_head_dim": 4, "v_head_dim": 5, "n_routed_experts": 5,
        "n_shared_experts": 0, "num_experts_per_tok": 5, "tie_word_embeddings": true,
        "max_position_embeddings": 512, "gate": {"type": "linear", "score": "sqrtsoftplus"}})",
    // The other gates and a fallback. Thresholds lie about the middle of what random weights give.
    R"({"model_type": "cadre", "vocab_size": 300, "hidden_size": 40, "intermediate_size": 30,
        "moe_intermediate_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "kv_lora_rank": 24,
        "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "n_routed_experts": 6,
        "n_shared_experts": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1,
        "max_position_embeddings": 512, "gate": {"type": "mlp", "hidden": 20, "score": "softmax"},
        "fallback": {"hidden": 12, "threshold": [0.336, 0.336]}})",
    R"({"model_type": "cadre", "vocab_size": 300, "hidden_size": 40, "intermediate_size": 30,
        "moe_intermediate_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "kv_lora_rank": 24,
        "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "n_routed_experts": 6,
        "n_shared_experts": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1,
        "max_position_embeddings": 512, "gate": {"type": "transformer", "width": 24, "head_dim": 10}})",
    R"({"model_type": "cadre", "vocab_size": 300, "hidden_size": 40, "intermediate_size": 30,
        "moe_intermediate_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "kv_lora_rank": 24,
        "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "n_routed_experts": 6,
        "n_shared_experts": 1, "num_experts_per_tok": 2, "max_position_embeddings": 512,
        "gate": {"type": "hash", "layers": 2}})",
    R"({"model_type": "llama", "vocab_size": 300, "hidden_size": 48, "intermediate_size": 100,
        "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 10,
        "max_position_embeddings": 512})",
};

/// A prompt of a request: the same for the same `which`.
std::vector<int32_t> prompt(uint64_t which, int64_t length) {
  const RandomStream random(which, 0);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < length; ++i)
    tokens.push_back(static_cast<int32_t>(random.bits(static_cast<uint64_t>(i)) % 300));
  return tokens;
}

using Logits = std::vector<float>;

void append(Logits& all, const Tensor& rows, int64_t first, int64_t count) {
  for (int64_t r = first; r < first + count; ++r)
    all.insert(all.end(), rows.row(r), rows.row(r) + rows.width);
}

bool same_bits(const Logits& a, const Logits& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

class EngineBits : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto report = write_random_model(Json::parse(GetParam()), scratch_ / "model", {.type = DType::kF32},
                                           [](int64_t, int64_t) {});
    ASSERT_TRUE(report.has_value()) << report.error().message;
    model_.emplace(Model::load(scratch_ / "model").value());
  }

  Engine engine(const CpuOptions& cpu, DType kv_type = DType::kBF16) const {
    return Engine::create(*model_,
                          {.cpu = cpu, .kv_type = kv_type, .context_tokens = 1024, .max_logit_rows = 512})
        .value();
  }

  /// Random schedules of several sequences give the bits of each alone.
  void check_company(DType kv_type);

  /// All logits of one prompt, fed `chunk` tokens at a time.
  static Logits alone(Engine& engine, const std::vector<int32_t>& tokens, size_t chunk) {
    Logits logits;
    const SequenceId sequence = engine.open_sequence();
    for (size_t at = 0; at < tokens.size(); at += chunk) {
      const auto piece = std::span(tokens).subspan(at, std::min(chunk, tokens.size() - at));
      const StepItem item{.sequence = sequence, .tokens = piece, .logits = LogitsFor::kAll};
      const Tensor rows = engine.step(std::span(&item, 1)).value();
      append(logits, rows, 0, rows.rows);
    }
    engine.close_sequence(sequence);
    return logits;
  }

  fixtures::ScratchFolder scratch_;  // outlives the model, which maps its files
  std::optional<Model> model_;
};

TEST_P(EngineBits, DoNotDependOnChunkingThreadsOrInstructionSet) {
  for (const DType kv_type : {DType::kF32, DType::kBF16, DType::kI8}) {
    SCOPED_TRACE(name(kv_type));
    Engine first = engine({.threads = 1}, kv_type);
    const std::vector<int32_t> tokens = prompt(1, 150);
    const Logits expected = alone(first, tokens, 150);
    for (const size_t chunk : {size_t{1}, size_t{7}, size_t{64}, size_t{65}, size_t{149}})
      EXPECT_TRUE(same_bits(alone(first, tokens, chunk), expected)) << "chunks of " << chunk;
    for (const int threads : {2, 3}) {
      Engine other = engine({.threads = threads}, kv_type);
      EXPECT_TRUE(same_bits(alone(other, tokens, 50), expected)) << threads << " threads";
    }
    for (const char* isa : {"generic", "avx2", "avx512"}) {
      if (!make_cpu_backend({.threads = 1, .isa = isa})) continue;
      Engine other = engine({.threads = 2, .isa = isa}, kv_type);
      EXPECT_TRUE(same_bits(alone(other, tokens, 40), expected)) << isa;
    }
  }
}

/// Attention takes keys in chunks of 512; decoding shares them out among the threads.
TEST_P(EngineBits, DoNotDependOnChunkingOfManyKeys) {
  for (const DType kv_type : {DType::kF32, DType::kBF16, DType::kI8}) {
    SCOPED_TRACE(name(kv_type));
    Engine one = engine({.threads = 1}, kv_type);
    Engine three = engine({.threads = 3}, kv_type);
    const std::vector<int32_t> tokens = prompt(1, 540);
    const Logits expected = alone(one, tokens, 512);
    EXPECT_TRUE(same_bits(alone(three, tokens, 512), expected));
    EXPECT_TRUE(same_bits(alone(three, tokens, 37), expected));
    EXPECT_TRUE(same_bits(alone(three, tokens, 1), expected));
  }
}

TEST_P(EngineBits, DoNotDependOnTheCompany) { check_company(DType::kBF16); }
TEST_P(EngineBits, DoNotDependOnTheCompanyOverInt8) { check_company(DType::kI8); }

void EngineBits::check_company(DType kv_type) {
  Engine engine = this->engine({.threads = 2}, kv_type);
  const std::vector<std::vector<int32_t>> prompts = {prompt(1, 90), prompt(2, 3), prompt(3, 130),
                                                     prompt(4, 1)};
  std::vector<Logits> expected;
  for (const auto& tokens : prompts) expected.push_back(alone(engine, tokens, tokens.size()));

  // Random schedules: each step takes a few tokens of some of the sequences.
  const RandomStream random(5, 0);
  uint64_t draw = 0;
  for (int round = 0; round < 3; ++round) {
    std::vector<SequenceId> ids;
    std::vector<Logits> found(prompts.size());
    for (size_t i = 0; i < prompts.size(); ++i) ids.push_back(engine.open_sequence());
    while (true) {
      std::vector<StepItem> items;
      std::vector<size_t> owners;
      bool all_done = true;
      for (size_t i = 0; i < prompts.size(); ++i) {
        const auto done = static_cast<size_t>(engine.length(ids[i]));
        const size_t left = prompts[i].size() - done;
        const size_t count = std::min(left, size_t{random.bits(draw++) % 41});
        all_done &= left == 0;
        if (count == 0) continue;
        items.push_back({.sequence = ids[i],
                         .tokens = std::span(prompts[i]).subspan(done, count),
                         .logits = LogitsFor::kAll});
        owners.push_back(i);
      }
      if (all_done) break;
      if (items.empty()) continue;
      const Tensor rows = engine.step(items).value();
      int64_t first = 0;
      for (size_t i = 0; i < items.size(); ++i) {
        append(found[owners[i]], rows, first, static_cast<int64_t>(items[i].tokens.size()));
        first += static_cast<int64_t>(items[i].tokens.size());
      }
    }
    for (size_t i = 0; i < prompts.size(); ++i)
      EXPECT_TRUE(same_bits(found[i], expected[i])) << "sequence " << i;
    for (const SequenceId id : ids) engine.close_sequence(id);
  }
}

TEST_P(EngineBits, ComeBackAfterATruncation) {
  Engine engine = this->engine({.threads = 1});
  const std::vector<int32_t> tokens = prompt(1, 100);
  const Logits expected = alone(engine, tokens, 100);
  const SequenceId sequence = engine.open_sequence();
  const std::vector<int32_t> other = prompt(9, 80);
  const StepItem detour[] = {{.sequence = sequence, .tokens = std::span(tokens).first(30)}};
  ASSERT_TRUE(engine.step(detour).has_value());
  const StepItem wrong[] = {{.sequence = sequence, .tokens = other}};
  ASSERT_TRUE(engine.step(wrong).has_value());
  engine.truncate(sequence, 30);
  const StepItem rest[] = {
      {.sequence = sequence, .tokens = std::span(tokens).subspan(30), .logits = LogitsFor::kLast}};
  const Tensor last = engine.step(rest).value();
  EXPECT_TRUE(same_bits(Logits(last.row(0), last.row(0) + last.width),
                        Logits(expected.end() - last.width, expected.end())));
}

TEST_P(EngineBits, RoundedCachesStayCloseToFullOnes) {
  Engine full = engine({.threads = 1}, DType::kF32);
  const std::vector<int32_t> tokens = prompt(1, 60);
  const Logits b = alone(full, tokens, 60);
  for (const DType kv_type : {DType::kBF16, DType::kI8}) {
    Engine narrow = engine({.threads = 1}, kv_type);
    const Logits a = alone(narrow, tokens, 60);
    ASSERT_EQ(a.size(), b.size());
    EXPECT_FALSE(same_bits(a, b));
    for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 0.05f * (1 + std::abs(b[i])));
  }
}

/// Prompts that are long enough for the explicit form; over int8 the absorbed one rounds more.
TEST_P(EngineBits, TheExplicitFormOfMlaStaysCloseToTheAbsorbedOne) {
  if (!std::holds_alternative<MlaConfig>(model_->config().attention)) GTEST_SKIP() << "no MLA";
  const std::vector<int32_t> tokens = prompt(1, 300);
  for (const DType kv_type : {DType::kF32, DType::kBF16, DType::kI8}) {
    Engine absorbed = engine({.threads = 2}, kv_type);
    Engine either = Engine::create(*model_, {.cpu = {.threads = 2},
                                             .kv_type = kv_type,
                                             .context_tokens = 1024,
                                             .max_logit_rows = 512,
                                             .mla_form = MlaForm::kAuto})
                        .value();
    const Logits a = alone(either, tokens, 250);
    const Logits b = alone(absorbed, tokens, 250);
    const float allowed = kv_type == DType::kI8 ? 0.05f : 1e-3f;
    for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], allowed * (1 + std::abs(b[i])));
  }
}

TEST_P(EngineBits, TwoEnginesInOneProcessDoNotMeet) {
  Engine one = engine({.threads = 2});
  Engine two = engine({.threads = 2});
  const Logits a = alone(one, prompt(1, 40), 40);
  const Logits b = alone(two, prompt(2, 40), 40);
  EXPECT_TRUE(same_bits(alone(one, prompt(2, 40), 40), b));
  EXPECT_TRUE(same_bits(alone(two, prompt(1, 40), 40), a));
}

TEST_P(EngineBits, WrongRequestsAreErrorsThatChangeNothing) {
  Engine engine = this->engine({.threads = 1});
  const SequenceId sequence = engine.open_sequence();
  const auto step = [&](const std::vector<int32_t>& tokens, LogitsFor logits) {
    const StepItem item{.sequence = sequence, .tokens = tokens, .logits = logits};
    return engine.step(std::span(&item, 1));
  };
  EXPECT_NE(step({300}, LogitsFor::kLast).error().message.find("300"), std::string::npos);
  EXPECT_FALSE(step({-1}, LogitsFor::kLast).has_value());
  EXPECT_FALSE(step(prompt(1, 513), LogitsFor::kNone).has_value());
  EXPECT_EQ(engine.length(sequence), 0);
  EXPECT_EQ(engine.free_tokens(), 1024);
  ASSERT_TRUE(step(prompt(1, 512), LogitsFor::kLast).has_value());
  ASSERT_TRUE(step(prompt(1, 512), LogitsFor::kLast).has_value());
  EXPECT_NE(step({1}, LogitsFor::kLast).error().message.find("--ctx"), std::string::npos);
  engine.close_sequence(sequence);
  EXPECT_EQ(engine.free_tokens(), 1024);
}

/// A policy sees and may change every plan: routing all tokens to one expert is the same as asking for it.
TEST_P(EngineBits, PoliciesActOnThePlan) {
  if (!model_->config().moe) GTEST_SKIP() << "a dense model has no routing";
  Engine plain = engine({.threads = 1});
  Engine steered = engine({.threads = 1});
  int plans = 0;
  steered.add_policy([&](RoutingPlan plan) {
    ++plans;
    std::fill(plan.experts.begin(), plan.experts.end(), 0);
    plan.experts.resize(static_cast<size_t>(plan.tokens()));
    plan.weights.assign(static_cast<size_t>(plan.tokens()), 1.0f);
    for (int64_t t = 0; t <= plan.tokens(); ++t) plan.first[static_cast<size_t>(t)] = static_cast<int32_t>(t);
    return plan;
  });
  const std::vector<int32_t> tokens = prompt(1, 20);
  const Logits a = alone(plain, tokens, 20);
  const Logits b = alone(steered, tokens, 20);
  EXPECT_GT(plans, 0);
  EXPECT_FALSE(same_bits(a, b));
  EXPECT_TRUE(same_bits(alone(steered, tokens, 7), b));
}

/// The rule acts on some tokens of random models, and --fallback off, force and on are what they say.
TEST_P(EngineBits, TheFallbackTakesUncertainTokens) {
  const std::optional<MoeConfig>& moe = model_->config().moe;
  const bool calibrated = moe && moe->fallback && !moe->fallback->threshold.empty();
  const auto shares = [&](FallbackUse use) {  // of token-layers without routed experts
    Engine engine =
        Engine::create(*model_, {.cpu = {.threads = 1}, .max_logit_rows = 512, .fallback = use}).value();
    int64_t empty = 0, all = 0;
    engine.add_policy([&](RoutingPlan plan) {
      for (int64_t t = 0; t < plan.tokens(); ++t) empty += plan.experts_of(t).empty() ? 1 : 0;
      all += plan.tokens();
      return plan;
    });
    const Logits logits = alone(engine, prompt(1, 40), 40);
    return std::pair(all == 0 ? 0 : static_cast<double>(empty) / static_cast<double>(all), logits);
  };
  const auto off = shares(FallbackUse::kOff);
  EXPECT_EQ(off.first, 0);
  const auto usual = shares(FallbackUse::kAuto);
  if (calibrated) {
    EXPECT_GT(usual.first, 0.1);
    EXPECT_LT(usual.first, 0.9);
    EXPECT_FALSE(same_bits(usual.second, off.second));
    EXPECT_TRUE(same_bits(usual.second, shares(FallbackUse::kOn).second));
  } else {
    EXPECT_TRUE(same_bits(usual.second, off.second));
    const auto on = Engine::create(*model_, {.cpu = {.threads = 1}, .fallback = FallbackUse::kOn});
    EXPECT_EQ(on.error().kind, ErrorKind::kUsage);
    EXPECT_NE(on.error().message.find("cadre calibrate"), std::string::npos);
  }
  if (moe) {
    EXPECT_EQ(shares(FallbackUse::kForce).first, 1);
  } else {
    EXPECT_FALSE(Engine::create(*model_, {.fallback = FallbackUse::kForce}).has_value());
  }
}

INSTANTIATE_TEST_SUITE_P(Families, EngineBits, ::testing::ValuesIn(kShapes), [](const auto& shape) {
  const Json json = Json::parse(shape.param);
  std::string name = json["model_type"].template get<std::string>();
  if (json.contains("gate")) name += "_" + json["gate"]["type"].template get<std::string>();
  return name;
});

}  // namespace
}  // namespace cadre
