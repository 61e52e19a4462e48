#include "cadre/data/piece_counts.h"

#include <algorithm>
#include <utility>

namespace cadre {

void PieceCounts::piece(std::string_view piece) {
  ++total_;
  if (piece.size() > kMaxPieceBytes) return;
  if (!count_digits_ && piece.find_first_of("0123456789") != std::string_view::npos) return;
  if (const auto found = counts_.find(piece); found != counts_.end()) {
    ++found->second;
    return;
  }
  if (counts_.size() >= max_distinct_) forget_rarest();
  counts_.emplace(piece, 1);
}

void PieceCounts::forget_rarest() {
  floor_ = 0;
  while (counts_.size() >= max_distinct_) {
    ++floor_;
    std::erase_if(counts_, [&](const auto& entry) { return entry.second <= floor_; });
  }
}

std::vector<WordCount> PieceCounts::take() {
  std::vector<WordCount> words;
  words.reserve(counts_.size());
  while (!counts_.empty()) {
    auto entry = counts_.extract(counts_.begin());
    words.push_back({.word = std::move(entry.key()), .count = entry.mapped()});
  }
  std::sort(words.begin(), words.end(), [](const WordCount& a, const WordCount& b) {
    return a.count != b.count ? a.count > b.count : a.word < b.word;
  });
  return words;
}

}  // namespace cadre
