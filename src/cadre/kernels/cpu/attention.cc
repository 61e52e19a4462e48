#include <algorithm>
#include <cstring>
#include <limits>

#include "cadre/kernels/cpu/cache.h"
#include "cadre/kernels/cpu/operations.h"
#include "cadre/kernels/cpu/products.h"

namespace cadre::cpu {
namespace {

/// Queries (rows times heads) of a task: with keys of 576 channels their packed form, a block of 64 keys and
/// values, and the sums of 512 channels take 0.5 MiB, which a second-level cache holds.
constexpr int64_t kQueriesPerTask = 64;
constexpr int64_t kMaxTile = 16;

/// A block of keys as a task sees it.
struct KeyBlock {
  int64_t first = 0;  ///< position of its first key
  int64_t count = 0;  ///< keys that some query of the task may see
};

/// One task at work: queries i = row * heads + head, all with the same KV head.
class TaskAttention {
 public:
  TaskAttention(const CpuTable& table, const Attend& args, const AttendTask& task, Worker& worker);

  void run();

 private:
  const float* query(int64_t i) const {
    return args_.q.at(task_.sequence->first_row + task_.first_row + i / task_.heads,
                      task_.first_head + i % task_.heads);
  }
  int64_t last_position() const { return task_.sequence->first_position + task_.first_row + task_.rows - 1; }
  /// The part of an entry that belongs to the task's KV head.
  const std::byte* at(const KvStream& stream, int64_t position, int64_t channel) const {
    return cache_entry(stream, task_.sequence->pages, position) +
           channel * (stream.dtype == DType::kF32 ? 4 : 2);
  }

  void pack_queries();
  void score_few(const KeyBlock& block);
  void score_many(const KeyBlock& block);
  void accumulate(const KeyBlock& block);
  void take_in(int64_t first_query, int64_t queries, int64_t keys, const void* values, int64_t values_stride,
               bool bf16);
  void store_results();

