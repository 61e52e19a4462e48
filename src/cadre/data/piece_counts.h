#pragma once
/// How often each piece of a pre-tokenizer occurs in a corpus.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cadre/data/bpe_trainer.h"
#include "cadre/text/pre_tokenizer.h"

namespace cadre {

/// Memory is bounded: with more than `max_distinct` different pieces the rarest are forgotten, first those
/// met once, as often as needed. Thread-compatible.
class PieceCounts final : public PieceSink {
 public:
  static constexpr size_t kDefaultMaxDistinct = size_t{1}
                                                << 21;  // some 200 MB; English text has 1 in 100 bytes
  /// A longer piece is no word (a row of dashes, an encoded picture) and is left out.
  static constexpr size_t kMaxPieceBytes = 256;

  /// `count_digits` false leaves out pieces with an ASCII digit, so that no merge makes two digits one token.
  explicit PieceCounts(bool count_digits, size_t max_distinct = kDefaultMaxDistinct)
      : count_digits_(count_digits), max_distinct_(max_distinct) {}

  void piece(std::string_view piece) override;

  int64_t total() const { return total_; }
  size_t distinct() const { return counts_.size(); }
  bool forgot() const { return floor_ > 0; }
  /// By falling count, then by text. The counts are gone from here.
  std::vector<WordCount> take();

 private:
  struct Hash {
    using is_transparent = void;  // NOLINT(readability-identifier-naming): the standard's name
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  void forget_rarest();

  bool count_digits_;
  size_t max_distinct_;
  int64_t total_ = 0;
  int64_t floor_ = 0;  ///< counts up to this were forgotten
  std::unordered_map<std::string, int64_t, Hash, std::equal_to<>> counts_;
};

}  // namespace cadre
