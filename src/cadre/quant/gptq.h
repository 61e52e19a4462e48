#pragma once
/// Rounding weights one column after another, each with the errors of those before it made good (see
/// ErrorFeedback). A group's scale is chosen when its turn comes, by quant/encode.h, with the columns' costs
/// as importances.

#include <cstdint>

#include "cadre/base/thread_pool.h"
#include "cadre/quant/gram.h"
#include "cadre/tensor/packed.h"

namespace cadre {

/// Rows of a matrix [.., cols] that wait to be packed.
struct RoundedRows {
  RoundedRows(int64_t rows, int64_t width)
      : cols(width),
        codes(static_cast<size_t>(rows * width)),
        scales(static_cast<size_t>(rows * width / kPackedGroup)) {}

  int64_t cols;
  std::vector<uint8_t> codes;  ///< [rows, cols]
  std::vector<float> scales;   ///< [rows, cols / 32]
};

/// Rounds rows [first_row, first_row + rows) and columns [first_col, first_col + feedback.n) of `weights`
/// [.., out.cols], finite and within largest_encodable(type); first_col and feedback.n are multiples of 32.
/// Rows do not depend on one another, nor on the threads.
void round_with_feedback(DType type, const ErrorFeedback& feedback, const float* weights, int64_t first_row,
                         int64_t rows, int64_t first_col, Backend& backend, ThreadPool& pool,
                         RoundedRows& out);

}  // namespace cadre
