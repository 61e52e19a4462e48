#include "cadre/quant/tensor_encoder.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "cadre/base/interrupt.h"
#include "cadre/quant/encode.h"
#include "cadre/tensor/convert.h"

namespace cadre {
namespace {

/// Of output, between two looks at whether to stop: large enough to keep all threads busy.
constexpr int64_t kPieceBytes = int64_t{8} << 20;

/// Bytes of 16 rows in a file.
int64_t row_block_bytes(const PlannedWeight& weight) {
  const int64_t cols = weight.shape.back();
  return is_packed(weight.type) ? packed_block_bytes(weight.type, cols)
                                : kPackedRows * cols * info(weight.type).block_bytes;
}

void store_plain(DType type, const float* values, int64_t count, std::byte* out) {
  if (type == DType::kF32) {
    std::memcpy(out, values, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  auto* bf16 = reinterpret_cast<uint16_t*>(out);
  for (int64_t i = 0; i < count; ++i) bf16[i] = f32_to_bf16(values[i]);
}

}  // namespace

TensorEncoder::TensorEncoder(int threads, const ColumnImportance* importance)
    : pool_(threads), importance_(importance), values_(static_cast<size_t>(pool_.size())) {}

Status TensorEncoder::encode_rows(const WeightRows& rows, const PlannedWeight& weight, int64_t first,
                                  std::vector<float>& values, std::byte* out) const {
  const int64_t count = std::min(kPackedRows, rows.rows() - first);
  values.resize(static_cast<size_t>(count * rows.cols()));
  rows.read(first, count, values.data());
  CADRE_CHECK_OK(check_encodable(weight.type, values.data(), count, rows.cols(), first));
  if (!is_packed(weight.type)) {
    store_plain(weight.type, values.data(), count * rows.cols(), out);
    return {};
  }
  std::array<const float*, kPackedRows> factors{};
  bool weighted = importance_ != nullptr;
  for (int64_t r = 0; r < count && weighted; ++r) {
    const std::span<const float> row = importance_->of_row(weight.name, first + r, rows.rows());
    CADRE_CHECK(row.empty() || static_cast<int64_t>(row.size()) == rows.cols(), "{} factors for {} columns",
                row.size(), rows.cols());
    factors[static_cast<size_t>(r)] = row.data();
    weighted = !row.empty();
  }
  encode_block(weight.type, values.data(), count, rows.cols(),
               weighted ? std::span<const float* const>(factors) : std::span<const float* const>(), out);
  return {};
}

Status TensorEncoder::encode(const WeightRows& rows, const PlannedWeight& weight,
                             FunctionRef<Status(std::span<const std::byte>)> write) {
  const int64_t block_bytes = row_block_bytes(weight);
  const int64_t blocks = packed_blocks(rows.rows());
  const int64_t blocks_of_piece = std::max(int64_t{1}, kPieceBytes / block_bytes);
  int64_t left = weight.bytes();  // the last block of a plain matrix may be shorter
  std::vector<Status> status(static_cast<size_t>(std::min(blocks_of_piece, blocks)));
  for (int64_t begin = 0; begin < blocks; begin += blocks_of_piece) {
    CADRE_CHECK_OK(check_interrupt());
    const int64_t count = std::min(blocks_of_piece, blocks - begin);
    piece_.resize(static_cast<size_t>(count * block_bytes));
    pool_.run(count, [&](int64_t task, int worker) {
      status[static_cast<size_t>(task)] =
          encode_rows(rows, weight, (begin + task) * kPackedRows, values_[static_cast<size_t>(worker)],
                      piece_.data() + task * block_bytes);
    });
    for (int64_t task = 0; task < count; ++task) CADRE_CHECK_OK(status[static_cast<size_t>(task)]);
    const int64_t bytes = std::min(left, count * block_bytes);
    CADRE_CHECK_OK(write(std::span(piece_).first(static_cast<size_t>(bytes))));
    left -= bytes;
  }
  return {};
}

}  // namespace cadre
