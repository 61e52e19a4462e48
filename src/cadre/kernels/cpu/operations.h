#pragma once
/// The operations of the CPU back end: how each is cut into tasks. Arguments as in kernels/backend.h.

#include "cadre/kernels/cpu/context.h"

namespace cadre::cpu {

void matmul(CpuContext& ctx, const Matmul& args);
void head_matmul(CpuContext& ctx, const HeadMatmul& args);
void expert_ffn(CpuContext& ctx, const ExpertFfn& args);
void attend(CpuContext& ctx, const Attend& args);
void embed(CpuContext& ctx, const Embed& args);
void rms_norm(CpuContext& ctx, const RmsNorm& args);
void rope(CpuContext& ctx, const Rope& args);
void swiglu(CpuContext& ctx, const Swiglu& args);
void relu(CpuContext& ctx, const Relu& args);
void add(CpuContext& ctx, const Add& args);
void copy(CpuContext& ctx, const Copy& args);
void kv_write(CpuContext& ctx, const KvWrite& args);
void kv_read(CpuContext& ctx, const KvRead& args);

/// y[t] = or += the sum over the assignments a of row t, ascending, of weights[a] * outputs[a].
struct SumAssignments {
  std::span<const int32_t> rows;   ///< [A]
  std::span<const float> weights;  ///< [A]; empty: 1 each
  Tensor outputs;                  ///< [A, d]
  Tensor y;
  bool add = false;
};
void sum_assignments(CpuContext& ctx, const SumAssignments& args);

/// Calls body(begin, end, worker) on pieces of [0, rows) of about equal size; in one piece on this thread
/// where the whole touches so few floats that waking others would cost more.
void for_rows(CpuContext& ctx, int64_t rows, int64_t floats_per_row,
              FunctionRef<void(int64_t begin, int64_t end, Worker& worker)> body);

}  // namespace cadre::cpu
