#include "cadre/base/thread_pool.h"
#include "kernel_bench.h"

namespace cadre::kernel_bench {
namespace {

/// Sharing out tasks that do nothing: what every operation pays.
void barrier(benchmark::State& state) {
  ThreadPool pool(bench_threads());
  for (auto _ : state)
    pool.run(int64_t{4} * pool.size(), [](int64_t task, int) { benchmark::DoNotOptimize(task); });
}

void rms_norm(benchmark::State& state, int64_t rows) {
  constexpr int64_t kWidth = 2048;
  std::vector<float> x = random_floats(rows * kWidth), y(x.size()), gain = random_floats(kWidth);
  for (auto _ : state) {
    bench_backend().rms_norm({.x = Tensor::dense(x.data(), rows, kWidth),
                              .gain = gain.data(),
                              .y = Tensor::dense(y.data(), rows, kWidth),
                              .eps = 1e-6f});
    benchmark::ClobberMemory();
  }
  set_counters(state, static_cast<double>(2 * rows * kWidth) * sizeof(float), 0);
}

void swiglu(benchmark::State& state, int64_t rows) {
  constexpr int64_t kWidth = 10944;
  std::vector<float> gate = random_floats(rows * kWidth), up = gate, y(gate.size());
  for (auto _ : state) {
    bench_backend().swiglu({.gate = Tensor::dense(gate.data(), rows, kWidth),
                            .up = Tensor::dense(up.data(), rows, kWidth),
                            .y = Tensor::dense(y.data(), rows, kWidth)});
    benchmark::ClobberMemory();
  }
  set_counters(state, static_cast<double>(3 * rows * kWidth) * sizeof(float), 0);
}

}  // namespace

void add_rows() {
  benchmark::RegisterBenchmark("thread_pool/barrier", barrier)->UseRealTime()->Unit(benchmark::kMicrosecond);
  for (const int64_t rows : {1, 512}) {
    const std::string suffix = "/rows:" + std::to_string(rows);
    benchmark::RegisterBenchmark(("deepseek-v2-lite/rms_norm" + suffix).c_str(),
                                 [rows](benchmark::State& state) { rms_norm(state, rows); })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
    benchmark::RegisterBenchmark(("deepseek-v2-lite/swiglu" + suffix).c_str(),
                                 [rows](benchmark::State& state) { swiglu(state, rows); })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
}

}  // namespace cadre::kernel_bench
