#include "cadre/kernels/cpu/gemm.h"

#include <algorithm>

#include "cadre/kernels/gradients.h"

namespace cadre::cpu {
namespace {

/// A task's block of c. Multiples of every tile (14 x 32, 6 x 16, 4 x 16). Packed, the sides of kGemmBlock
/// elements take 172 KB and 524 KB: L2 holds both, and a packed element serves 253 multiply-adds.
constexpr int64_t kBlockRows = 168;
constexpr int64_t kBlockColumns = 512;

/// Lines [first, first + count), elements [k, k + width), rounded as `compute` says -> [panels][width][tile]
void pack(const CpuTable& table, const GemmSide& side, int64_t first, int64_t count, int64_t k, int64_t width,
          int64_t tile, Compute compute, float* out) {
  for (int64_t line = 0; line < count; line += tile, out += width * tile) {
    const int64_t lines = std::min(tile, count - line);
    const float* rows[kGemmBlock];
    const int64_t rows_count = side.along ? lines : width;
    for (int64_t i = 0; i < rows_count; ++i)
      rows[i] = side.along ? side.row(first + line + i) + k : side.row(k + i) + first + line;
    const GemmPack args{.rows = rows, .count = lines, .tile = tile, .k = width, .out = out};
    if (side.along)
      table.gemm_pack_along(args);
    else
      table.gemm_pack_across(args);
    // What was written beyond the panel is overwritten by the next.
    if (compute == Compute::kBF16) table.round_to_bf16_row(out, out, width * tile);
  }
}

void gemm_block(const CpuTable& table, const GemmJob& job, int64_t row, int64_t column, Worker& worker) {
  const int64_t m = std::min(kBlockRows, job.m - row);
  const int64_t n = std::min(kBlockColumns, job.n - column);
  const int64_t mr = table.gemm_rows;
  const int64_t nr = table.gemm_columns;
  // What gemm_pack writes beyond the end.
  constexpr int64_t kSlack = 16;
  float* a = worker.gemm_a.floats(ceil_div(m, mr) * mr * kGemmBlock + kSlack);
  float* b = worker.gemm_b.floats(ceil_div(n, nr) * nr * kGemmBlock + kSlack);
  bool add = job.add;
  for (int t = 0; t < job.terms_count; ++t) {
    const GemmTerm& term = job.terms[static_cast<size_t>(t)];
    // A product over nothing is zero, and must be written.
    for (int64_t k = 0; k == 0 || k < term.k; k += kGemmBlock) {
      const int64_t width = std::min(kGemmBlock, term.k - k);
      pack(table, term.a, row, m, k, width, mr, job.compute, a);
      pack(table, term.b, column, n, k, width, nr, job.compute, b);
      for (int64_t j = 0; j < n; j += nr)
        for (int64_t i = 0; i < m; i += mr)
          table.gemm_tile({.a = a + i * width,
                           .b = b + j * width,
                           .k = width,
                           .c = job.c + (row + i) * job.c_stride + column + j,
                           .c_stride = job.c_stride,
                           .rows = std::min(mr, m - i),
                           .columns = std::min(nr, n - j),
                           .add = add});
      add = true;
    }
  }
}

}  // namespace

void gemm_alone(const CpuTable& table, const GemmJob& job, Worker& worker) {
  for (int64_t column = 0; column < job.n; column += kBlockColumns)
    for (int64_t row = 0; row < job.m; row += kBlockRows) gemm_block(table, job, row, column, worker);
}

void run_gemms(CpuContext& ctx, std::span<const GemmJob> jobs) {
  std::vector<GemmTask>& tasks = ctx.gemm_tasks;
  tasks.clear();
  int64_t multiply_adds = 0;
  for (size_t j = 0; j < jobs.size(); ++j) {
    const GemmJob& job = jobs[j];
    for (int t = 0; t < job.terms_count; ++t)
      multiply_adds += job.m * job.n * job.terms[static_cast<size_t>(t)].k;
    for (int64_t row = 0; row < job.m; row += kBlockRows)
      for (int64_t column = 0; column < job.n; column += kBlockColumns)
        tasks.push_back({static_cast<int32_t>(j), row, column});
  }
  ctx.run(static_cast<int64_t>(tasks.size()), multiply_adds, [&](int64_t task, int worker) {
    const GemmTask& block = tasks[static_cast<size_t>(task)];
    gemm_block(ctx.table, jobs[static_cast<size_t>(block.job)], block.row, block.column, ctx.worker(worker));
  });
}

}  // namespace cadre::cpu
