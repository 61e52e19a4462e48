#include <algorithm>

#include "cadre/kernels/cpu/operations.h"
#include "cadre/kernels/cpu/packed.h"
#include "cadre/kernels/cpu/products.h"

namespace cadre::cpu {
namespace {

/// Weight rows of a panel that is packed: 96 rows of 2048 elements take 768 KiB, which most second-level
/// caches hold; a panel of half the size costs more passes over x than it saves.
constexpr int64_t kPackedPanel = 96;
/// Weights in a panel that is read in place: enough work to be worth a turn, little enough to share evenly.
constexpr int64_t kPanelElements = 64 * 1024;
/// Rows of x in a task of head_matmul.
constexpr int64_t kHeadRowBlock = 256;

/// Panels and row blocks that cover y without a worker waiting long for another.
struct Cut {
  int64_t panel;
  int64_t row_block;
};

Cut cut(const CpuContext& ctx, int64_t rows, const Weight& w) {
  const int64_t workers = ctx.pool.size();
  const int64_t tile = ctx.table.w_tile;
  if (rows < kPackedFromRows) {
    const int64_t even = ceil_div(w.rows, 4 * workers);
    const int64_t by_work = std::max<int64_t>(kPanelElements / std::max<int64_t>(w.cols, 1), 8);
    return {std::max<int64_t>(std::min(even, by_work), 8), rows};
  }
  const int64_t panel = std::min(kPackedPanel, ceil_div(ceil_div(w.rows, 4 * workers), tile) * tile);
  const int64_t panels = ceil_div(w.rows, std::max<int64_t>(panel, 1));
  // Few panels (a router, a latent projection): the rows are shared out too.
  const int64_t blocks = std::clamp<int64_t>(ceil_div(4 * workers, panels), 1, ceil_div(rows, 32));
  return {panel, panels >= 2 * workers ? rows : ceil_div(rows, blocks)};
}

/// Rows of w in a task of a packed product: with few rows of x enough bytes to be worth a turn, always few
/// enough for all workers to have some.
int64_t packed_panel(const CpuContext& ctx, const Weight& w) {
  constexpr int64_t kPanelBytes = 512 * 1024;
  const int64_t even = ceil_div(w.rows, 4 * ctx.pool.size());
  const int64_t by_bytes = kPanelBytes / std::max<int64_t>(w.row_bytes, 1);
  return std::max(std::min(even, by_bytes) / (2 * kPackedRows), int64_t{1}) * 2 * kPackedRows;
}

void packed_matmul(CpuContext& ctx, const Matmul& args) {
  const Weight& w = args.w;
  const QuantisedRows x = quantised_rows(ctx.quantised_x, args.x.rows, args.x.width);
  quantise(ctx, args.x, x);
  const int64_t panel = packed_panel(ctx, w);
  ctx.run(ceil_div(w.rows, panel), args.x.rows * w.rows * w.cols, [&](int64_t task, int) {
    const int64_t first = task * panel;
    packed_product(ctx.table, x, args.x.rows, w.slice_rows(first, std::min(panel, w.rows - first)),
                   args.y.data + first, args.y.row_stride);
  });
}

}  // namespace

void matmul(CpuContext& ctx, const Matmul& args) {
  const Weight& w = args.w;
  if (args.x.rows == 0 || w.rows == 0) return;
  if (takes_int8(w, args.compute)) return packed_matmul(ctx, args);
  const Tensor x = product_input(ctx, args.x, args.compute);
  ctx.x_rows.resize(static_cast<size_t>(x.rows));
  for (int64_t t = 0; t < x.rows; ++t) ctx.x_rows[static_cast<size_t>(t)] = x.row(t);

  const Cut pieces = cut(ctx, x.rows, w);
  const int64_t panels = ceil_div(w.rows, pieces.panel);
  const int64_t blocks = ceil_div(x.rows, pieces.row_block);
  ctx.run(panels * blocks, x.rows * w.rows * w.cols, [&](int64_t task, int worker) {
    const int64_t first = task / blocks * pieces.panel;
    const int64_t row = task % blocks * pieces.row_block;
    panel_product(ctx.table,
                  {.x = ctx.x_rows.data() + row,
                   .rows = std::min(pieces.row_block, x.rows - row),
                   .w = w.slice_rows(first, std::min(pieces.panel, w.rows - first)),
                   .y = args.y.row(row) + first,
                   .y_stride = args.y.row_stride,
                   .compute = args.compute},
                  ctx.worker(worker));
  });
}

namespace {

/// Rows [row, row + rows) of one head, y = x W^T.
void head_panel(const CpuContext& ctx, const HeadMatmul& args, const Tensor& x, int64_t head, int64_t row,
                int64_t rows, Worker& worker) {
  worker.x_rows.resize(static_cast<size_t>(rows));
  for (int64_t t = 0; t < rows; ++t) worker.x_rows[static_cast<size_t>(t)] = x.at(row + t, head);
  panel_product(ctx.table,
                {.x = worker.x_rows.data(),
                 .rows = rows,
                 .w = args.w.slice_rows(args.first_row + head * args.head_rows, args.y.width),
                 .y = args.y.at(row, head),
                 .y_stride = args.y.row_stride,
                 .compute = args.compute},
                worker);
}

/// The same, y = x W.
void head_panel_transposed(const CpuContext& ctx, const HeadMatmul& args, const Tensor& x, int64_t head,
                           int64_t row, int64_t rows, Worker& worker) {
  const Weight w = args.w.slice_rows(args.first_row + head * args.head_rows, x.width);
  ColumnProduct product{.p = x.at(row, head),
                        .p_stride = x.row_stride,
                        .rows = rows,
                        .count = x.width,
                        .v = w.data,
                        .v_stride = w.row_bytes,
                        .width = w.cols,
                        .y = args.y.at(row, head),
                        .y_stride = args.y.row_stride,
                        .rescale = nullptr};
  const bool in_place = reads_in_place(w, args.compute);
  if (in_place && w.dtype == DType::kBF16 && rows < kPackedFromRows)
    return ctx.table.column_product_bf16(product);
  if (!in_place || w.dtype == DType::kBF16) {
    float* decoded = worker.decoded.floats(w.rows * w.cols);
    for (int64_t r = 0; r < w.rows; ++r)
      decode_weights(ctx.table, w, r, 0, w.cols, args.compute, decoded + r * w.cols);
    product.v = decoded;
    product.v_stride = w.cols * static_cast<int64_t>(sizeof(float));
  }
  ctx.table.column_product_f32(product);
}

void packed_head_matmul(CpuContext& ctx, const HeadMatmul& args) {
  // Inputs that all heads share are rounded once.
  const int64_t inputs = args.x.head_stride == 0 ? 1 : args.x.heads;
  const int64_t groups = args.x.width / kPackedGroup;
  const QuantisedRows all = quantised_rows(ctx.quantised_x, args.x.rows, args.x.width * inputs);
  const auto input = [&](int64_t head) {
    const int64_t at = std::min(head, inputs - 1) * groups * all.rows;
    return QuantisedRows{all.codes + at * kPackedGroup, all.scales + at, all.sums + at, all.rows};
  };
  for_rows(ctx, args.x.rows, inputs * args.x.width, [&](int64_t begin, int64_t end, Worker&) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t h = 0; h < inputs; ++h)
        quantise_row(ctx.table, args.x.at(t, h), 0, args.x.width, input(h), t);
  });
  const int64_t blocks = ceil_div(args.x.rows, kHeadRowBlock);
  ctx.run(args.x.heads * blocks, args.x.rows * args.x.heads * args.x.width * args.y.width,
          [&](int64_t task, int) {
            const int64_t head = task / blocks;
            const int64_t row = task % blocks * kHeadRowBlock;
            packed_product(ctx.table, from_row(input(head), row), std::min(kHeadRowBlock, args.x.rows - row),
                           args.w.slice_rows(args.first_row + head * args.head_rows, args.y.width),
                           args.y.at(row, head), args.y.row_stride);
          });
}

}  // namespace

void head_matmul(CpuContext& ctx, const HeadMatmul& args) {
  if (args.x.rows == 0 || args.x.heads == 0) return;
  if (takes_int8(args.w, args.compute) && heads_take_int8(args)) return packed_head_matmul(ctx, args);
  const Tensor x = product_input(ctx, args.x, args.compute);
  const int64_t blocks = ceil_div(x.rows, kHeadRowBlock);
  ctx.run(x.heads * blocks, x.rows * x.heads * x.width * args.y.width, [&](int64_t task, int worker) {
    const int64_t head = task / blocks;
    const int64_t row = task % blocks * kHeadRowBlock;
    const int64_t rows = std::min(kHeadRowBlock, x.rows - row);
    const auto panel = args.transposed ? head_panel_transposed : head_panel;
    panel(ctx, args, x, head, row, rows, ctx.worker(worker));
  });
}

}  // namespace cadre::cpu
