#pragma once
/// What the operations of the CPU back end share: the inner loops, the threads, and their scratch memory.

#include <array>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "cadre/base/thread_pool.h"
#include "cadre/kernels/backend.h"
#include "cadre/kernels/cpu/table.h"
#include "cadre/tensor/packed.h"

namespace cadre::cpu {

/// Uninitialised floats on a cache-line boundary that grow and are never given back before the back end is,
/// so that a forward pass allocates only the first time.
class Scratch {
 public:
  float* floats(int64_t count) {
    if (count > capacity_) {
      data_.reset(new (std::align_val_t{64}) float[static_cast<size_t>(count)]);
      capacity_ = count;
    }
    return data_.get();
  }

 private:
  struct Delete {
    void operator()(float* p) const { ::operator delete[](p, std::align_val_t{64}); }
  };
  std::unique_ptr<float[], Delete> data_;
  int64_t capacity_ = 0;
};

/// The scratch of one worker; each member is used by one level of the call only.
struct Worker {
  std::vector<const float*> x_rows;
  Scratch decoded;   ///< weight rows as f32
  Scratch packed_w;  ///< a panel of weights, as PackRows lays it out
  Scratch packed_x;  ///< a tile of x
  Scratch partial;   ///< partial sums between blocks of the inner dimension
  Scratch up;        ///< expert_ffn: up projections of a panel
  Scratch queries;   ///< attend: packed queries
  Scratch scores;
  Scratch accumulator;
  Scratch values;
  Scratch state;    ///< attend: factor of each query
  Scratch weights;  ///< attend: softmax weights as codes
  std::vector<CodedQuery> coded_queries;
  Scratch gemm_a;  ///< training: packed sides of a block
  Scratch gemm_b;
  Scratch probabilities;  ///< training: attention of a block of rows
  Scratch dprobabilities;
};

/// A block of one product, a task of run_gemms: its first row and column.
struct GemmTask {
  int32_t job = 0;
  int64_t row = 0;
  int64_t column = 0;
};

/// A panel of one expert, a task of expert_ffn: outputs [first, first + width).
struct ExpertTask {
  int64_t group = 0;
  int64_t first = 0;
  int64_t width = 0;
};

/// The quantised inputs of one expert's products; unused where its weights are not packed.
struct ExpertInput {
  QuantisedRows x{};
  QuantisedRows hidden{};
};

/// Some rows and heads that share a KV head, a task of attend.
struct AttendTask {
  const SequenceRows* sequence = nullptr;
  int64_t first_row = 0;  ///< within the sequence
  int64_t rows = 0;
  int64_t first_head = 0;
  int64_t heads = 0;
};

/// One chunk of a task's keys, and where the softmaxes of its queries go.
struct AttendPiece {
  int32_t task = 0;
  int64_t chunk = 0;
  int64_t first_row = 0;
};

/// One query whose chunks are to be merged: row first_row and every (queries of the task) further.
struct AttendQuery {
  int32_t task = 0;
  int64_t query = 0;
  int64_t first_row = 0;
};

struct CpuContext {
  CpuTable table{};
  ThreadPool pool;
  std::vector<Worker> workers;
  Scratch rounded_x;
  Scratch quantised_x;
  Scratch gathered_x;        ///< expert_ffn: the quantised rows of each group, side by side
  Scratch quantised_hidden;  ///< expert_ffn: the quantised hidden rows of each group
  std::vector<const float*> x_rows;
  std::vector<ExpertTask> expert_tasks;
  std::vector<ExpertInput> expert_inputs;
  std::vector<int32_t> row_starts;  ///< expert_ffn: assignments by row, as offsets and a list
  std::vector<int32_t> row_assignments;
  std::vector<AttendTask> attend_tasks;
  std::vector<AttendPiece> attend_pieces;
  std::vector<AttendQuery> attend_queries;
  Scratch attend_partial;  ///< softmaxes of pieces
  std::vector<GemmTask> gemm_tasks;
  Scratch gain_partial;  ///< rms_norm_grad: sums of blocks of rows

  explicit CpuContext(int threads) : pool(threads), workers(static_cast<size_t>(pool.size())) {}
  Worker& worker(int index) { return workers[static_cast<size_t>(index)]; }

  /// Shares out tasks of `multiply_adds` in all; too few of them are done here, in the same pieces.
  void run(int64_t tasks, int64_t multiply_adds, FunctionRef<void(int64_t task, int worker)> body) {
    // Reading 32 K bf16 weights takes one thread about 4 microseconds, as long as another needs to join in.
    constexpr int64_t kAlone = 32 * 1024;
    if (multiply_adds >= kAlone) return pool.run(tasks, body);
    for (int64_t task = 0; task < tasks; ++task) body(task, 0);
  }
};

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace cadre::cpu
