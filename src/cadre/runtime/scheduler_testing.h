#pragma once
/// What the tests of the scheduler and of its parts share: a small model, requests, a listener that
/// remembers.

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "cadre/base/random.h"
#include "cadre/model/shapes.h"
#include "cadre/runtime/byte_tokenizer.h"
#include "cadre/runtime/memory_model.h"
#include "cadre/runtime/scheduler.h"

namespace cadre {

/// Four layers of MLA, one dense and three of twelve experts in four groups; 300 rows of head, of which the
/// byte tokenizer knows 256.
inline Model make_scheduler_model(uint64_t seed = 0) {
  Json config = named_shape("deepseek-v3").value();
  config["num_hidden_layers"] = 4;
  config["first_k_dense_replace"] = 1;
  config["hidden_size"] = 48;
  config["intermediate_size"] = 64;
  config["moe_intermediate_size"] = 16;
  config["num_attention_heads"] = 3;
  config["num_key_value_heads"] = 3;
  config["q_lora_rank"] = 24;
  config["kv_lora_rank"] = 32;
  config["qk_nope_head_dim"] = 16;
  config["qk_rope_head_dim"] = 8;
  config["v_head_dim"] = 16;
  config["n_routed_experts"] = 12;
  config["n_group"] = 4;
  config["topk_group"] = 2;
  config["num_experts_per_tok"] = 2;
  config["vocab_size"] = 300;
  config["max_position_embeddings"] = 4096;
  config.erase("rope_scaling");
  config.erase("bos_token_id");
  config.erase("eos_token_id");
  return make_random_model(std::move(config), "scheduler test model",
                           {.type = DType::kF32, .seed = seed, .threads = 1}, [](int64_t, int64_t) {})
      .value();
}

/// One for all tests of a program.
inline const Model& scheduler_model() {
  static const Model model = make_scheduler_model();
  return model;
}

inline const Tokenizer& scheduler_tokenizer() {
  static const Tokenizer tokenizer =
      Tokenizer::from_json(dump_json(make_byte_tokenizer(scheduler_model().config()).value().tokenizer),
                           "test tokenizer")
          .value();
  return tokenizer;
}

inline Engine make_scheduler_engine(int64_t context_tokens = 1024, int64_t max_step_rows = 128,
                                    const Model& model = scheduler_model()) {
  return Engine::create(
             model, {.cpu = {.threads = 1}, .context_tokens = context_tokens, .max_step_rows = max_step_rows})
      .value();
}

/// The same for the same `which`.
inline std::vector<int32_t> test_prompt(uint64_t which, int64_t length) {
  const RandomStream random(which, 7);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < length; ++i)
    tokens.push_back(static_cast<int32_t>(random.bits(static_cast<uint64_t>(i)) % 250));
  return tokens;
}

/// Keeps all that it hears.
class Recorder : public RequestListener {
 public:
  struct Event {
    double logprob = 0;
    std::vector<TokenLogprob> top;
    std::vector<ExpertChoice> routing;
  };

  bool on_token(const TokenEvent& event) override {
    tokens.push_back(event.token);
    events.push_back({.logprob = event.logprob,
                      .top = {event.top.begin(), event.top.end()},
                      .routing = {event.routing.begin(), event.routing.end()}});
    ++heard;
    return static_cast<int64_t>(tokens.size()) != stop_after;
  }
  void on_embedding(std::span<const float> values) override {
    embedding.assign(values.begin(), values.end());
  }
  void on_finish(FinishReason why, const RequestStats& final_stats) override {
    reason = why;
    end(final_stats);
  }
  void on_error(const Error& what, const RequestStats& final_stats) override {
    error = what;
    end(final_stats);
  }

  /// Blocks until the request is over. -> this
  Recorder& wait() {
    std::unique_lock lock(mutex_);
    over_.wait(lock, [&] { return over; });
    return *this;
  }

  std::vector<int32_t> tokens;
  std::vector<Event> events;
  std::vector<float> embedding;
  std::optional<FinishReason> reason;
  std::optional<Error> error;
  RequestStats stats;
  int64_t stop_after = -1;
  std::atomic<int64_t> heard{0};  ///< tokens so far, for other threads
  bool over = false;

 private:
  void end(const RequestStats& final_stats) {
    stats = final_stats;
    const std::scoped_lock lock(mutex_);
    EXPECT_FALSE(over) << "a request that was over ended again";
    over = true;
    over_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable over_;
};

}  // namespace cadre
