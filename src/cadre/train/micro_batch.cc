#include "cadre/train/micro_batch.h"

#include <algorithm>

namespace cadre::train {

MicroBatch micro_batch(TokenBatch& batch, int64_t first, int64_t count) {
  MicroBatch result;
  for (int64_t r = first; r < first + count; ++r) {
    const RowView row = batch.row(r);
    const size_t length = row.tokens.size();
    for (size_t begin = 0, end = 0; begin < length; begin = end) {
      while (end < length && row.segments[end] == row.segments[begin]) ++end;
      const std::span<const int32_t> targets = row.targets.subspan(begin, end - begin);
      const auto with_loss =
          std::count_if(targets.begin(), targets.end(), [](int32_t target) { return target != kNoTarget; });
      if (with_loss == 0) continue;
      result.sequences.push_back({.first_row = static_cast<int64_t>(result.tokens.size()),
                                  .rows = static_cast<int64_t>(end - begin)});
      result.tokens.insert(result.tokens.end(), row.tokens.begin() + static_cast<int64_t>(begin),
                           row.tokens.begin() + static_cast<int64_t>(end));
      result.targets.insert(result.targets.end(), targets.begin(), targets.end());
      result.targets_count += with_loss;
    }
  }
  return result;
}

}  // namespace cadre::train
