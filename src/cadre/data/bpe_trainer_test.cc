#include "cadre/data/bpe_trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>

#include "cadre/base/random.h"

namespace cadre {
namespace {

constexpr auto kIgnore = [](int64_t, int64_t) -> Status { return {}; };

/// The definition: count all pairs anew for every merge.
std::vector<BpeMerge> learn_slowly(std::span<const WordCount> words, int64_t tokens, int64_t min_count) {
  std::vector<std::vector<int32_t>> split;
  for (const WordCount& word : words) split.emplace_back(word.word.begin(), word.word.end());
  for (auto& word : split)
    for (int32_t& symbol : word) symbol &= 0xFF;
  std::vector<std::string> texts;
  for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
  std::vector<BpeMerge> merges;
  while (std::ssize(texts) < tokens) {
    std::map<std::pair<int32_t, int32_t>, int64_t> pairs;
    for (size_t w = 0; w < split.size(); ++w)
      for (size_t i = 0; i + 1 < split[w].size(); ++i)
        pairs[{split[w][i], split[w][i + 1]}] += words[w].count;
    // max_element takes the first of equals, and the map is ordered by left, then right.
    const auto best = std::max_element(pairs.begin(), pairs.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    if (best == pairs.end() || best->second < min_count) break;
    const auto [left, right] = best->first;
    const std::string text = texts[static_cast<size_t>(left)] + texts[static_cast<size_t>(right)];
    const auto known = std::find(texts.begin(), texts.end(), text);
    const auto result = static_cast<int32_t>(known - texts.begin());
    if (known == texts.end()) texts.push_back(text);
    merges.push_back({left, right, result});
    for (auto& word : split) {
      std::vector<int32_t> merged;
      for (size_t i = 0; i < word.size(); ++i) {
        const bool here = i + 1 < word.size() && word[i] == left && word[i + 1] == right;
        merged.push_back(here ? result : word[i]);
        i += here ? 1 : 0;
      }
      word = merged;
    }
  }
  return merges;
}

std::vector<WordCount> random_words(uint64_t seed, size_t count, uint64_t letters, uint64_t longest) {
  const RandomStream draw(seed, 1);
  std::map<std::string, int64_t> words;
  for (uint64_t i = 0; i < count; ++i) {
    std::string word;
    for (uint64_t j = 0; j <= draw.bits(i * 64) % longest; ++j)
      word += static_cast<char>('a' + draw.bits(i * 64 + j + 1) % letters);
    words[word] += static_cast<int64_t>(draw.bits(i * 64 + 63) % 5 + 1);
  }
  std::vector<WordCount> list;
  for (const auto& [word, times] : words) list.push_back({word, times});
  return list;
}

std::vector<std::array<int32_t, 3>> as_arrays(const std::vector<BpeMerge>& merges) {
  std::vector<std::array<int32_t, 3>> arrays;
  for (const BpeMerge& merge : merges) arrays.push_back({merge.left, merge.right, merge.result});
  return arrays;
}

TEST(LearnMerges, EqualsCountingAllPairsAnew) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    // One letter: long runs, where a pair overlaps itself; two and three: the same text by several merges.
    const auto words = random_words(seed, 30 + seed * 3, 1 + seed % 4, 4 + seed);
    const BpeTrainerOptions options{.tokens = 256 + 60, .min_count = 1 + static_cast<int64_t>(seed % 3)};
    const auto merges = learn_merges(words, options, kIgnore);
    ASSERT_TRUE(merges);
    EXPECT_EQ(as_arrays(*merges), as_arrays(learn_slowly(words, options.tokens, options.min_count))) << seed;
  }
}

TEST(LearnMerges, DoesNotDependOnTheOrderOfWords) {
  auto words = random_words(7, 200, 5, 9);
  const auto merges = learn_merges(words, {.tokens = 330}, kIgnore);
  std::reverse(words.begin(), words.end());
  EXPECT_EQ(as_arrays(*merges), as_arrays(*learn_merges(words, {.tokens = 330}, kIgnore)));
}

TEST(LearnMerges, EndsWhenNoPairIsFrequentEnough) {
  const std::vector<WordCount> words = {{"abc", 5}, {"xy", 1}};
  const auto merges = learn_merges(words, {.tokens = 1000, .min_count = 2}, kIgnore);
  EXPECT_EQ(as_arrays(*merges), (std::vector<std::array<int32_t, 3>>{{'a', 'b', 256}, {256, 'c', 257}}));
}

TEST(LearnMerges, ProgressMayEndIt) {
  const auto words = random_words(3, 2000, 20, 9);
  const auto merges = learn_merges(words, {.tokens = 1000}, [](int64_t, int64_t) -> Status {
    return fail(ErrorKind::kInterrupt, "stop");
  });
  ASSERT_FALSE(merges);
  EXPECT_EQ(merges.error().kind, ErrorKind::kInterrupt);
}

TEST(LearnMerges, EncodingGivesTheSegmentationItEndedWith) {
  const auto words = random_words(11, 300, 4, 12);
  const auto merges = learn_merges(words, {.tokens = 340}, kIgnore);
  ASSERT_TRUE(merges);
  std::array<int32_t, 256> bytes{};
  std::iota(bytes.begin(), bytes.end(), 0);
  const Bpe bpe(bytes, *merges);
  BpeWorkspace workspace;
  for (const WordCount& word : words) {
    std::vector<int32_t> expected(word.word.begin(), word.word.end());
    for (const BpeMerge& merge : *merges) {
      std::vector<int32_t> merged;
      for (size_t i = 0; i < expected.size(); ++i) {
        const bool here =
            i + 1 < expected.size() && expected[i] == merge.left && expected[i + 1] == merge.right;
        merged.push_back(here ? merge.result : expected[i]);
        i += here ? 1 : 0;
      }
      expected = merged;
    }
    std::vector<int32_t> ids;
    bpe.encode(word.word, workspace, ids);
    EXPECT_EQ(ids, expected) << word.word;
  }
}

}  // namespace
}  // namespace cadre
