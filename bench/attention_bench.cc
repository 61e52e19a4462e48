#include <cstring>
#include <numeric>

#include "cadre/tensor/convert.h"
#include "kernel_bench.h"

namespace cadre::kernel_bench {
namespace {

struct Shape {
  const char* name;
  int64_t heads;
  int64_t kv_heads;
  int64_t key_width;
  int64_t value_width;
  bool one_stream;
};

constexpr Shape kMla{"deepseek-v2-lite/mla", 16, 1, 576, 512, true};
constexpr Shape kExplicit{"deepseek-v2-lite/mla_explicit", 16, 16, 192, 128, false};
constexpr Shape kGqa{"gqa_32_8_128", 32, 8, 128, 128, false};

/// `rows` new rows after `depth` entries, pages of 64.
void attend(benchmark::State& state, const Shape& shape, DType dtype, int64_t depth, int64_t rows) {
  constexpr int64_t kPage = 64;
  const int64_t length = depth + rows;
  const int64_t pages = (length + kPage - 1) / kPage;
  std::vector<int32_t> table(static_cast<size_t>(pages));
  std::iota(table.begin(), table.end(), 0);
  const auto make_stream = [&](int64_t width, std::vector<std::byte>& memory) {
    const auto size = static_cast<size_t>(info(dtype).block_bytes);
    memory.resize(static_cast<size_t>(pages * kPage * width) * size);
    const std::vector<float> values = random_floats(pages * kPage * width);
    for (size_t i = 0; i < values.size(); ++i) {
      const uint16_t narrow = f32_to_bf16(values[i]);
      std::memcpy(memory.data() + i * size, size == 4 ? static_cast<const void*>(&values[i]) : &narrow, size);
    }
    return KvStream{.data = memory.data(), .dtype = dtype, .width = width, .page_tokens = kPage};
  };
  std::vector<std::byte> key_memory, value_memory;
  const KvStream keys = make_stream(shape.kv_heads * shape.key_width, key_memory);
  const KvStream values =
      shape.one_stream ? keys : make_stream(shape.kv_heads * shape.value_width, value_memory);
  std::vector<float> q = random_floats(rows * shape.heads * shape.key_width);
  std::vector<float> out(static_cast<size_t>(rows * shape.heads * shape.value_width));
  const SequenceRows sequence{.first_row = 0, .rows = rows, .first_position = depth, .pages = table.data()};
  for (auto _ : state) {
    bench_backend().attend({.q = Tensor::dense(q.data(), rows, shape.heads, shape.key_width),
                            .keys = keys,
                            .values = values,
                            .kv_heads = shape.kv_heads,
                            .key_stride = shape.key_width,
                            .value_stride = shape.one_stream ? 0 : shape.value_width,
                            .scale = 0.1f,
                            .sequences = std::span(&sequence, 1),
                            .out = Tensor::dense(out.data(), rows, shape.heads, shape.value_width)});
    benchmark::ClobberMemory();
  }
  const double pairs =
      static_cast<double>(rows) * (static_cast<double>(depth) + static_cast<double>(rows + 1) / 2);
  set_counters(state, static_cast<double>(key_memory.size() + value_memory.size()),
               2 * pairs * static_cast<double>(shape.heads * (shape.key_width + shape.value_width)));
}

}  // namespace

void add_attend() {
  const auto add = [](const Shape& shape, DType dtype, int64_t depth, int64_t rows) {
    const std::string name = std::string(shape.name) + '/' + std::string(cadre::name(dtype)) +
                             "/depth:" + std::to_string(depth) + "/rows:" + std::to_string(rows);
    benchmark::RegisterBenchmark(
        name.c_str(),
        [&shape, dtype, depth, rows](benchmark::State& state) { attend(state, shape, dtype, depth, rows); })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  };
  for (const int64_t depth : {512, 4096})
    for (const int64_t rows : {1, 128}) {
      add(kMla, DType::kBF16, depth, rows);
      add(kGqa, DType::kBF16, depth, rows);
    }
  add(kExplicit, DType::kF32, 0, 512);
  add(kMla, DType::kBF16, 0, 512);
}

}  // namespace cadre::kernel_bench
