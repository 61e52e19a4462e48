#include "cadre/kernels/cpu/attention_task.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "cadre/kernels/cpu/products.h"

namespace cadre::cpu {
namespace {

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

  int64_t chunks() const { return last_position() / chunk_keys(args_) + 1; }
  void run_chunk(int64_t chunk, const SoftmaxRows& state);
  /// Queries from this one on see a key of the chunk.
  int64_t first_query(int64_t chunk) const {
    return std::max<int64_t>(0, chunk * chunk_keys(args_) - first_position_) * task_.heads;
  }
  int64_t queries() const { return queries_; }

 private:
  const float* query(int64_t i) const {
    return args_.q.at(task_.sequence->first_row + task_.first_row + i / task_.heads,
                      task_.first_head + i % task_.heads);
  }
  int64_t last_position() const { return first_position_ + task_.rows - 1; }
  /// The part of an entry that belongs to the task's KV head.
  const std::byte* at(const KvStream& stream, int64_t position, int64_t channel) const {
    return cache_entry(stream, task_.sequence->pages, position) +
           channel * (stream.dtype == DType::kF32 ? 4 : 2);
  }
  const std::byte* part(const KvStream& stream, const KvQuantisedPart& layout, int64_t position) const {
    return cache_part(stream, layout, task_.sequence->pages, position, kv_head_);
  }

  void pack_queries();
  void code_queries();
  void score_few(const KeyBlock& block);
  void score_many(const KeyBlock& block);
  void score_coded(const KeyBlock& block);
  void load_values(const KeyBlock& block);
  void accumulate(const KeyBlock& block, const SoftmaxRows& state);
  void take_in(int64_t first_query, int64_t queries, const KeyBlock& block, int64_t keys,
               const SoftmaxRows& state);
  void add_coded(int64_t first_query, int64_t queries, const KeyBlock& block, int64_t keys,
                 const SoftmaxRows& state);

