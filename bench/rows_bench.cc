#include <algorithm>
#include <chrono>

#include "cadre/base/thread_pool.h"
#include "kernel_bench.h"

namespace cadre::kernel_bench {
namespace {

void spin(std::chrono::nanoseconds time) {
  for (const auto end = std::chrono::steady_clock::now() + time; std::chrono::steady_clock::now() < end;) {
  }
}

/// What sharing out an operation costs beside its work: a task of `work` for each thread, after the caller
/// alone was busy for `gap`, as between two operations of a step.
void fork_join(benchmark::State& state, std::chrono::microseconds work, std::chrono::microseconds gap) {
  ThreadPool pool(bench_threads());
  std::vector<double> overheads;
  for (auto _ : state) {
    spin(gap);
    const auto start = std::chrono::steady_clock::now();
    pool.run(pool.size(), [&](int64_t, int) { spin(work); });
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    state.SetIterationTime(taken.count());
    overheads.push_back(1e6 * (taken - work).count());
  }
  // Of times that the operating system disturbs, the median says what an operation pays.
  std::ranges::nth_element(overheads, overheads.begin() + static_cast<int64_t>(overheads.size() / 2));
  state.counters["overhead_us"] = overheads[overheads.size() / 2];
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
  using std::chrono::microseconds;
  for (const int work : {0, 5, 50})
    for (const int gap : {0, 2, 20, 100, 1000})
      benchmark::RegisterBenchmark(
          ("thread_pool/work_us:" + std::to_string(work) + "/gap_us:" + std::to_string(gap)).c_str(),
          [work, gap](benchmark::State& state) { fork_join(state, microseconds(work), microseconds(gap)); })
          ->UseManualTime()
          ->Unit(benchmark::kMicrosecond);
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