  const CpuTable& table_;
  const Attend& args_;
  const AttendTask& task_;
  Worker& worker_;
  int64_t queries_;
  int64_t page_;
  int64_t kv_head_;
  bool packed_;
  float* scores_;       ///< [queries, page]
  float* accumulator_;  ///< [queries, value width]
  float* maximum_;      ///< [queries]
  float* sum_;          ///< [queries]
  float* rescale_;      ///< [queries]
  float* packed_queries_ = nullptr;
};

TaskAttention::TaskAttention(const CpuTable& table, const Attend& args, const AttendTask& task,
                             Worker& worker)
    : table_(table),
      args_(args),
      task_(task),
      worker_(worker),
      queries_(task.rows * task.heads),
      page_(args.keys.page_tokens),
      kv_head_(task.first_head / (args.q.heads / args.kv_heads)),
      packed_(queries_ >= kPackedFromRows),
      scores_(worker.scores.floats(queries_ * page_)),
      accumulator_(worker.accumulator.floats(queries_ * args.out.width)),
      maximum_(worker.state.floats(3 * queries_)),
      sum_(maximum_ + queries_),
      rescale_(sum_ + queries_) {
  std::fill(accumulator_, accumulator_ + queries_ * args.out.width, 0.0f);
  std::fill(maximum_, maximum_ + queries_, -std::numeric_limits<float>::infinity());
  std::fill(sum_, sum_ + queries_, 0.0f);
}

void TaskAttention::run() {
  if (packed_) {
    pack_queries();
  } else {
    worker_.x_rows.resize(static_cast<size_t>(queries_));
    for (int64_t i = 0; i < queries_; ++i) worker_.x_rows[static_cast<size_t>(i)] = query(i);
  }
  const int64_t keys = last_position() + 1;
  for (int64_t first = 0; first < keys; first += page_) {
    const KeyBlock block{first, std::min(page_, keys - first)};
    packed_ ? score_many(block) : score_few(block);
    accumulate(block);
  }
  store_results();
}

void TaskAttention::pack_queries() {
  const int64_t tile = table_.x_tile, width = args_.q.width;
  const int64_t tile_floats = ceil_div(width, 16) * 16 * tile;
  packed_queries_ = worker_.queries.floats(ceil_div(queries_, tile) * tile_floats);
  const void* rows[kMaxTile];
  for (int64_t i = 0; i < queries_; i += tile) {
    const int64_t present = std::min(tile, queries_ - i);
    for (int64_t r = 0; r < present; ++r) rows[r] = query(i + r);
    table_.pack_f32({.rows = rows,
                     .count = present,
                     .tile = tile,
                     .k = width,
                     .out = packed_queries_ + i / tile * tile_floats});
  }
}

/// Scores of few queries, the keys read where they lie.
void TaskAttention::score_few(const KeyBlock& block) {
  const bool bf16 = args_.keys.dtype == DType::kBF16;
  (bf16 ? table_.dot_rows_bf16
        : table_.dot_rows_f32)({.x = worker_.x_rows.data(),
                                .x_rows = queries_,
                                .w = at(args_.keys, block.first, kv_head_ * args_.key_stride),
                                .w_stride = entry_bytes(args_.keys),
                                .w_rows = block.count,
                                .k = args_.q.width,
                                .y = scores_,
                                .y_stride = page_});
}

/// Scores of many queries, each tile of keys packed first.
void TaskAttention::score_many(const KeyBlock& block) {
  const int64_t x_tile = table_.x_tile, w_tile = table_.w_tile, width = args_.q.width;
  const int64_t steps = ceil_div(width, 16);
  const bool bf16 = args_.keys.dtype == DType::kBF16;
  float* packed_keys = worker_.packed_w.floats(steps * w_tile * 16);
  const void* rows[kMaxTile];
  for (int64_t j = 0; j < block.count; j += w_tile) {
    const int64_t present = std::min(w_tile, block.count - j);
    for (int64_t r = 0; r < present; ++r)
      rows[r] = at(args_.keys, block.first + j + r, kv_head_ * args_.key_stride);
    (bf16 ? table_.pack_bf16 : table_.pack_f32)(
        {.rows = rows, .count = present, .tile = w_tile, .k = width, .out = packed_keys});
    for (int64_t i = 0; i < queries_; i += x_tile)
      table_.tile_product({.x = packed_queries_ + i * steps * 16,
                           .w = packed_keys,
                           .steps = steps,
                           .first = true,
                           .last = true,
                           .partial = nullptr,
                           .y = scores_ + i * page_ + j,
                           .y_stride = page_,
                           .rows = std::min(x_tile, queries_ - i),
                           .cols = present});
  }
}

/// Takes a block into the running softmax and the weighted sum of values. A row sees the keys up to its own
/// position only, and one that sees none of the block is left as it is.
void TaskAttention::accumulate(const KeyBlock& block) {
  const void* values = at(args_.values, block.first, kv_head_ * args_.value_stride);
  int64_t stride = entry_bytes(args_.values);
  bool bf16 = args_.values.dtype == DType::kBF16;
  if (packed_) {  // many queries read them: widen once, and bring rows together that lie a power of two apart
    const int64_t width = args_.out.width;
    float* dense = worker_.values.floats(block.count * width);
    for (int64_t j = 0; j < block.count; ++j) {
      const std::byte* row = static_cast<const std::byte*>(values) + j * stride;
      if (bf16)
        table_.decode_bf16(row, dense + j * width, width);
      else
        std::memcpy(dense + j * width, row, static_cast<size_t>(width) * sizeof(float));
    }
    values = dense;
    stride = width * static_cast<int64_t>(sizeof(float));
    bf16 = false;
  }
  const int64_t first_position = task_.sequence->first_position + task_.first_row;
  if (first_position >= block.first + block.count - 1)  // no query's own position cuts the block
    return take_in(0, queries_, block.count, values, stride, bf16);
  for (int64_t row = 0; row < task_.rows; ++row) {
    const int64_t visible = std::clamp<int64_t>(first_position + row + 1 - block.first, 0, block.count);
    if (visible > 0) take_in(row * task_.heads, task_.heads, visible, values, stride, bf16);
  }
}

void TaskAttention::take_in(int64_t first_query, int64_t queries, int64_t keys, const void* values,
                            int64_t values_stride, bool bf16) {
  for (int64_t i = first_query; i < first_query + queries; ++i)
    rescale_[i] = table_.softmax_block({.scores = scores_ + i * page_,
                                        .count = keys,
                                        .scale = args_.scale,
                                        .maximum = maximum_ + i,
                                        .sum = sum_ + i});
  (bf16 ? table_.column_product_bf16
        : table_.column_product_f32)({.p = scores_ + first_query * page_,
                                      .p_stride = page_,
                                      .rows = queries,
                                      .count = keys,
                                      .v = values,
                                      .v_stride = values_stride,
                                      .width = args_.out.width,
                                      .y = accumulator_ + first_query * args_.out.width,
                                      .y_stride = args_.out.width,
                                      .rescale = rescale_ + first_query});
}

void TaskAttention::store_results() {
  const int64_t width = args_.out.width;
  for (int64_t i = 0; i < queries_; ++i) {
    float* out = args_.out.at(task_.sequence->first_row + task_.first_row + i / task_.heads,
                              task_.first_head + i % task_.heads);
    table_.divide_row(accumulator_ + i * width, sum_[i], out, width);
  }
}

/// Cuts one sequence so that a task has up to kQueriesPerTask queries, and at most `most`, a worker's share.
void list_tasks(const Attend& args, const SequenceRows& sequence, int64_t most,
                std::vector<AttendTask>& tasks) {
  const int64_t sharing = args.q.heads / args.kv_heads;  // heads with one KV head
  const int64_t heads = std::min(sharing, most);
  const int64_t rows = std::max<int64_t>(most / heads, 1);
  // Last rows first: they see the most keys, and a long task is better begun early.
  for (int64_t row = (sequence.rows - 1) / rows * rows; row >= 0; row -= rows)
    for (int64_t kv_head = 0; kv_head < args.kv_heads; ++kv_head)
      for (int64_t head = 0; head < sharing; head += heads)
        tasks.push_back({.sequence = &sequence,
                         .first_row = row,
                         .rows = std::min(rows, sequence.rows - row),
                         .first_head = kv_head * sharing + head,
                         .heads = std::min(heads, sharing - head)});
}

}  // namespace

void attend(CpuContext& ctx, const Attend& args) {
  if (args.q.heads == 0) return;
  int64_t queries = 0, multiply_adds = 0;
  for (const SequenceRows& sequence : args.sequences) {
    queries += sequence.rows * args.q.heads;
    multiply_adds += sequence.rows * args.q.heads * (sequence.first_position + sequence.rows) *
                     (args.q.width + args.out.width);
  }
  const int64_t share = std::clamp<int64_t>(ceil_div(queries, ctx.pool.size()), 1, kQueriesPerTask);
  std::vector<AttendTask>& tasks = ctx.attend_tasks;
  tasks.clear();
  for (const SequenceRows& sequence : args.sequences)
    if (sequence.rows > 0) list_tasks(args, sequence, share, tasks);
  ctx.run(static_cast<int64_t>(tasks.size()), multiply_adds, [&](int64_t task, int worker) {
    TaskAttention(ctx.table, args, tasks[static_cast<size_t>(task)], ctx.worker(worker)).run();
  });
}

}  // namespace cadre::cpu
