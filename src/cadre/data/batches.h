#pragma once
/// What a step of training or evaluation reads. A batch depends on the sets, the seed, the shape and the step
/// alone, never on what was read before: a run that is resumed at step N sees what an uninterrupted one does.

#include <cstdint>
#include <optional>
#include <vector>

#include "cadre/data/packed_rows.h"

namespace cadre {

struct BatchShape {
  int64_t rows = 0;
  int64_t length = 0;  ///< tokens of a row
};

/// A segment as a stretch of a batch's arrays: `count` elements from `first`, at positions from 0.
struct SegmentRange {
  int64_t first = 0;
  int64_t count = 0;
};

/// Arrays of [rows, length]; see RowView. Kept from step to step, it allocates once.
struct TokenBatch {
  BatchShape shape;
  std::vector<int32_t> tokens;
  std::vector<int32_t> targets;
  std::vector<int32_t> positions;
  std::vector<int32_t> segments;

  void resize(BatchShape new_shape);
  RowView row(int64_t index);
  /// How many targets count in the loss.
  int64_t targets_count() const;
  /// The segments that have targets, in order: all that a pass must compute. Replaces the contents of
  /// `ranges`.
  void learned_segments(std::vector<SegmentRange>& ranges) const;
};

/// Shares of a mixture are whole thousandths.
inline constexpr int64_t kMixturePeriod = 1000;

/// One set of a mixture.
struct MixturePart {
  const TokenSet* set = nullptr;
  double weight = 1;  ///< its share of the rows, relative to the others
};

/// Shuffled batches without end, from one set or a mixture of several. The rows of the parts are spread
/// evenly, in a pattern that repeats after kMixturePeriod rows. Refers to the sets, which must outlive it.
/// Immutable, thread-safe.
class TrainingBatches {
 public:
  /// Errors: as PackedRows; kInvalid for no part, a weight that is not above 0 or less than a thousandth of
  /// all, or sets of different tokenizers.
  static Result<TrainingBatches> create(const std::vector<MixturePart>& parts, BatchShape shape,
                                        uint64_t seed);

  /// The batch of `step`, from 0.
  void read(int64_t step, TokenBatch& batch) const;

  BatchShape shape() const { return shape_; }
  const std::vector<PackedRows>& parts() const { return parts_; }
  /// How often part `part` has been read through after `steps` steps.
  double passes(size_t part, int64_t steps) const;

 private:
  explicit TrainingBatches(BatchShape shape) : shape_(shape) {}
  /// Which part a row comes from, and how many rows of that part there are before it in the pattern.
  struct Slot {
    size_t part = 0;
    int64_t before = 0;
  };
  Status lay_out(const std::vector<MixturePart>& parts);

  BatchShape shape_;
  std::vector<PackedRows> parts_;
  std::vector<Slot> pattern_;    // of kMixturePeriod rows
  std::vector<int64_t> counts_;  // rows of each part in the pattern
};

/// One pass over a split in the order of its documents; the last batch is filled up with rows without
/// targets. Refers to the set. Immutable, thread-safe.
class HeldOutBatches {
 public:
  /// Errors: as PackedRows.
  static Result<HeldOutBatches> create(const TokenSet& set, BatchShape shape);

  int64_t batches() const { return (rows_.rows() + shape_.rows - 1) / shape_.rows; }
  /// `index` < batches().
  void read(int64_t index, TokenBatch& batch) const;

 private:
  HeldOutBatches(BatchShape shape, PackedRows rows) : shape_(shape), rows_(std::move(rows)) {}

  BatchShape shape_;
  PackedRows rows_;
};

}  // namespace cadre
