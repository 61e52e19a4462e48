#include "cadre/kernels/cpu/products.h"

#include <algorithm>

#include "cadre/kernels/cpu/operations.h"
#include "cadre/kernels/cpu/packed.h"
#include "cadre/tensor/blocks.h"

namespace cadre::cpu {
namespace {

/// Elements of the inner dimension that are packed at a time. Longer blocks save the partial sums a trip to
/// memory (most models have 2048 or a multiple), and a tile of x (4 rows, 32 KiB) still stays near.
constexpr int64_t kInnerBlock = 2048;
/// Rows of x whose partial sums are kept between two inner blocks.
constexpr int64_t kRowBlock = 256;
/// Decoded weights that are multiplied at once when x has few rows.
constexpr int64_t kDecodedFloats = 32 * 1024;
/// Largest tile of any instruction set.
constexpr int64_t kMaxTile = 16;

using Decode = void (*)(const void*, float*, int64_t);

Decode decoder(const CpuTable& table, DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return table.decode_bf16;
    case DType::kF16:
      return table.decode_f16;
    case DType::kF8E4M3:
      return table.decode_f8e4m3;
    case DType::kQ8_0:
      return table.decode_q8_0;
    case DType::kQ4_0:
      return table.decode_q4_0;
    case DType::kQ4_K:
      return table.decode_q4_k;
    case DType::kQ6_K:
      return table.decode_q6_k;
    case DType::kMXFP4:
      return table.decode_mxfp4;
    default:
      return nullptr;
  }
}

void few_rows(const CpuTable& table, const PanelProduct& p, Worker& worker) {
  DotRows dot{.x = p.x,
              .x_rows = p.rows,
              .w = p.w.data,
              .w_stride = p.w.row_bytes,
              .w_rows = p.w.rows,
              .k = p.w.cols,
              .y = p.y,
              .y_stride = p.y_stride};
  if (reads_in_place(p.w, p.compute)) {
    (p.w.dtype == DType::kBF16 ? table.dot_rows_bf16 : table.dot_rows_f32)(dot);
    return;
  }
  const int64_t chunk = std::clamp<int64_t>(kDecodedFloats / std::max<int64_t>(p.w.cols, 1), 1, p.w.rows);
  float* decoded = worker.decoded.floats(chunk * p.w.cols);
  dot.w = decoded;
  dot.w_stride = p.w.cols * static_cast<int64_t>(sizeof(float));
  for (int64_t begin = 0; begin < p.w.rows; begin += chunk) {
    dot.w_rows = std::min(chunk, p.w.rows - begin);
    for (int64_t r = 0; r < dot.w_rows; ++r)
      decode_weights(table, p.w, begin + r, 0, p.w.cols, p.compute, decoded + r * p.w.cols);
    dot.y = p.y + begin;
    table.dot_rows_f32(dot);
  }
}

/// Packs elements [begin, begin + count) of every row of w, tile after tile.
void pack_panel(const CpuTable& table, const PanelProduct& p, int64_t begin, int64_t count, Worker& worker,
                float* out) {
  const int64_t tile = table.w_tile;
  const int64_t tile_floats = ceil_div(count, 16) * tile * 16;
  const bool in_place = reads_in_place(p.w, p.compute);
  float* decoded = in_place ? nullptr : worker.decoded.floats(tile * count);
  const void* rows[kMaxTile];
  for (int64_t first = 0; first < p.w.rows; first += tile, out += tile_floats) {
    const int64_t present = std::min(tile, p.w.rows - first);
    for (int64_t r = 0; r < present; ++r) {
      if (in_place) {
        rows[r] = p.w.row(first + r) + row_bytes(p.w.dtype, begin);
      } else {
        decode_weights(table, p.w, first + r, begin, count, p.compute, decoded + r * count);
        rows[r] = decoded + r * count;
      }
    }
    const auto pack = in_place && p.w.dtype == DType::kBF16 ? table.pack_bf16 : table.pack_f32;
    pack({.rows = rows, .count = present, .tile = tile, .k = count, .out = out});
  }
}

/// One inner block of rows [first, first + rows) of x against the packed panel.
struct InnerBlock {
  int64_t begin;
  int64_t count;
  int64_t first_row;
  int64_t rows;
};

void multiply_block(const CpuTable& table, const PanelProduct& p, const InnerBlock& block,
                    const float* packed_w, Worker& worker) {
  const int64_t x_tile = table.x_tile, w_tile = table.w_tile;
  const int64_t steps = ceil_div(block.count, 16);
  const int64_t w_tiles = ceil_div(p.w.rows, w_tile);
  const int64_t partial_floats = x_tile * w_tile * 16;
  const bool first = block.begin == 0;
  const bool last = block.begin + block.count == p.w.cols;
  float* packed_x = worker.packed_x.floats(steps * x_tile * 16);
  float* partial =
      first && last ? nullptr : worker.partial.floats(ceil_div(kRowBlock, x_tile) * w_tiles * partial_floats);
  const void* rows[kMaxTile];
  for (int64_t r = 0; r < block.rows; r += x_tile) {
    const int64_t present = std::min(x_tile, block.rows - r);
    for (int64_t i = 0; i < present; ++i) rows[i] = p.x[block.first_row + r + i] + block.begin;
    table.pack_f32({.rows = rows, .count = present, .tile = x_tile, .k = block.count, .out = packed_x});
    for (int64_t c = 0; c < w_tiles; ++c) {
      table.tile_product({.x = packed_x,
                          .w = packed_w + c * steps * w_tile * 16,
                          .steps = steps,
                          .first = first,
                          .last = last,
                          .partial = partial,
                          .y = p.y + (block.first_row + r) * p.y_stride + c * w_tile,
                          .y_stride = p.y_stride,
                          .rows = present,
                          .cols = std::min(w_tile, p.w.rows - c * w_tile)});
      if (partial != nullptr) partial += partial_floats;
    }
  }
}

void many_rows(const CpuTable& table, const PanelProduct& p, Worker& worker) {
  const int64_t inner = std::min(kInnerBlock, p.w.cols);
  const int64_t row_block = inner == p.w.cols ? p.rows : kRowBlock;
  const int64_t w_tiles = ceil_div(p.w.rows, table.w_tile);
  float* packed_w = worker.packed_w.floats(w_tiles * table.w_tile * ceil_div(inner, 16) * 16);
  for (int64_t row = 0; row < p.rows; row += row_block) {
    for (int64_t begin = 0; begin < p.w.cols; begin += inner) {
      const int64_t count = std::min(inner, p.w.cols - begin);
      pack_panel(table, p, begin, count, worker, packed_w);
      multiply_block(table, p, {begin, count, row, std::min(row_block, p.rows - row)}, packed_w, worker);
    }
  }
}

}  // namespace

