#include <algorithm>

#include "cadre/kernels/cpu/attention_task.h"
#include "cadre/kernels/cpu/operations.h"

namespace cadre::cpu {
namespace {

/// Queries (rows times heads) of a task: with keys of 576 channels their packed form, a block of 64 keys and
/// values, and the sums of 512 channels take 0.5 MiB, which a second-level cache holds.
constexpr int64_t kQueriesPerTask = 64;
/// Tasks to a thread from which on the chunks of a task stay with it.
constexpr int64_t kTasksPerThread = 4;
/// Bound on the memory of partial softmaxes: 64 MiB.
constexpr int64_t kPartialFloats = int64_t{16} << 20;

int64_t chunks_of(const Attend& args, const AttendTask& task) {
  return (task.sequence->first_position + task.first_row + task.rows - 1) / chunk_keys(args) + 1;
}

/// Cuts one sequence so that a task has up to `most` queries.
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

void list_tasks(const Attend& args, int64_t most, std::vector<AttendTask>& tasks) {
  tasks.clear();
  for (const SequenceRows& sequence : args.sequences)
    if (sequence.rows > 0) list_tasks(args, sequence, most, tasks);
}

/// (Task, chunk) pairs, all that may be computed apart.
int64_t count_pieces(const Attend& args, const std::vector<AttendTask>& tasks) {
  int64_t pieces = 0;
  for (const AttendTask& task : tasks) pieces += chunks_of(args, task);
  return pieces;
}

/// Each chunk of each task apart, its softmax kept, then all of them merged: for few rows with many keys.
void attend_pieces(CpuContext& ctx, const Attend& args, int64_t multiply_adds) {
  const std::vector<AttendTask>& tasks = ctx.attend_tasks;
  std::vector<AttendPiece>& pieces = ctx.attend_pieces;
  pieces.clear();
  int64_t rows = 0, queries = 0;
  for (size_t t = 0; t < tasks.size(); ++t) {
    const int64_t task_queries = tasks[t].rows * tasks[t].heads;
    for (int64_t chunk = 0; chunk < chunks_of(args, tasks[t]); ++chunk, rows += task_queries)
      pieces.push_back({.task = static_cast<int32_t>(t), .chunk = chunk, .first_row = rows});
    queries += task_queries;
  }
  const int64_t width = softmax_width(args);
  const SoftmaxRows partial{ctx.attend_partial.floats(rows * SoftmaxRows::stride(width)), width};
  ctx.run(static_cast<int64_t>(pieces.size()), multiply_adds, [&](int64_t i, int worker) {
    const AttendPiece& piece = pieces[static_cast<size_t>(i)];
    attend_chunk(ctx.table, args, tasks[static_cast<size_t>(piece.task)], piece.chunk,
                 {partial.values(piece.first_row), width}, ctx.worker(worker));
  });

  std::vector<AttendQuery>& merges = ctx.attend_queries;
  merges.clear();
  for (const AttendPiece& piece : pieces) {
    if (piece.chunk > 0) continue;
    const AttendTask& task = tasks[static_cast<size_t>(piece.task)];
    for (int64_t i = 0; i < task.rows * task.heads; ++i)
      merges.push_back({.task = piece.task, .query = i, .first_row = piece.first_row + i});
  }
  ctx.run(queries, rows * width, [&](int64_t m, int) {
    const AttendQuery& merge = merges[static_cast<size_t>(m)];
    const AttendTask& task = tasks[static_cast<size_t>(merge.task)];
    const int64_t position = task.sequence->first_position + task.first_row + merge.query / task.heads;
    for (int64_t chunk = 1; chunk <= position / chunk_keys(args); ++chunk)
      merge_softmax(ctx.table, partial, merge.first_row, partial,
                    merge.first_row + chunk * task.rows * task.heads);
    store_query(ctx.table, args, task, merge.query, partial, merge.first_row);
  });
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
  const int64_t threads = ctx.pool.size();
  std::vector<AttendTask>& tasks = ctx.attend_tasks;
  list_tasks(args, kQueriesPerTask, tasks);
  int64_t pieces = count_pieces(args, tasks);
  // Too few pieces to go round, or so few that a short last chunk leaves threads idle: fewer queries to each,
  // though the same keys are then read more often.
  if (pieces > 0 && pieces < 2 * threads && threads > 1) {
    const int64_t cuts = std::max<int64_t>(ceil_div(threads, pieces), pieces > 1 ? 2 : 1);
    const int64_t most = ceil_div(ceil_div(queries, static_cast<int64_t>(tasks.size())), cuts);
    list_tasks(args, std::clamp<int64_t>(most, 1, kQueriesPerTask), tasks);
    pieces = count_pieces(args, tasks);
  }
  const auto count = static_cast<int64_t>(tasks.size());
  const int64_t partial_floats = pieces * kQueriesPerTask * SoftmaxRows::stride(softmax_width(args));
  if (pieces > count && count < kTasksPerThread * threads && threads > 1 && partial_floats <= kPartialFloats)
    return attend_pieces(ctx, args, multiply_adds);
  ctx.run(count, multiply_adds, [&](int64_t task, int worker) {
    attend_all(ctx.table, args, tasks[static_cast<size_t>(task)], ctx.worker(worker));
  });
}

}  // namespace cadre::cpu
