#pragma once
/// One weight from f32 rows to the bytes that a file holds, piece by piece on all threads.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "cadre/base/function_ref.h"
#include "cadre/base/thread_pool.h"
#include "cadre/quant/compensator.h"
#include "cadre/quant/quantize.h"

namespace cadre {

class TensorEncoder {
 public:
  /// `importance` may be null.
  TensorEncoder(int threads, const ColumnImportance* importance);

  /// Hands the weight's bytes to `write` in order; `compensator` may be null. Errors: kInvalid for a weight
  /// that cannot be encoded, naming row and column; kInterrupt; those of `write`.
  Status encode(const WeightRows& rows, const PlannedWeight& weight, Compensator* compensator,
                FunctionRef<Status(std::span<const std::byte>)> write);

 private:
  Status encode_plainly(const WeightRows& rows, int64_t first, int64_t count, const PlannedWeight& weight);
  /// The same with each column's error made good by the next.
  Status encode_compensated(const WeightRows& rows, int64_t first, int64_t count, const PlannedWeight& weight,
                            const WeightFeedback& feedback, Backend& backend);
  /// Encodes 16 rows from `first` on. `values` has room for them.
  Status encode_rows(const WeightRows& rows, const PlannedWeight& weight, int64_t first,
                     std::vector<float>& values, std::byte* out) const;

  ThreadPool pool_;
  const ColumnImportance* importance_;
  std::vector<std::vector<float>> values_;  ///< by worker
  std::vector<Status> status_;              ///< by block of a piece
  std::vector<std::byte> piece_;            ///< rows that are encoded together
  std::vector<float> piece_values_;         ///< the same before
};

}  // namespace cadre
