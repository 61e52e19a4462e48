#include <algorithm>

#include "kernel_bench.h"

namespace cadre::kernel_bench {
namespace {

constexpr int64_t kWidth = 2048, kHidden = 1408, kExperts = 64, kTopK = 6;

/// Random distinct experts for each token, grouped by expert.
struct Routing {
  std::vector<ExpertGroup> groups;
  std::vector<int32_t> rows;
  std::vector<float> weights;
  double expert_bytes = 0;
};

Routing route(int64_t tokens, const BenchWeights& gate, const BenchWeights& up, const BenchWeights& down,
              uint64_t seed) {
  std::vector<std::vector<int32_t>> chosen(kExperts);
  uint64_t random = seed * 2 + 1;
  for (int64_t t = 0; t < tokens; ++t) {
    std::vector<int64_t> mine;
    while (static_cast<int64_t>(mine.size()) < kTopK) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      const auto expert = static_cast<int64_t>(random >> 58);
      if (std::find(mine.begin(), mine.end(), expert) == mine.end()) mine.push_back(expert);
    }
    for (const int64_t expert : mine) chosen[static_cast<size_t>(expert)].push_back(static_cast<int32_t>(t));
  }
  Routing routing;
  for (int64_t e = 0; e < kExperts; ++e) {
    const auto& rows = chosen[static_cast<size_t>(e)];
    if (rows.empty()) continue;
    routing.groups.push_back({.expert = {gate[e], up[e], down[e]},
                              .first = static_cast<int64_t>(routing.rows.size()),
                              .count = static_cast<int64_t>(rows.size())});
    routing.rows.insert(routing.rows.end(), rows.begin(), rows.end());
    routing.expert_bytes += static_cast<double>(gate[e].bytes() + up[e].bytes() + down[e].bytes());
  }
  routing.weights.assign(routing.rows.size(), 1.0f / kTopK);
  return routing;
}

/// One MoE layer of DeepSeek-V2-Lite, 64 experts of which each token takes 6 at random.
void expert_ffn(benchmark::State& state, DType dtype, int64_t tokens) {
  const BenchWeights gate(dtype, kHidden, kWidth, kExperts), up(dtype, kHidden, kWidth, kExperts),
      down(dtype, kWidth, kHidden, kExperts);
  std::vector<Routing> routings;
  for (uint64_t i = 0; i < (tokens == 1 ? 16 : 1); ++i) routings.push_back(route(tokens, gate, up, down, i));
  std::vector<float> x = random_floats(tokens * kWidth), y(x.size());
  const int64_t assignments = tokens * kTopK;
  std::vector<float> hidden(static_cast<size_t>(assignments * kHidden)),
      outputs(static_cast<size_t>(assignments * kWidth));
  for (Routing& routing : routings)
    for (ExpertGroup& group : routing.groups)
      group.hidden = Tensor::dense(hidden.data() + group.first * kHidden, group.count, kHidden);
  size_t i = 0;
  for (auto _ : state) {
    const Routing& routing = routings[i++ % routings.size()];
    bench_backend().expert_ffn({.x = Tensor::dense(x.data(), tokens, kWidth),
                                .groups = routing.groups,
                                .rows = routing.rows,
                                .weights = routing.weights,
                                .outputs = Tensor::dense(outputs.data(), assignments, kWidth),
                                .y = Tensor::dense(y.data(), tokens, kWidth)});
    benchmark::ClobberMemory();
  }
  set_counters(state, routings[0].expert_bytes,
               2.0 * static_cast<double>(assignments * kWidth * kHidden * 3));
}

}  // namespace

void add_expert_ffn() {
  for (const DType dtype : {DType::kBF16, DType::kF32, DType::kQ4_0})
    for (const int64_t tokens : {1, 16, 128, 512}) {
      const std::string name =
          "deepseek-v2-lite/moe/" + std::string(cadre::name(dtype)) + "/tokens:" + std::to_string(tokens);
      benchmark::RegisterBenchmark(
          name.c_str(), [dtype, tokens](benchmark::State& state) { expert_ffn(state, dtype, tokens); })
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    }
}

}  // namespace cadre::kernel_bench
