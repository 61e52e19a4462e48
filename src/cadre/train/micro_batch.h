#pragma once
/// From rows of packed documents to what a pass reads: each document a sequence of its own.

#include <vector>

#include "cadre/data/batches.h"
#include "cadre/train/pass.h"

namespace cadre::train {

struct MicroBatch {
  std::vector<int32_t> tokens;
  std::vector<int32_t> targets;
  std::vector<SequenceRows> sequences;
  int64_t targets_count = 0;  ///< that count in the loss

  PassBatch batch() const { return {tokens, targets, sequences}; }
};

/// Rows [first, first + count) of `batch`. Segments without a target, such as what fills up a row, are left
/// out: they would be counted in balancing.
MicroBatch micro_batch(const TokenBatch& batch, int64_t first, int64_t count);

}  // namespace cadre::train
