#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>

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

constexpr int64_t kPage = 64;

struct Load {
  DType dtype = DType::kBF16;
  int64_t depth = 0;
  int64_t rows = 1;  ///< new rows of each sequence
  int64_t sequences = 1;
};

/// A cache stream of `pages` pages for each of `layers` layers, one after the other.
struct Stream {
  KvStream stream;
  std::vector<std::byte> memory;
  int64_t layer_bytes = 0;

  Stream(int64_t width, int64_t parts, int64_t plain, DType dtype, int64_t pages, int64_t layers)
      : stream{.dtype = dtype, .width = width, .page_tokens = kPage, .parts = parts, .plain = plain} {
    layer_bytes = pages * page_bytes(stream);
    memory.resize(static_cast<size_t>(layers * layer_bytes));
    // A few pages are written, the others are copies of them.
    const int64_t written = std::min<int64_t>(pages, 8);
    std::vector<int32_t> table(static_cast<size_t>(written));
    std::iota(table.begin(), table.end(), 0);
    std::vector<float> x = random_floats(written * kPage * width);
    const SequenceRows rows{
        .first_row = 0, .rows = written * kPage, .first_position = 0, .pages = table.data()};
    bench_backend().kv_write({.x = Tensor::dense(x.data(), written * kPage, width),
                              .stream = at_layer(0),
                              .sequences = std::span(&rows, 1)});
    const int64_t page = page_bytes(stream);
    for (int64_t i = written; i < layers * pages; ++i)
      std::memcpy(memory.data() + i * page, memory.data() + i % written * page, static_cast<size_t>(page));
  }
  KvStream at_layer(int64_t layer) {
    KvStream view = stream;
    view.data = memory.data() + layer * layer_bytes;
    return view;
  }
};

/// New rows after `depth` entries of each sequence, pages of 64; as many layers in turn as put each out of
/// every cache's reach.
void attend(benchmark::State& state, const Shape& shape, const Load& load) {
  const int64_t length = load.depth + load.rows;
  const int64_t pages = (length + kPage - 1) / kPage;
  std::vector<int32_t> table(static_cast<size_t>(pages * load.sequences));
  std::iota(table.begin(), table.end(), 0);
  const bool coded = load.dtype == DType::kI8;
  const int64_t per_entry = shape.kv_heads * (shape.key_width + (shape.one_stream ? 0 : shape.value_width)) *
                            (load.dtype == DType::kF32 ? 4 : 2);
  const int64_t layers = cold_copies(per_entry * pages * kPage * load.sequences);
  const int64_t all_pages = pages * load.sequences;
  Stream keys(shape.kv_heads * shape.key_width, shape.kv_heads,
              coded && shape.one_stream ? shape.key_width - shape.value_width : 0, load.dtype, all_pages,
              layers);
  std::optional<Stream> values;
  if (!shape.one_stream)
    values.emplace(shape.kv_heads * shape.value_width, shape.kv_heads, 0, load.dtype, all_pages, layers);
  const int64_t rows = load.rows * load.sequences;
  std::vector<float> q = random_floats(rows * shape.heads * shape.key_width);
  std::vector<float> out(static_cast<size_t>(rows * shape.heads * shape.value_width));
  std::vector<SequenceRows> sequences;
  for (int64_t i = 0; i < load.sequences; ++i)
    sequences.push_back({.first_row = i * load.rows,
                         .rows = load.rows,
                         .first_position = load.depth,
                         .pages = table.data() + i * pages});
  int64_t layer = 0;
  for (auto _ : state) {
    const KvStream layer_keys = keys.at_layer(layer);
    bench_backend().attend({.q = Tensor::dense(q.data(), rows, shape.heads, shape.key_width),
                            .keys = layer_keys,
                            .values = values ? values->at_layer(layer) : layer_keys,
                            .kv_heads = shape.kv_heads,
                            .key_stride = shape.key_width,
                            .value_stride = shape.one_stream ? shape.key_width : shape.value_width,
                            .scale = 0.1f,
                            .sequences = sequences,
                            .out = Tensor::dense(out.data(), rows, shape.heads, shape.value_width)});
    benchmark::ClobberMemory();
    layer = (layer + 1) % layers;
  }
  const double pairs =
      static_cast<double>(rows) * (static_cast<double>(load.depth) + static_cast<double>(load.rows + 1) / 2);
  set_counters(state, static_cast<double>(keys.layer_bytes + (values ? values->layer_bytes : 0)),
               2 * pairs * static_cast<double>(shape.heads * (shape.key_width + shape.value_width)));
}

}  // namespace

void add_attend() {
  const auto add = [](const Shape& shape, const Load& load) {
    const std::string name = std::string(shape.name) + '/' + std::string(cadre::name(load.dtype)) +
                             "/depth:" + std::to_string(load.depth) + "/rows:" + std::to_string(load.rows) +
                             "/sequences:" + std::to_string(load.sequences);
    benchmark::RegisterBenchmark(name.c_str(),
                                 [&shape, load](benchmark::State& state) { attend(state, shape, load); })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  };
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
    for (const int64_t depth : {0, 63, 512, 4096, 16384}) add(kMla, {.dtype = dtype, .depth = depth});
    for (const int64_t depth : {512, 4096}) {
      add(kMla, {.dtype = dtype, .depth = depth, .sequences = 16});
      add(kGqa, {.dtype = dtype, .depth = depth});
      add(kMla, {.dtype = dtype, .depth = depth, .rows = 128});
      add(kGqa, {.dtype = dtype, .depth = depth, .rows = 128});
    }
    add(kMla, {.dtype = dtype, .rows = 512});
  }
  add(kExplicit, {.dtype = DType::kF32, .rows = 512});
}

}  // namespace cadre::kernel_bench
