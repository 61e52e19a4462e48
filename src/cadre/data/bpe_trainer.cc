#include "cadre/data/bpe_trainer.h"

#include <algorithm>
#include <queue>
#include <unordered_map>
#include <utility>

#include "cadre/base/check.h"

namespace cadre {
namespace {

using PairKey = uint64_t;  // left << 32 | right: keys are ordered as ties are

constexpr PairKey key_of(int32_t left, int32_t right) {
  return PairKey{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}
constexpr int32_t left_of(PairKey key) { return static_cast<int32_t>(key >> 32); }
constexpr int32_t right_of(PairKey key) { return static_cast<int32_t>(key & 0xFFFFFFFFu); }

/// Keys are small numbers in both halves, which the standard library would use as they are.
struct KeyHash {
  size_t operator()(PairKey key) const {
    key *= 0x9E3779B97F4A7C15ull;
    return key ^ key >> 32;
  }
};

class Learner {
 public:
  Learner(std::span<const WordCount> words, int64_t min_count) : min_count_(min_count) {
    for (int byte = 0; byte < 256; ++byte) token(std::string(1, static_cast<char>(byte)));
    for (const WordCount& word : words) add_word(word);
    for (const auto& [key, pair] : pairs_) heap_.push({pair.count, key});
  }

  int64_t tokens() const { return static_cast<int64_t>(texts_.size()); }

  /// One merge; false when no pair is frequent enough.
  bool step(std::vector<BpeMerge>& merges) {
    while (!heap_.empty()) {
      const Candidate best = heap_.top();
      heap_.pop();
      const auto found = pairs_.find(best.key);
      const int64_t count = found == pairs_.end() ? 0 : found->second.count;
      if (count < min_count_) continue;  // it comes back when its count grows
      if (count != best.count) {         // it was pushed before some of it went into other merges
        heap_.push({count, best.key});
        continue;
      }
      merges.push_back(apply(best.key));
      return true;
    }
    return false;
  }

 private:
  struct Word {
    size_t begin = 0;  // in symbols_
    uint32_t length = 0;
    int64_t count = 0;
  };
  struct Pair {
    int64_t count = 0;
    std::vector<uint32_t> words;  // where it occurs, or has occurred
  };
  struct Candidate {
    int64_t count = 0;
    PairKey key = 0;
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : key > other.key;
    }
  };

  int32_t token(std::string text) {
    const auto [entry, is_new] = ids_.emplace(text, static_cast<int32_t>(texts_.size()));
    if (is_new) texts_.push_back(std::move(text));
    return entry->second;
  }

  void add_word(const WordCount& word) {
    const auto index = static_cast<uint32_t>(words_.size());
    words_.push_back(
        {.begin = symbols_.size(), .length = static_cast<uint32_t>(word.word.size()), .count = word.count});
    for (const char c : word.word) symbols_.push_back(static_cast<uint8_t>(c));
    for (size_t i = words_.back().begin; i + 1 < symbols_.size(); ++i)
      add(key_of(symbols_[i], symbols_[i + 1]), word.count, index);
  }

  void add(PairKey key, int64_t count, uint32_t word) {
    Pair& pair = pairs_[key];
    pair.count += count;
    if (pair.words.empty() || pair.words.back() != word) pair.words.push_back(word);
  }

  BpeMerge apply(PairKey key) {
    const int32_t left = left_of(key);
    const int32_t right = right_of(key);
    const int32_t result = token(texts_[static_cast<size_t>(left)] + texts_[static_cast<size_t>(right)]);
    const std::vector<uint32_t> words = std::move(pairs_[key].words);
    grown_.clear();
    for (const uint32_t word : words) merge_in(word, {left, right, result});
    pairs_.erase(key);
    std::sort(grown_.begin(), grown_.end());
    grown_.erase(std::unique(grown_.begin(), grown_.end()), grown_.end());
    for (const PairKey grown : grown_)
      if (const auto found = pairs_.find(grown); found != pairs_.end())
        heap_.push({found->second.count, grown});
    return {left, right, result};
  }

  void merge_in(uint32_t index, const BpeMerge& merge) {
    Word& word = words_[index];
    int32_t* const s = symbols_.data() + word.begin;
    uint32_t out = 0;
    const auto replace = [&](PairKey old, PairKey now) {
      pairs_[old].count -= word.count;
      add(now, word.count, index);
      grown_.push_back(now);
    };
    for (uint32_t i = 0; i < word.length;) {
      if (i + 1 < word.length && s[i] == merge.left && s[i + 1] == merge.right) {
        if (out > 0) replace(key_of(s[out - 1], merge.left), key_of(s[out - 1], merge.result));
        if (i + 2 < word.length) replace(key_of(merge.right, s[i + 2]), key_of(merge.result, s[i + 2]));
        s[out++] = merge.result;
        i += 2;
      } else {
        s[out++] = s[i++];
      }
    }
    word.length = out;
  }

  int64_t min_count_;
  std::vector<std::string> texts_;  // by token
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<int32_t> symbols_;  // of all words, each shrinking in its place
  std::vector<Word> words_;
  std::unordered_map<PairKey, Pair, KeyHash> pairs_;
  std::priority_queue<Candidate> heap_;
  std::vector<PairKey> grown_;  // by the merge at hand
};

}  // namespace

Result<std::vector<BpeMerge>> learn_merges(std::span<const WordCount> words, const BpeTrainerOptions& options,
                                           MergeProgress progress) {
  constexpr size_t kProgressMerges = 64;
  Learner learner(words, std::max<int64_t>(options.min_count, 1));
  std::vector<BpeMerge> merges;
  while (learner.tokens() < options.tokens && learner.step(merges))
    if (merges.size() % kProgressMerges == 0) CADRE_CHECK_OK(progress(learner.tokens(), options.tokens));
  return merges;
}

}  // namespace cadre
