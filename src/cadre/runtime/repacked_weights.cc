#include "cadre/runtime/repacked_weights.h"

#include <algorithm>
#include <chrono>

#include "cadre/base/thread_pool.h"
#include "cadre/base/units.h"
#include "cadre/formats/layout.h"
#include "cadre/tensor/repack.h"

namespace cadre {
namespace {

constexpr int64_t kTaskBytes = int64_t{1} << 20;
constexpr int64_t kAlignment = 4096;

/// Blocks [first, first + count) of a matrix.
struct Task {
  const Weight* source = nullptr;
  std::byte* out = nullptr;  ///< the first of them
  int64_t first = 0;
  int64_t count = 0;
};

int64_t packed_bytes(const Weight& weight) {
  return packed_blocks(weight.rows) * packed_block_bytes(*packed_twin(weight.dtype), weight.cols);
}

void run_task(const Task& task) {
  const Weight& source = *task.source;
  const DType type = *packed_twin(source.dtype);
  const int64_t begin = task.first * kPackedRows;
  const int64_t end = std::min(source.rows, begin + task.count * kPackedRows);
  std::byte* out = task.out;
  for (int64_t first = begin; first < end; first += kPackedRows) {
    const std::byte* rows[kPackedRows];
    const int64_t count = std::min(kPackedRows, end - first);
    for (int64_t i = 0; i < count; ++i) rows[i] = source.row(first + i);
    pack_rows(type, std::span(rows, static_cast<size_t>(count)), source.cols, out);
    out += packed_block_bytes(type, source.cols);
  }
  release_pages({source.row(begin), static_cast<size_t>((end - begin) * source.row_bytes)});
}

}  // namespace

bool RepackedWeights::can_repack(const Weight& weight, int64_t slice_rows) {
  return packed_twin(weight.dtype).has_value() && slice_rows % kPackedRows == 0;
}

Result<RepackedWeights> RepackedWeights::make(const std::vector<Weight*>& weights, int threads) {
  const auto start = std::chrono::steady_clock::now();
  int64_t total = 0;
  for (const Weight* weight : weights) total += align_up(packed_bytes(*weight), kAlignment);
  if (const int64_t memory = physical_memory_bytes(); total > memory)
    return fail(
        ErrorKind::kTooLarge,
        "{} of weights to repack exceed this machine's {} of memory; --repack off reads them where they "
        "are mapped",
        format_bytes(static_cast<double>(total)), format_bytes(static_cast<double>(memory)));
  RepackedWeights result;
  CADRE_TRY(result.memory_, AnonymousMemory::reserve(total));

  std::vector<Weight> sources;
  sources.reserve(weights.size());
  for (const Weight* weight : weights) sources.push_back(*weight);
  std::vector<Task> tasks;
  std::byte* out = result.memory_.data();
  for (size_t i = 0; i < weights.size(); ++i) {
    const Weight& source = sources[i];
    const DType type = *packed_twin(source.dtype);
    const int64_t block_bytes = packed_block_bytes(type, source.cols);
    const int64_t blocks = packed_blocks(source.rows);
    const int64_t at_once = std::max<int64_t>(1, kTaskBytes / block_bytes);
    for (int64_t first = 0; first < blocks; first += at_once)
      tasks.push_back({&source, out + first * block_bytes, first, std::min(at_once, blocks - first)});
    weights[i]->data = out;
    weights[i]->dtype = type;
    weights[i]->row_bytes = row_bytes(type, source.cols);
    out += align_up(blocks * block_bytes, kAlignment);
  }
  ThreadPool pool(threads);
  pool.run(static_cast<int64_t>(tasks.size()),
           [&](int64_t task, int) { run_task(tasks[static_cast<size_t>(task)]); });
  result.seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace cadre
