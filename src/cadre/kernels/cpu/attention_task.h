#pragma once
/// Attention of some queries on one thread: what `attend` is cut into. A query is a row and a head; those of
/// a task share a KV head, so that each key is read and widened once for all of them.

#include "cadre/kernels/cpu/cache.h"
#include "cadre/kernels/cpu/context.h"

namespace cadre::cpu {

/// Running softmaxes, one to a query: `width` values, then maximum and sum.
struct SoftmaxRows {
  float* data = nullptr;
  int64_t width = 0;  ///< a multiple of 16

  /// Floats of one.
  static int64_t stride(int64_t width) { return width + 16; }
  float* values(int64_t i) const { return data + i * stride(width); }
  float* maximum(int64_t i) const { return values(i) + width; }
  float* sum(int64_t i) const { return values(i) + width + 1; }
};

/// Keys of a chunk: whole pages, at least one.
int64_t chunk_keys(const Attend& args);
inline int64_t softmax_width(const Attend& args) { return ceil_div(args.out.width, 16) * 16; }

/// Takes row j of `from` into row i of `into`.
void merge_softmax(const CpuTable& table, const SoftmaxRows& into, int64_t i, const SoftmaxRows& from,
                   int64_t j);
/// out = values / sum, for query i of `task`.
void store_query(const CpuTable& table, const Attend& args, const AttendTask& task, int64_t i,
                 const SoftmaxRows& rows, int64_t row);

/// All chunks of the task's keys, into args.out.
void attend_all(const CpuTable& table, const Attend& args, const AttendTask& task, Worker& worker);
/// One chunk, into `partial` [queries]. Rows of queries that see none of it are left unset.
void attend_chunk(const CpuTable& table, const Attend& args, const AttendTask& task, int64_t chunk,
                  const SoftmaxRows& partial, Worker& worker);

}  // namespace cadre::cpu
