// How fast a model trains: steps of forward, backward and AdamW on the shape that PyTorch was measured on
// (6 layers of width 256, 16 experts of 512 of which 4 serve a token, 16 sequences of 256 tokens).
//
//   training_bench [threads] [steps] [sequences a micro-batch]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "cadre/base/random.h"
#include "cadre/train/balance.h"
#include "cadre/train/operations.h"
#include "cadre/train/optimiser.h"
#include "cadre/train/pass.h"

namespace cadre {
namespace {

constexpr int64_t kSequences = 16;
constexpr int64_t kLength = 256;

Json shape() {
  return Json::parse(R"({
    "model_type": "cadre", "vocab_size": 4096, "hidden_size": 256, "intermediate_size": 2048,
    "moe_intermediate_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8, "q_lora_rank": null,
    "kv_lora_rank": 192, "qk_nope_head_dim": 16, "qk_rope_head_dim": 16, "v_head_dim": 32,
    "n_routed_experts": 16, "n_shared_experts": 0, "num_experts_per_tok": 4, "first_k_dense_replace": 0,
    "scoring_func": "sigmoid", "norm_topk_prob": true, "routed_scaling_factor": 1.0,
    "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "rope_theta": 10000, "tie_word_embeddings": false
  })");
}

/// Of all threads of this process; other work on the machine does not count.
double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

Status run(int threads, int steps, int64_t micro) {
  CADRE_TRY(train::TrainableModel model, train::TrainableModel::initialise(shape(), "training_bench", 1));
  CADRE_TRY(const std::unique_ptr<Backend> backend, make_cpu_backend({.threads = threads}));
  CADRE_TRY(const std::unique_ptr<train::Pass> pass, train::Pass::create(model, *backend, micro * kLength));
  CADRE_TRY(train::Optimiser optimiser, train::Optimiser::create(model, {}));
  const RandomStream random(1, 1);
  std::vector<int32_t> tokens(kSequences * kLength);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(random.bits(i) % 4096);
  std::vector<int32_t> targets(tokens.begin() + 1, tokens.end());
  targets.push_back(0);
  std::vector<SequenceRows> sequences;
  for (int64_t s = 0; s < micro; ++s) sequences.push_back({.first_row = s * kLength, .rows = kLength});

  train::Balance balance(model.config(), {.sequence = 1e-4});
  const RoutingPolicy policy = balance.policy();
  std::vector<double> seconds;
  std::vector<double> processor;
  for (int step = 0; step < steps; ++step) {
    const auto start = std::chrono::steady_clock::now();
    const double processor_start = cpu_seconds();
    balance.begin_step(kSequences * kLength, kSequences);
    double loss = 0;
    for (int64_t first = 0; first < kSequences; first += micro) {
      const auto begin = static_cast<size_t>(first * kLength);
      const auto count = static_cast<size_t>(micro * kLength);
      balance.begin_pass(sequences);
      loss += pass->run(
          {std::span(tokens).subspan(begin, count), std::span(targets).subspan(begin, count), sequences},
          {.scale = 1.0f / (kSequences * kLength),
           .policies = std::span(&policy, 1),
           .auxiliary = &balance.gradient()});
    }
    const auto middle = std::chrono::steady_clock::now();
    optimiser.update(model, *backend->gradients(), 1e-3);
    balance.update_bias(model.transformer(), 1e-3);
    const auto end = std::chrono::steady_clock::now();
    seconds.push_back(std::chrono::duration<double>(end - start).count());
    processor.push_back(cpu_seconds() - processor_start);
    fmt::print("step {}: loss {:.4f}, {:.3f} s, of which optimiser {:.3f} s, processor time {:.3f} s\n", step,
               loss / (kSequences * kLength), seconds.back(),
               std::chrono::duration<double>(end - middle).count(), processor.back());
    std::fflush(stdout);
  }
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  std::sort(processor.begin(), processor.end());
  const double rate = kSequences * kLength / median;
  const double flops = rate * train::training_operations(model.config(), kLength);
  fmt::print(
      "{}: {:.1f} M parameters, median {:.3f} s, {:.0f} tokens/s, {:.1f} GFLOP/s, processor time {:.3f} s, "
      "activations {:.0f} MiB\n",
      backend->description(), static_cast<double>(model.parameter_count()) * 1e-6, median, rate, flops * 1e-9,
      processor[processor.size() / 2], static_cast<double>(pass->peak_bytes()) / 0x1p20);
  return {};
}

}  // namespace
}  // namespace cadre

int main(int argc, char** argv) {
  const auto argument = [&](int i, int fallback) { return i < argc ? std::atoi(argv[i]) : fallback; };
  const cadre::Status status = cadre::run(argument(1, 2), argument(2, 3), argument(3, 16));
  if (!status) std::fprintf(stderr, "training_bench: %s\n", status.error().message.c_str());
  return status ? 0 : 1;
}
