#include "cadre/data/batches.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "cadre/base/check.h"

namespace cadre {

void TokenBatch::resize(BatchShape new_shape) {
  shape = new_shape;
  const auto size = static_cast<size_t>(shape.rows * shape.length);
  for (std::vector<int32_t>* array : {&tokens, &targets, &positions, &segments}) array->resize(size);
}

RowView TokenBatch::row(int64_t index) {
  const auto begin = static_cast<size_t>(index * shape.length);
  const auto length = static_cast<size_t>(shape.length);
  return {.tokens = std::span(tokens).subspan(begin, length),
          .targets = std::span(targets).subspan(begin, length),
          .positions = std::span(positions).subspan(begin, length),
          .segments = std::span(segments).subspan(begin, length)};
}

int64_t TokenBatch::targets_count() const {
  return std::count_if(targets.begin(), targets.end(), [](int32_t target) { return target != kNoTarget; });
}

void TokenBatch::learned_segments(std::vector<SegmentRange>& ranges) const {
  ranges.clear();
  const int64_t size = std::ssize(tokens);
  const auto begins = [&](int64_t i) { return i == size || positions[static_cast<size_t>(i)] == 0; };
  bool learned = false;
  for (int64_t first = 0, i = 0; i < size; ++i) {
    learned = learned || targets[static_cast<size_t>(i)] != kNoTarget;
    if (!begins(i + 1)) continue;
    if (learned) ranges.push_back({.first = first, .count = i + 1 - first});
    first = i + 1;
    learned = false;
  }
}

Result<TrainingBatches> TrainingBatches::create(const std::vector<MixturePart>& parts, BatchShape shape,
                                                uint64_t seed) {
  if (parts.empty()) return invalid("a mixture of no token sets: at least one expected");
  CADRE_CHECK(shape.rows >= 1);
  TrainingBatches batches(shape);
  for (const MixturePart& part : parts) {
    if (part.set->manifest().tokenizer != parts[0].set->manifest().tokenizer)
      return invalid("token sets of tokenizers {} and {}: one tokenizer expected in a mixture",
                     parts[0].set->manifest().tokenizer, part.set->manifest().tokenizer);
    CADRE_TRY(PackedRows rows, PackedRows::create(*part.set, shape.length, seed));
    batches.parts_.push_back(std::move(rows));
  }
  CADRE_CHECK_OK(batches.lay_out(parts));
  return batches;
}

/// Each row goes to the part that is furthest behind its share.
Status TrainingBatches::lay_out(const std::vector<MixturePart>& parts) {
  double total = 0;
  for (const MixturePart& part : parts) {
    if (!(part.weight > 0) || !std::isfinite(part.weight))
      return invalid("a token set of weight {}: a number above 0 expected", part.weight);
    total += part.weight;
  }
  counts_.assign(parts.size(), 0);
  for (int64_t row = 0; row < kMixturePeriod; ++row) {
    const auto behind = [&](size_t part) {
      return parts[part].weight / total * static_cast<double>(row + 1) - static_cast<double>(counts_[part]);
    };
    size_t next = 0;
    for (size_t part = 1; part < parts.size(); ++part)
      if (behind(part) > behind(next)) next = part;
    pattern_.push_back({.part = next, .before = counts_[next]++});
  }
  for (size_t part = 0; part < parts.size(); ++part)
    if (counts_[part] == 0)
      return invalid("a token set of weight {} of {}: at least a thousandth expected", parts[part].weight,
                     total);
  return {};
}

void TrainingBatches::read(int64_t step, TokenBatch& batch) const {
  CADRE_CHECK(step >= 0);
  batch.resize(shape_);
  for (int64_t row = 0; row < shape_.rows; ++row) {
    const int64_t index = step * shape_.rows + row;
    const Slot& slot = pattern_[static_cast<size_t>(index % kMixturePeriod)];
    const int64_t before = index / kMixturePeriod * counts_[slot.part] + slot.before;
    parts_[slot.part].read(before, batch.row(row));
  }
}

double TrainingBatches::passes(size_t part, int64_t steps) const {
  const int64_t rows = steps * shape_.rows;
  int64_t read = rows / kMixturePeriod * counts_[part];
  for (int64_t i = 0; i < rows % kMixturePeriod; ++i)
    if (pattern_[static_cast<size_t>(i)].part == part) ++read;
  return static_cast<double>(read) / static_cast<double>(parts_[part].rows());
}

Result<HeldOutBatches> HeldOutBatches::create(const TokenSet& set, BatchShape shape) {
  CADRE_CHECK(shape.rows >= 1);
  CADRE_TRY(PackedRows rows, PackedRows::create(set, shape.length, std::nullopt));
  return HeldOutBatches(shape, std::move(rows));
}

void HeldOutBatches::read(int64_t index, TokenBatch& batch) const {
  CADRE_CHECK(index >= 0 && index < batches());
  batch.resize(shape_);
  for (int64_t row = 0; row < shape_.rows; ++row) {
    const int64_t at = index * shape_.rows + row;
    if (at < rows_.rows()) {
      rows_.read(at, batch.row(row));
    } else {
      PackedRows::blank(batch.row(row));
    }
  }
}

}  // namespace cadre
