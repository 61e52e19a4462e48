#include <map>
#include <memory>

#include "cadre/tensor/packed.h"
#include "kernel_bench.h"

namespace cadre::kernel_bench {
namespace {

struct MatrixShape {
  const char* name;
  int64_t out;
  int64_t in;
};

constexpr MatrixShape kShapes[] = {
    {"deepseek-v2-lite/o_proj", 2048, 2048},      {"deepseek-v2-lite/dense_up", 10944, 2048},
    {"deepseek-v2-lite/dense_down", 2048, 10944}, {"deepseek-v2-lite/moe_up", 1408, 2048},
    {"deepseek-v2-lite/moe_down", 2048, 1408},    {"deepseek-v2-lite/kv_a_proj", 576, 2048},
    {"deepseek-v2-lite/head", 102400, 2048},
};

/// Weights from memory: each iteration takes another copy.
void matmul(benchmark::State& state, const MatrixShape& shape, DType dtype, int64_t rows) {
  // Shared by the row counts, which run one after the other; the last one made is kept.
  static std::unique_ptr<BenchWeights> weights;
  static std::pair<const MatrixShape*, DType> made;
  if (weights == nullptr || made != std::pair(&shape, dtype)) {
    weights.reset();
    const int64_t bytes = shape.out * row_bytes(dtype, shape.in);
    weights = std::make_unique<BenchWeights>(dtype, shape.out, shape.in, cold_copies(bytes));
    made = {&shape, dtype};
  }
  std::vector<float> x = random_floats(rows * shape.in);
  std::vector<float> y(static_cast<size_t>(rows * shape.out));
  int64_t copy = 0;
  for (auto _ : state) {
    bench_backend().matmul({.x = Tensor::dense(x.data(), rows, shape.in),
                            .w = (*weights)[copy++],
                            .y = Tensor::dense(y.data(), rows, shape.out),
                            .compute = compute_for(dtype)});
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
  }
  set_counters(state, static_cast<double>((*weights)[0].bytes()),
               2.0 * static_cast<double>(rows * shape.out * shape.in), compute_for(dtype));
}

}  // namespace

void add_matmul() {
  for (const MatrixShape& shape : kShapes)
    for (const DType dtype : {DType::kBF16, DType::kF32, DType::kF8E4M3, DType::kQ8_0, DType::kQ4_0,
                              DType::kQ4_K, DType::kPackedQ8, DType::kPackedQ6, DType::kPackedQ4,
                              DType::kPackedMXFP4, DType::kPackedQ3, DType::kPackedQ2})
      for (const int64_t rows : {1, 4, 16, 64, 512}) {
        if (shape.in % info(dtype).block_elements != 0 || (is_packed(dtype) && shape.in % kPackedGroup != 0))
          continue;
        const std::string name =
            std::string(shape.name) + '/' + std::string(cadre::name(dtype)) + "/rows:" + std::to_string(rows);
        benchmark::RegisterBenchmark(
            name.c_str(),
            [&shape, dtype, rows](benchmark::State& state) { matmul(state, shape, dtype, rows); })
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond);
      }
}

}  // namespace cadre::kernel_bench
