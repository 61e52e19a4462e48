#include "cadre/quant/tensor_encoder.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "cadre/base/interrupt.h"
#include "cadre/quant/encode.h"
#include "cadre/quant/gptq.h"
#include "cadre/tensor/convert.h"

namespace cadre {
namespace {

/// Of output, between two looks at whether to stop: large enough to keep all threads busy.
constexpr int64_t kPieceBytes = int64_t{8} << 20;

/// Weights between two looks where errors are made good: a matrix product with a few hundred rows is worth
/// its name, and several copies of them in f32 are alive.
constexpr int64_t kCompensatedFloats = int64_t{4} << 20;

Status first_error(const std::vector<Status>& status) {
  for (const Status& s : status) CADRE_CHECK_OK(s);
  return {};
}

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

Status TensorEncoder::encode_plainly(const WeightRows& rows, int64_t first, int64_t count,
                                     const PlannedWeight& weight) {
  const int64_t block_bytes = row_block_bytes(weight);
  pool_.run(packed_blocks(count), [&](int64_t block, int worker) {
    status_[static_cast<size_t>(block)] =
        encode_rows(rows, weight, first + block * kPackedRows, values_[static_cast<size_t>(worker)],
                    piece_.data() + block * block_bytes);
  });
  return first_error(status_);
}

Status TensorEncoder::encode_compensated(const WeightRows& rows, int64_t first, int64_t count,
                                         const PlannedWeight& weight, const WeightFeedback& feedback,
                                         Backend& backend) {
  const int64_t cols = rows.cols();
  piece_values_.resize(static_cast<size_t>(count * cols));
  const auto rows_of = [&](int64_t block) { return std::min(kPackedRows, count - block * kPackedRows); };
  pool_.run(packed_blocks(count), [&](int64_t block, int) {
    const int64_t row = block * kPackedRows;
    float* values = piece_values_.data() + row * cols;
    rows.read(first + row, rows_of(block), values);
    status_[static_cast<size_t>(block)] =
        check_encodable(weight.type, values, rows_of(block), cols, first + row);
  });
  CADRE_CHECK_OK(first_error(status_));

  RoundedRows rounded(count, cols);
  const int64_t part_rows = rows.rows() / static_cast<int64_t>(feedback.parts.size());
  for (int64_t row = first; row < first + count;) {
    const int64_t part = row / part_rows;
    const int64_t end = std::min(first + count, (part + 1) * part_rows);
    const WeightFeedback::Part& of_part = feedback.parts[static_cast<size_t>(part)];
    for (size_t r = 0; r < of_part.ranges.size(); ++r)
      round_with_feedback(weight.type, of_part.feedback[r], piece_values_.data(), row - first, end - row,
                          of_part.ranges[r].begin, backend, pool_, rounded);
    row = end;
  }
  const int64_t block_bytes = row_block_bytes(weight);
  pool_.run(packed_blocks(count), [&](int64_t block, int) {
    const int64_t row = block * kPackedRows;
    pack_block(weight.type, rounded.codes.data() + row * cols,
               rounded.scales.data() + row * (cols / kPackedGroup), rows_of(block), cols,
               piece_.data() + block * block_bytes);
  });
  return {};
}

Status TensorEncoder::encode(const WeightRows& rows, const PlannedWeight& weight, Compensator* compensator,
                             FunctionRef<Status(std::span<const std::byte>)> write) {
  const WeightFeedback* feedback = nullptr;
  if (compensator != nullptr && is_packed(weight.type)) {
    CADRE_TRY(feedback, compensator->feedback(weight));
  }
  const int64_t block_bytes = row_block_bytes(weight);
  const int64_t blocks = packed_blocks(rows.rows());
  int64_t piece_blocks = std::max(int64_t{1}, kPieceBytes / block_bytes);
  if (feedback != nullptr)
    piece_blocks = std::clamp<int64_t>(kCompensatedFloats / (kPackedRows * rows.cols()), 1, piece_blocks);
  int64_t left = weight.bytes();  // the last block of a plain matrix may be shorter
  for (int64_t begin = 0; begin < blocks; begin += piece_blocks) {
    CADRE_CHECK_OK(check_interrupt());
    const int64_t first = begin * kPackedRows;
    const int64_t count = std::min(piece_blocks * kPackedRows, rows.rows() - first);
    piece_.resize(static_cast<size_t>(packed_blocks(count) * block_bytes));
    status_.assign(static_cast<size_t>(packed_blocks(count)), {});
    CADRE_CHECK_OK(feedback == nullptr
                       ? encode_plainly(rows, first, count, weight)
                       : encode_compensated(rows, first, count, weight, *feedback, compensator->backend()));
    const int64_t bytes = std::min(left, static_cast<int64_t>(piece_.size()));
    CADRE_CHECK_OK(write(std::span(piece_).first(static_cast<size_t>(bytes))));
    left -= bytes;
  }
  return {};
}

}  // namespace cadre