  const CpuTable& table_;
  const Attend& args_;
  const AttendTask& task_;
  Worker& worker_;
  int64_t queries_;
  int64_t page_;
  int64_t kv_head_;
  int64_t first_position_;
  bool coded_;
  bool packed_;
  float* scores_;   ///< [queries, page]
  float* rescale_;  ///< [queries]
  float* packed_queries_ = nullptr;
  // The block's values: as they lie, widened, or transposed codes.
  const void* values_ = nullptr;
  int64_t values_stride_ = 0;
  bool values_bf16_ = false;
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
      first_position_(task.sequence->first_position + task.first_row),
      coded_(args.keys.dtype == DType::kI8),
      packed_(queries_ >= kPackedFromRows),
      scores_(worker.scores.floats(queries_ * page_)),
      rescale_(worker.state.floats(queries_)) {
  if (coded_) {
    code_queries();
  } else if (packed_) {
    pack_queries();
  } else {
    worker_.x_rows.resize(static_cast<size_t>(queries_));
    for (int64_t i = 0; i < queries_; ++i) worker_.x_rows[static_cast<size_t>(i)] = query(i);
  }
}

void TaskAttention::run_chunk(int64_t chunk, const SoftmaxRows& state) {
  for (int64_t i = first_query(chunk); i < queries_; ++i) {
    std::fill(state.values(i), state.values(i) + state.width, 0.0f);
    *state.maximum(i) = -std::numeric_limits<float>::infinity();
    *state.sum(i) = 0;
  }
  const int64_t end = std::min((chunk + 1) * chunk_keys(args_), last_position() + 1);
  for (int64_t first = chunk * chunk_keys(args_); first < end; first += page_) {
    const KeyBlock block{first, std::min(page_, end - first)};
    if (coded_)
      score_coded(block);
    else
      packed_ ? score_many(block) : score_few(block);
    load_values(block);
    accumulate(block, state);
  }
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

void TaskAttention::code_queries() {
  const KvQuantisedPart layout(args_.keys);
  const int64_t code_floats = layout.channels / 4;
  float* codes = worker_.queries.floats(queries_ * (code_floats + 2 * layout.groups));
  float* scales = codes + queries_ * code_floats;
  auto* sums = reinterpret_cast<int32_t*>(scales + queries_ * layout.groups);
  worker_.coded_queries.resize(static_cast<size_t>(queries_));
  for (int64_t i = 0; i < queries_; ++i) {
    auto* query_codes = reinterpret_cast<int8_t*>(codes + i * code_floats);
    for (int64_t g = 0; g < layout.groups; ++g)
      table_.code_group({.x = query(i) + g * kKvGroup,
                         .count = std::min(kKvGroup, layout.coded - g * kKvGroup),
                         .codes = query_codes + g * kKvGroup,
                         .scale = scales + i * layout.groups + g,
                         .sum = sums + i * layout.groups + g});
    worker_.coded_queries[static_cast<size_t>(i)] = {.codes = query_codes,
                                                     .scales = scales + i * layout.groups,
                                                     .sums = sums + i * layout.groups,
                                                     .plain = query(i) + layout.coded};
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

void TaskAttention::score_coded(const KeyBlock& block) {
  const KvQuantisedPart layout(args_.keys);
  const std::byte* keys = part(args_.keys, layout, block.first);
  const std::byte* next =
      block.first + page_ <= last_position() ? part(args_.keys, layout, block.first + page_) : nullptr;
  table_.coded_scores({.queries = worker_.coded_queries.data(),
                       .count = queries_,
                       .channels = layout.channels,
                       .plain = args_.keys.plain,
                       .page_tokens = page_,
                       .keys = block.count,
                       .key_codes = reinterpret_cast<const uint8_t*>(keys),
                       .key_scales = reinterpret_cast<const float*>(keys + layout.scales_offset),
                       .key_plain = keys + layout.plain_offset,
                       .next = reinterpret_cast<const uint8_t*>(next),
                       .next_bytes = next != nullptr ? layout.bytes : 0,
                       .y = scores_,
                       .y_stride = page_});
}

/// Makes the block's values readable. Where many queries read them they are widened once, which also brings
/// rows together that lie a power of two apart; codes are transposed to quads of entries.
void TaskAttention::load_values(const KeyBlock& block) {
  const KvStream& stream = args_.values;
  const int64_t width = args_.out.width;
  if (coded_) {
    const int64_t channels = softmax_width(args_);
    auto* codes = reinterpret_cast<int8_t*>(worker_.values.floats(page_ * channels / 4));
    table_.transpose_codes(
        {.codes = reinterpret_cast<const uint8_t*>(part(stream, KvQuantisedPart(stream), block.first)),
         .channels = channels,
         .page_tokens = page_,
         .keys = block.count,
         .out = codes});
    values_ = codes;
    return;
  }
  const std::byte* source = at(stream, block.first, kv_head_ * args_.value_stride);
  values_ = source;
  values_stride_ = entry_bytes(stream);
  values_bf16_ = stream.dtype == DType::kBF16;
  if (!packed_) return;
  float* dense = worker_.values.floats(block.count * width);
  for (int64_t j = 0; j < block.count; ++j) {
    const std::byte* row = source + j * values_stride_;
    if (values_bf16_)
      table_.decode_bf16(row, dense + j * width, width);
    else
      std::memcpy(dense + j * width, row, static_cast<size_t>(width) * sizeof(float));
  }
  values_ = dense;
  values_stride_ = width * static_cast<int64_t>(sizeof(float));
  values_bf16_ = false;
}

/// Takes a block into the running softmax and the weighted sum of values. A row sees the keys up to its own
/// position only, and one that sees none of the block is left as it is.
void TaskAttention::accumulate(const KeyBlock& block, const SoftmaxRows& state) {
  if (first_position_ >= block.first + block.count - 1)  // no query's own position cuts the block
    return take_in(0, queries_, block, block.count, state);
  for (int64_t row = 0; row < task_.rows; ++row) {
    const int64_t visible = std::clamp<int64_t>(first_position_ + row + 1 - block.first, 0, block.count);
    if (visible > 0) take_in(row * task_.heads, task_.heads, block, visible, state);
  }
}

void TaskAttention::take_in(int64_t first_query, int64_t queries, const KeyBlock& block, int64_t keys,
                            const SoftmaxRows& state) {
  for (int64_t i = first_query; i < first_query + queries; ++i)
    rescale_[i] = table_.softmax_block({.scores = scores_ + i * page_,
                                        .count = keys,
                                        .scale = args_.scale,
                                        .maximum = state.maximum(i),
                                        .sum = state.sum(i)});
  if (coded_) return add_coded(first_query, queries, block, keys, state);
  (values_bf16_ ? table_.column_product_bf16
                : table_.column_product_f32)({.p = scores_ + first_query * page_,
                                              .p_stride = page_,
                                              .rows = queries,
                                              .count = keys,
                                              .v = values_,
                                              .v_stride = values_stride_,
                                              .width = args_.out.width,
                                              .y = state.values(first_query),
                                              .y_stride = SoftmaxRows::stride(state.width),
                                              .rescale = rescale_ + first_query});
}

void TaskAttention::add_coded(int64_t first_query, int64_t queries, const KeyBlock& block, int64_t keys,
                              const SoftmaxRows& state) {
  const KvQuantisedPart layout(args_.values);
  const int64_t groups = ceil_div(state.width, kKvGroup);
  float* scales = worker_.weights.floats(queries * groups * (1 + page_ / 4));
  auto* codes = reinterpret_cast<int8_t*>(scales + queries * groups);
  const std::byte* value_scales = part(args_.values, layout, block.first) + layout.scales_offset;
  for (int64_t r = 0; r < queries; ++r)
    table_.coded_weights({.p = scores_ + (first_query + r) * page_,
                          .keys = keys,
                          .value_scales = reinterpret_cast<const float*>(value_scales),
                          .groups = groups,
                          .page_tokens = page_,
                          .u = codes + r * groups * page_,
                          .scales = scales + r * groups});
  table_.coded_values({.u = codes,
                       .scales = scales,
                       .rescale = rescale_ + first_query,
                       .rows = queries,
                       .codes = static_cast<const int8_t*>(values_),
                       .channels = state.width,
                       .groups = groups,
                       .page_tokens = page_,
                       .keys = keys,
                       .width = state.width,
                       .y = state.values(first_query),
                       .y_stride = SoftmaxRows::stride(state.width)});
}

}  // namespace

int64_t chunk_keys(const Attend& args) {
  return std::max<int64_t>(kKeysPerChunk / args.keys.page_tokens, 1) * args.keys.page_tokens;
}

void merge_softmax(const CpuTable& table, const SoftmaxRows& into, int64_t i, const SoftmaxRows& from,
                   int64_t j) {
  table.softmax_merge({.maximum = into.maximum(i),
                       .sum = into.sum(i),
                       .values = into.values(i),
                       .from_maximum = *from.maximum(j),
                       .from_sum = *from.sum(j),
                       .from_values = from.values(j),
                       .width = into.width});
}

void store_query(const CpuTable& table, const Attend& args, const AttendTask& task, int64_t i,
                 const SoftmaxRows& rows, int64_t row) {
  float* out = args.out.at(task.sequence->first_row + task.first_row + i / task.heads,
                           task.first_head + i % task.heads);
  table.divide_row(rows.values(row), *rows.sum(row), out, args.out.width);
}

void attend_all(const CpuTable& table, const Attend& args, const AttendTask& task, Worker& worker) {
  TaskAttention attention(table, args, task, worker);
  const int64_t queries = attention.queries(), width = softmax_width(args);
  const int64_t floats = queries * SoftmaxRows::stride(width);
  const bool many = attention.chunks() > 1;
  float* memory = worker.accumulator.floats(many ? 2 * floats : floats);
  const SoftmaxRows total{memory, width}, next{memory + floats, width};
  attention.run_chunk(0, total);
  for (int64_t chunk = 1; chunk < attention.chunks(); ++chunk) {
    attention.run_chunk(chunk, next);
    for (int64_t i = attention.first_query(chunk); i < queries; ++i) merge_softmax(table, total, i, next, i);
  }
  for (int64_t i = 0; i < queries; ++i) store_query(table, args, task, i, total, i);
}

void attend_chunk(const CpuTable& table, const Attend& args, const AttendTask& task, int64_t chunk,
                  const SoftmaxRows& partial, Worker& worker) {
  TaskAttention(table, args, task, worker).run_chunk(chunk, partial);
}

}  // namespace cadre::cpu
