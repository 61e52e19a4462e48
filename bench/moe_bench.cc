#include <algorithm>

#include "kernel_bench.h"

namespace cadre::kernel_bench {
namespace {

constexpr int64_t kWidth = 2048, kHidden = 1408, kExperts = 64;

/// Random distinct experts for each token, grouped by expert.
struct Routing {
  std::vector<ExpertGroup> groups;
  std::vector<int32_t> rows;
  std::vector<float> weights;
  double expert_bytes = 0;
};

Routing route(int64_t tokens, int64_t top_k, const BenchWeights& gate, const BenchWeights& up,
              const BenchWeights& down, uint64_t seed) {
  std::vector<std::vector<int32_t>> chosen(kExperts);
  uint64_t random = seed * 2 + 1;
  for (int64_t t = 0; t < tokens; ++t) {
    std::vector<int64_t> mine;
    while (static_cast<int64_t>(mine.size()) < top_k) {
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
  routing.weights.assign(routing.rows.size(), 1.0f / static_cast<float>(top_k));
  return routing;
}

/// One MoE layer of DeepSeek-V2-Lite's width, 64 experts of which each token takes `top_k` at random, the
/// model itself 6.
void expert_ffn(benchmark::State& state, DType dtype, int64_t top_k, int64_t tokens) {
  const BenchWeights gate(dtype, kHidden, kWidth, kExperts), up(dtype, kHidden, kWidth, kExperts),
      down(dtype, kWidth, kHidden, kExperts);
  std::vector<Routing> routings;
  for (uint64_t i = 0; i < (tokens == 1 ? 16 : 1); ++i)
    routings.push_back(route(tokens, top_k, gate, up, down, i));
  std::vector<float> x = random_floats(tokens * kWidth), y(x.size());
  const int64_t assignments = tokens * top_k;
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
                                .y = Tensor::dense(y.data(), tokens, kWidth),
                                .compute = compute_for(dtype)});
    benchmark::ClobberMemory();
  }
  set_counters(state, routings[0].expert_bytes, 2.0 * static_cast<double>(assignments * kWidth * kHidden * 3),
               compute_for(dtype));
}

}  // namespace

void add_expert_ffn() {
  const auto add = [](const std::string& name, DType dtype, int64_t top_k, int64_t tokens) {
    benchmark::RegisterBenchmark(
        (name + '/' + std::string(cadre::name(dtype)) + "/tokens:" + std::to_string(tokens)).c_str(),
        [dtype, top_k, tokens](benchmark::State& state) { expert_ffn(state, dtype, top_k, tokens); })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  };
  constexpr DType kTypes[] = {DType::kBF16,        DType::kF32,      DType::kQ4_0,
                              DType::kPackedQ8,    DType::kPackedQ6, DType::kPackedQ4,
                              DType::kPackedMXFP4, DType::kPackedQ3, DType::kPackedQ2};
  for (const DType dtype : kTypes)
    for (const int64_t tokens : {1, 4, 16, 64, 512}) add("deepseek-v2-lite/moe", dtype, 6, tokens);
  // What other engines' layers have been measured at.
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kPackedQ4})
    for (const int64_t tokens : {1, 128, 1024}) add("moe_2048x1408_top4of64", dtype, 4, tokens);
}

}  // namespace cadre::kernel_bench
