#pragma once
/// Documents packed into rows of one length, without crossing: see docs/training-data.md.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cadre/data/token_set.h"

namespace cadre {

/// One row of a batch, for a reader to fill. All spans have the row's length.
struct RowView {
  std::span<int32_t> tokens;
  std::span<int32_t> targets;    ///< the token after each, kNoTarget where there is no loss
  std::span<int32_t> positions;  ///< from 0 in each segment
  std::span<int32_t> segments;   ///< from 0 in each row; a token may see those of its own segment only
};

/// Documents are cut into pieces of at most `length` tokens, and each piece goes into the row whose free
/// space it fills best, behind those that are there (best fit; Ding et al. 2024, "Fewer Truncations Improve
/// Language Modeling"). What stays free at the end of a row is a segment of its own without targets. Pieces
/// without targets are left out. With a seed the pieces are packed in a shuffled order, and rows() rows are
/// drawn in a new order on every pass; without one, both orders are the documents'. Any row can be read at
/// any time. Refers to the set, which must outlive it. Immutable, thread-safe.
class PackedRows {
 public:
  /// `length` of 1 or more. Errors: kInvalid when no target is left, kTooLarge for more than 2^31 documents.
  static Result<PackedRows> create(const TokenSet& set, int64_t length, std::optional<uint64_t> seed);

  int64_t length() const { return length_; }
  /// Of one pass over all documents.
  int64_t rows() const { return std::ssize(row_begin_) - 1; }
  /// Share of the positions that hold a document's token.
  double fill() const;

  /// Row `index` of the endless sequence of passes; without a seed index < rows().
  void read(int64_t index, RowView out) const;
  /// A row without targets.
  static void blank(RowView out);

 private:
  struct Piece {
    int32_t document = 0;
    int32_t length = 0;
    int64_t begin = 0;  // in the document
  };

  PackedRows(const TokenSet& set, int64_t length, std::optional<uint64_t> seed)
      : set_(&set), length_(length), seed_(seed) {}
  Result<std::vector<Piece>> cut() const;
  void pack(const std::vector<Piece>& pieces);
  int64_t row_at(int64_t index) const;

  const TokenSet* set_;
  int64_t length_;
  std::optional<uint64_t> seed_;
  std::vector<Piece> pieces_;             // row after row
  std::vector<int64_t> row_begin_ = {0};  // in pieces_
};

/// The place of `index` in a permutation of [0, count) that `seed` and `pass` decide, without making the
/// whole: a Feistel network (Luby, Rackoff 1988) on the next power of 4, walked until it is inside.
int64_t permuted(int64_t index, int64_t count, uint64_t seed, int64_t pass);

}  // namespace cadre
