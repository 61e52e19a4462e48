#include "cadre/kernels/cpu/packed.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "cadre/kernels/cpu/operations.h"

namespace cadre::cpu {
namespace {

/// The values of a type's codes as the kernels look them up: 16 bytes, each value above the smallest.
using LookupTable = std::array<uint8_t, 16>;

LookupTable lookup_table(DType type) {
  const std::span<const int8_t> values = packed_codes(type).values;
  const int smallest = *std::min_element(values.begin(), values.end());
  LookupTable table{};
  if (values.size() <= table.size())
    std::transform(values.begin(), values.end(), table.begin(),
                   [&](int8_t value) { return static_cast<uint8_t>(value - smallest); });
  return table;
}

const uint8_t* lookup_values(DType type) {
  static const std::array<LookupTable, kPackedTypeCount> tables = [] {
    std::array<LookupTable, kPackedTypeCount> all{};
    for (int i = 0; i < kPackedTypeCount; ++i) all[static_cast<size_t>(i)] = lookup_table(packed_type(i));
    return all;
  }();
  return tables[static_cast<size_t>(packed_index(type))].data();
}

const PackedLoops& loops_of(const CpuTable& table, DType type) {
  switch (type) {
    case DType::kPackedQ8:
      return table.q8;
    case DType::kPackedQ6:
      return table.q6;
    case DType::kPackedQ4:
      return table.q4;
    case DType::kPackedMXFP4:
      return table.mxfp4;
    case DType::kPackedQ3:
      return table.q3;
    default:
      return table.q2;
  }
}

}  // namespace

QuantisedRows quantised_rows(Scratch& scratch, int64_t rows, int64_t width) {
  const int64_t groups = width / kPackedGroup;
  const int64_t code_floats = groups * rows * kPackedGroup / 4;
  float* memory = scratch.floats(code_floats + 2 * groups * rows);
  return {.codes = reinterpret_cast<int8_t*>(memory),
          .scales = memory + code_floats,
          .sums = reinterpret_cast<int32_t*>(memory + code_floats + groups * rows),
          .rows = rows};
}

void quantise_row(const CpuTable& table, const float* x, int64_t begin, int64_t width,
                  const QuantisedRows& out, int64_t r) {
  const int64_t at = begin / kPackedGroup * out.rows + r;
  table.quantise_row({.x = x,
                      .groups = width / kPackedGroup,
                      .codes = out.codes + at * kPackedGroup,
                      .code_stride = out.rows * kPackedGroup,
                      .scales = out.scales + at,
                      .sums = out.sums + at,
                      .stride = out.rows});
}

void quantise(CpuContext& ctx, const Tensor& x, const QuantisedRows& out) {
  for_rows(ctx, x.rows, x.width, [&](int64_t begin, int64_t end, Worker&) {
    for (int64_t t = begin; t < end; ++t) quantise_row(ctx.table, x.row(t), 0, x.width, out, t);
  });
}

void gather_rows(const QuantisedRows& all, std::span<const int32_t> from, int64_t width,
                 const QuantisedRows& to) {
  for (int64_t g = 0; g < width / kPackedGroup; ++g) {
    const int64_t source = g * all.rows;
    int64_t target = g * to.rows;
    for (const int32_t row : from) {
      std::memcpy(to.codes + target * kPackedGroup, all.codes + (source + row) * kPackedGroup, kPackedGroup);
      to.scales[target] = all.scales[source + row];
      to.sums[target] = all.sums[source + row];
      ++target;
    }
  }
}

void packed_product(const CpuTable& table, const QuantisedRows& x, int64_t rows, const Weight& w, float* y,
                    int64_t y_stride) {
  if (rows == 0 || w.rows == 0) return;
  loops_of(table, w.dtype)
      .product({.x = x,
                .x_rows = rows,
                .w = reinterpret_cast<const uint8_t*>(w.data),
                .block_bytes = w.row_bytes * kPackedRows,
                .groups = w.cols / kPackedGroup,
                .cols = w.rows,
                .values = lookup_values(w.dtype),
                .y = y,
                .y_stride = y_stride});
}

void decode_packed(const CpuTable& table, const Weight& w, int64_t r, int64_t begin, int64_t count,
                   float* out) {
  const int64_t row = w.row_offset + r;
  const std::byte* block = w.data + row / kPackedRows * kPackedRows * w.row_bytes;
  loops_of(table, w.dtype)
      .decode_row({.block = reinterpret_cast<const uint8_t*>(block),
                   .row = row % kPackedRows,
                   .first = begin / kPackedGroup,
                   .count = count / kPackedGroup,
                   .values = lookup_values(w.dtype),
                   .out = out});
}

}  // namespace cadre::cpu
