#include "cadre/train/micro_batch.h"

#include <algorithm>

namespace cadre::train {

MicroBatch micro_batch(const TokenBatch& batch, int64_t first, int64_t count) {
  std::vector<SegmentRange> segments;
  batch.learned_segments(segments);
  const int64_t begin = first * batch.shape.length;
  const int64_t end = begin + count * batch.shape.length;
  MicroBatch result;
  for (const SegmentRange& segment : segments) {
    if (segment.first < begin || segment.first >= end) continue;
    const auto from = static_cast<size_t>(segment.first);
    const auto length = static_cast<size_t>(segment.count);
    const std::span<const int32_t> tokens = std::span(batch.tokens).subspan(from, length);
    const std::span<const int32_t> targets = std::span(batch.targets).subspan(from, length);
    result.sequences.push_back(
        {.first_row = static_cast<int64_t>(result.tokens.size()), .rows = segment.count});
    result.tokens.insert(result.tokens.end(), tokens.begin(), tokens.end());
    result.targets.insert(result.targets.end(), targets.begin(), targets.end());
    result.targets_count += static_cast<int64_t>(targets.size()) - std::ranges::count(targets, kNoTarget);
  }
  return result;
}

}  // namespace cadre::train
