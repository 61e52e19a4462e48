#include "kernel_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>

#include "cadre/tensor/convert.h"

namespace cadre::kernel_bench {
namespace {

std::string environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr ? value : "";
}

}  // namespace

Isa bench_isa() { return isa_from_name(environment("CADRE_ISA")).value_or(best_isa()); }

int bench_threads() {
  const int asked = std::atoi(environment("CADRE_THREADS").c_str());
  return asked > 0 ? asked : available_cores();
}

Backend& bench_backend() {
  static const std::unique_ptr<Backend> backend = [] {
    auto made = make_cpu_backend({.threads = bench_threads(), .isa = std::string(name(bench_isa()))});
    if (!made) {
      std::fprintf(stderr, "%s\n", made.error().message.c_str());
      std::exit(2);
    }
    return std::move(*made);
  }();
  return *backend;
}

const MachineLimits& limits() {
  static const MachineLimits limits = measure_machine_limits(bench_threads(), bench_isa());
  return limits;
}

void set_counters(benchmark::State& state, double bytes, double operations, Compute compute) {
  const auto rate = [&](double per_iteration, double unit) {
    return benchmark::Counter(per_iteration / unit, benchmark::Counter::kIsIterationInvariantRate);
  };
  if (bytes > 0) {
    state.counters["GB/s"] = rate(bytes, 1e9);
    state.counters["of_read"] = rate(bytes, limits().read_bytes_per_second);
  }
  if (operations > 0) {
    state.counters["Gop/s"] = rate(operations, 1e9);
    state.counters["of_peak"] =
        rate(operations, compute == Compute::kInt8 ? limits().int8_ops : limits().f32_flops);
  }
}

std::vector<float> random_floats(int64_t count) {
  std::minstd_rand random(1);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(random() % 2001) / 1000 - 1;
  return values;
}

BenchWeights::BenchWeights(DType dtype, int64_t rows, int64_t cols, int64_t copies) : copies_(copies) {
  const int64_t stride = row_bytes(dtype, cols);
  bytes_.resize(static_cast<size_t>(copies * rows * stride));
  first_ = {.data = bytes_.data(), .dtype = dtype, .rows = rows, .cols = cols, .row_bytes = stride};
  if (dtype == DType::kF32 || dtype == DType::kBF16) {
    const std::vector<float> values = random_floats(4096);
    const auto size = static_cast<size_t>(info(dtype).block_bytes);
    for (size_t i = 0; i < bytes_.size() / size; ++i) {
      const float value = values[i % values.size()];
      const uint16_t narrow = f32_to_bf16(value);
      std::memcpy(bytes_.data() + i * size, size == 4 ? static_cast<const void*>(&value) : &narrow, size);
    }
  } else {
    // Any bytes but large exponents: block scales near 1, small FP8 values. E8M0 scales of at least 2^-32, so
    // that no product is denormal.
    std::minstd_rand random(1);
    const bool e8m0 = dtype == DType::kPackedMXFP4;
    for (std::byte& byte : bytes_) byte = static_cast<std::byte>(e8m0 ? 96 + random() % 32 : random() % 64);
  }
}

Weight BenchWeights::operator[](int64_t i) const {
  Weight w = first_;
  w.data += i % copies_ * w.bytes();
  return w;
}

int64_t cold_copies(int64_t bytes) {
  constexpr int64_t kBeyondCaches = int64_t{256} << 20;
  return std::max<int64_t>((kBeyondCaches + bytes - 1) / bytes, 1);
}

}  // namespace cadre::kernel_bench

int main(int argc, char** argv) {
  using namespace cadre::kernel_bench;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("backend", bench_backend().description());
  benchmark::AddCustomContext("read limit", fmt::format("{:.1f} GB/s", limits().read_bytes_per_second / 1e9));
  benchmark::AddCustomContext("f32 limit", fmt::format("{:.1f} GFLOP/s", limits().f32_flops / 1e9));
  benchmark::AddCustomContext("int8 limit", fmt::format("{:.1f} Gop/s", limits().int8_ops / 1e9));
  benchmark::AddCustomContext("threads", "not pinned");
  add_matmul();
  add_expert_ffn();
  add_attend();
  add_rows();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