bool reads_in_place(const Weight& w, Compute compute) {
  return w.dtype == DType::kBF16 || (w.dtype == DType::kF32 && compute != Compute::kBF16);
}

void decode_weights(const CpuTable& table, const Weight& w, int64_t r, int64_t begin, int64_t count,
                    Compute compute, float* out) {
  if (is_packed(w.dtype)) {
    decode_packed(table, w, r, begin, count, out);
  } else if (const Decode decode = decoder(table, w.dtype); decode != nullptr) {
    decode(w.row(r) + row_bytes(w.dtype, begin), out, count);
  } else {
    decode_row(w.dtype, w.row(r) + row_bytes(w.dtype, begin), out, count);
  }
  if (w.scales != nullptr) {
    const float* scales = w.scales + (r + w.row_offset) / w.block_rows * w.scale_stride;
    for (int64_t c = begin; c < begin + count;) {
      const int64_t end = std::min((c / w.block_cols + 1) * w.block_cols, begin + count);
      table.multiply_row(scales[c / w.block_cols], out + (c - begin), end - c);
      c = end;
    }
  }
  if (compute == Compute::kBF16) table.round_to_bf16_row(out, out, count);
}

void panel_product(const CpuTable& table, const PanelProduct& p, Worker& worker) {
  if (p.rows == 0 || p.w.rows == 0) return;
  if (p.rows < kPackedFromRows || p.w.cols == 0)
    few_rows(table, p, worker);
  else
    many_rows(table, p, worker);
}

Tensor product_input(CpuContext& ctx, const Tensor& x, Compute compute) {
  if (compute != Compute::kBF16) return x;
  const int64_t heads = x.head_stride == 0 ? 1 : x.heads;
  Tensor rounded = Tensor::dense(ctx.rounded_x.floats(x.rows * heads * x.width), x.rows, heads, x.width);
  for_rows(ctx, x.rows, heads * x.width, [&](int64_t begin, int64_t end, Worker&) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t h = 0; h < heads; ++h) ctx.table.round_to_bf16_row(x.at(t, h), rounded.at(t, h), x.width);
  });
  if (heads != x.heads) {
    rounded.heads = x.heads;
    rounded.head_stride = 0;
  }
  return rounded;
}

}  // namespace cadre::cpu
