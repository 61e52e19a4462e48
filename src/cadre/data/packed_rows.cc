#include "cadre/data/packed_rows.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <set>

#include "cadre/base/check.h"
#include "cadre/base/random.h"

namespace cadre {
namespace {

constexpr uint64_t kPackPurpose = 0x7061636B;     // "pack"
constexpr uint64_t kOrderPurpose = 0x6F72646572;  // "order"

template <typename T>
void shuffle(std::vector<T>& items, uint64_t seed) {
  const RandomStream draw(seed, kPackPurpose);
  for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[draw.bits(i) % i]);
}

/// Rows that have space left, by how much.
class OpenRows {
 public:
  explicit OpenRows(int64_t length) : rows_(static_cast<size_t>(length)) {}

  /// Takes out the row of the least space that `wanted` fits into; nullopt when there is none.
  std::optional<size_t> take(int64_t wanted, int64_t& space) {
    const auto found = spaces_.lower_bound(wanted);
    if (found == spaces_.end()) return std::nullopt;
    space = *found;
    std::vector<size_t>& rows = rows_[static_cast<size_t>(space)];
    const size_t row = rows.back();
    rows.pop_back();
    if (rows.empty()) spaces_.erase(found);
    return row;
  }

  void put(size_t row, int64_t space) {
    if (space == 0) return;
    rows_[static_cast<size_t>(space)].push_back(row);
    spaces_.insert(space);
  }

 private:
  std::vector<std::vector<size_t>> rows_;  // by space
  std::set<int64_t> spaces_;               // those that have rows
};

}  // namespace

int64_t permuted(int64_t index, int64_t count, uint64_t seed, int64_t pass) {
  constexpr int kRounds = 4;
  CADRE_DCHECK(index >= 0 && index < count);
  const int half = (std::bit_width(static_cast<uint64_t>(count - 1)) + 1) / 2;
  const uint64_t mask = (uint64_t{1} << half) - 1;
  const RandomStream draw(seed, kOrderPurpose + static_cast<uint64_t>(pass));
  auto value = static_cast<uint64_t>(index);
  do {
    uint64_t left = value >> half;
    uint64_t right = value & mask;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t mixed = left ^ (draw.bits(round << half | right) & mask);
      left = right;
      right = mixed;
    }
    value = left << half | right;
  } while (value >= static_cast<uint64_t>(count));
  return static_cast<int64_t>(value);
}

Result<PackedRows> PackedRows::create(const TokenSet& set, int64_t length, std::optional<uint64_t> seed) {
  CADRE_CHECK(length >= 1 && length <= INT32_MAX, "rows of {} tokens", length);
  if (set.documents() > INT32_MAX)
    return fail(ErrorKind::kTooLarge, "{} documents: at most {} can be packed", set.documents(), INT32_MAX);
  PackedRows packed(set, length, seed);
  CADRE_TRY(std::vector<Piece> pieces, packed.cut());
  if (pieces.empty())
    return invalid("the {} document(s) of split '{}' have no tokens to learn", set.documents(),
                   name(set.split()));
  if (seed) shuffle(pieces, *seed);
  packed.pack(pieces);
  return packed;
}

Result<std::vector<PackedRows::Piece>> PackedRows::cut() const {
  std::vector<Piece> pieces;
  for (int64_t document = 0; document < set_->documents(); ++document) {
    // The last token has none after it, and so is the input of nothing.
    const int64_t inputs = set_->length(document) - 1;
    for (int64_t begin = 0; begin < inputs; begin += length_) {
      const int64_t length = std::min(length_, inputs - begin);
      if (set_->learned(document, begin, length) == 0) continue;
      pieces.push_back({.document = static_cast<int32_t>(document),
                        .length = static_cast<int32_t>(length),
                        .begin = begin});
    }
  }
  return pieces;
}

void PackedRows::pack(const std::vector<Piece>& pieces) {
  std::vector<std::vector<Piece>> rows;
  OpenRows open(length_);
  for (const Piece& piece : pieces) {
    int64_t space = length_;
    size_t row = rows.size();
    if (piece.length < length_)
      if (const auto found = open.take(piece.length, space)) row = *found;
    if (row == rows.size()) rows.emplace_back();
    rows[row].push_back(piece);
    open.put(row, space - piece.length);
  }
  for (const std::vector<Piece>& row : rows) {
    pieces_.insert(pieces_.end(), row.begin(), row.end());
    row_begin_.push_back(std::ssize(pieces_));
  }
}

double PackedRows::fill() const {
  int64_t tokens = 0;
  for (const Piece& piece : pieces_) tokens += piece.length;
  return static_cast<double>(tokens) / static_cast<double>(rows() * length_);
}

int64_t PackedRows::row_at(int64_t index) const {
  CADRE_CHECK(index >= 0 && (seed_ || index < rows()), "row {} of {}", index, rows());
  return seed_ ? permuted(index % rows(), rows(), *seed_, index / rows()) : index;
}

void PackedRows::read(int64_t index, RowView out) const {
  CADRE_CHECK(std::ssize(out.tokens) == length_ && std::ssize(out.targets) == length_ &&
              std::ssize(out.positions) == length_ && std::ssize(out.segments) == length_);
  const auto row = static_cast<size_t>(row_at(index));
  size_t at = 0;
  int32_t segment = 0;
  const auto number = [&](size_t count) {
    std::iota(out.positions.begin() + static_cast<ptrdiff_t>(at),
              out.positions.begin() + static_cast<ptrdiff_t>(at + count), 0);
    std::fill_n(out.segments.begin() + static_cast<ptrdiff_t>(at), count, segment++);
    at += count;
  };
  for (int64_t i = row_begin_[row]; i < row_begin_[row + 1]; ++i) {
    const Piece& piece = pieces_[static_cast<size_t>(i)];
    const auto count = static_cast<size_t>(piece.length);
    set_->read(piece.document, piece.begin, out.tokens.subspan(at, count), out.targets.subspan(at, count));
    number(count);
  }
  std::fill(out.tokens.begin() + static_cast<ptrdiff_t>(at), out.tokens.end(), 0);
  std::fill(out.targets.begin() + static_cast<ptrdiff_t>(at), out.targets.end(), kNoTarget);
  if (at < out.tokens.size()) number(out.tokens.size() - at);
}

void PackedRows::blank(RowView out) {
  std::fill(out.tokens.begin(), out.tokens.end(), 0);
  std::fill(out.targets.begin(), out.targets.end(), kNoTarget);
  std::iota(out.positions.begin(), out.positions.end(), 0);
  std::fill(out.segments.begin(), out.segments.end(), 0);
}

}  // namespace cadre
