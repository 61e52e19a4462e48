#pragma once
/// Blocked products of f32 matrices in all three forms (a b, a b^T, a^T b), with rows gathered where a token
/// belongs to an expert. Both sides of a block are first packed as the tile reads them, which is what the
/// forms differ in.

#include <array>
#include <span>

#include "cadre/kernels/cpu/context.h"

namespace cadre::cpu {

/// One side of a product: lines of k elements, the rows of a or the columns of b.
struct GemmSide {
  const float* data = nullptr;
  int64_t stride = 0;
  bool along = true;              ///< a line lies along a row of memory; otherwise down a column
  const int32_t* rows = nullptr;  ///< which rows of memory, in order; null: all

  const float* row(int64_t r) const { return data + (rows == nullptr ? r : rows[r]) * stride; }
};

struct GemmTerm {
  GemmSide a;
  GemmSide b;
  int64_t k = 0;
};

/// c = sum of the terms' products, or c += that, of both sides rounded to bf16 if `compute` is kBF16.
/// c: [m, n]
struct GemmJob {
  std::array<GemmTerm, 2> terms;
  int terms_count = 1;
  float* c = nullptr;
  int64_t c_stride = 0;
  int64_t m = 0;
  int64_t n = 0;
  bool add = true;
  Compute compute = Compute::kF32;
};

/// All jobs, on all threads; each writes its own c.
void run_gemms(CpuContext& ctx, std::span<const GemmJob> jobs);

/// One job on this thread.
void gemm_alone(const CpuTable& table, const GemmJob& job, Worker& worker);

/// The lines of a tensor of one head, along or across its rows.
inline GemmSide along_rows(const Tensor& x) { return {x.data, x.row_stride, true, nullptr}; }
inline GemmSide across_rows(const Tensor& x) { return {x.data, x.row_stride, false, nullptr}; }

/// c = or += a b over k elements.
inline GemmJob product(const GemmSide& a, const GemmSide& b, int64_t k, const Tensor& c, bool add,
                       Compute compute = Compute::kF32) {
  GemmJob job{
      .c = c.data, .c_stride = c.row_stride, .m = c.rows, .n = c.width, .add = add, .compute = compute};
  job.terms[0] = {a, b, k};
  return job;
}

}  // namespace cadre::cpu
