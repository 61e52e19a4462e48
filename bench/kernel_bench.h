#pragma once
/// What the kernel benchmarks share: back ends, weights that do not fit a cache, and counters that relate
/// what was moved and computed to what this machine can do at most, measured in the same process.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <vector>

#include "cadre/bench/machine_limits.h"
#include "cadre/kernels/backend.h"

namespace cadre::kernel_bench {

/// The instruction set of $CADRE_ISA, the best one otherwise.
Isa bench_isa();
/// $CADRE_THREADS, one per core otherwise.
int bench_threads();
/// Kept for the whole process, on bench_isa() and bench_threads().
Backend& bench_backend();
/// Measured at the first call.
const MachineLimits& limits();

/// Bytes and operations of one iteration, as rates and as fractions of the limits: `GB/s` and `of_read`,
/// `Gop/s` and `of_peak`, the peak being that of f32, or of int8 with Compute::kInt8.
void set_counters(benchmark::State& state, double bytes, double operations, Compute compute = Compute::kF32);

/// What products with weights of a type are computed in: int8 with packed ones, f32 otherwise.
inline Compute compute_for(DType dtype) { return is_packed(dtype) ? Compute::kInt8 : Compute::kF32; }

std::vector<float> random_floats(int64_t count);

/// `copies` matrices [rows, cols] of random values, one after the other in memory.
class BenchWeights {
 public:
  BenchWeights(DType dtype, int64_t rows, int64_t cols, int64_t copies);
  Weight operator[](int64_t i) const;
  int64_t copies() const { return copies_; }

 private:
  std::vector<std::byte> bytes_;
  Weight first_;
  int64_t copies_;
};

/// Copies of a matrix of `bytes` that together are out of every cache's reach.
int64_t cold_copies(int64_t bytes);

// One per kernel family; each adds its benchmarks.
void add_matmul();
void add_expert_ffn();
void add_attend();
void add_rows();

}  // namespace cadre::kernel_bench
