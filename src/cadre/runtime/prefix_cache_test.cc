#include "cadre/runtime/prefix_cache.h"

#include <gtest/gtest.h>

#include "cadre/runtime/scheduler_testing.h"

namespace cadre {
namespace {

class PrefixCacheTest : public ::testing::Test {
 protected:
  PrefixCacheTest()
      : cache_(KvCache::create(scheduler_model().transformer(), DType::kBF16, 16 * kPageTokens).value()),
        prefixes_(cache_) {}

  /// Full pages, one for each of `pages`, of tokens that are all this number.
  static std::vector<int32_t> tokens(std::initializer_list<int32_t> pages) {
    std::vector<int32_t> ids;
    for (const int32_t page : pages) ids.insert(ids.end(), kPageTokens, page);
    return ids;
  }
  /// As a sequence that computed them and is over.
  void add(const std::vector<int32_t>& ids) {
    std::vector<int32_t> pages;
    for (size_t i = 0; i < ids.size() / kPageTokens; ++i) pages.push_back(cache_.take_page());
    prefixes_.add(0, ids, pages, [](int64_t, int32_t) {});
    for (const int32_t page : pages) cache_.give_page(page);
  }
  size_t found(const std::vector<int32_t>& ids) { return prefixes_.find(0, ids).size(); }

  KvCache cache_;
  PrefixCache prefixes_;
};

TEST_F(PrefixCacheTest, FindsTheLongestBeginningInWholePages) {
  add(tokens({1, 2, 3}));
  add(tokens({1, 2, 4}));
  EXPECT_EQ(cache_.kept_pages(), 4) << "the beginning is there once";
  EXPECT_EQ(cache_.free_pages(), 12);
  EXPECT_EQ(found(tokens({1, 2, 3, 9})), 3u);
  EXPECT_EQ(found(tokens({1, 2, 4})), 3u);
  EXPECT_EQ(found(tokens({1, 9})), 1u);
  EXPECT_EQ(found(tokens({2, 3})), 0u);
  std::vector<int32_t> part = tokens({1, 2});
  part.pop_back();
  EXPECT_EQ(found(part), 1u);
  EXPECT_TRUE(prefixes_.find(1, tokens({1, 2, 3})).empty()) << "of another number of experts";
}

TEST_F(PrefixCacheTest, SaysWhichPageIsThereAlready) {
  add(tokens({1, 2}));
  const std::vector<int32_t> there = {prefixes_.find(0, tokens({1, 2}))[0],
                                      prefixes_.find(0, tokens({1, 2}))[1]};
  const std::vector<int32_t> own = {cache_.take_page(), cache_.take_page()};
  std::vector<std::pair<int64_t, int32_t>> instead;
  prefixes_.add(0, tokens({1, 2}), own,
                [&](int64_t index, int32_t page) { instead.emplace_back(index, page); });
  EXPECT_EQ(instead, (std::vector<std::pair<int64_t, int32_t>>{{0, there[0]}, {1, there[1]}}));
  for (const int32_t page : own) cache_.give_page(page);
  EXPECT_EQ(cache_.free_pages(), 14);
}

TEST_F(PrefixCacheTest, GivesUpTheLeastRecentlyUsedAndEndsFirst) {
  add(tokens({1, 2}));
  add(tokens({3, 4}));
  EXPECT_EQ(found(tokens({1, 2})), 2u);  // used again
  prefixes_.evict(1);
  EXPECT_EQ(found(tokens({3, 4})), 1u);
  EXPECT_EQ(found(tokens({1, 2})), 2u);
  prefixes_.evict(2);
  EXPECT_EQ(found(tokens({3})), 0u);
  EXPECT_EQ(found(tokens({1, 2})), 1u);
  EXPECT_EQ(cache_.free_pages(), 15);
}

TEST_F(PrefixCacheTest, KeepsWhatSequencesHold) {
  add(tokens({1, 2}));
  const std::vector<int32_t> held = {prefixes_.find(0, tokens({1, 2}))[0],
                                     prefixes_.find(0, tokens({1, 2}))[1]};
  for (const int32_t page : held) cache_.share_page(page);
  EXPECT_EQ(cache_.kept_pages(), 0);
  prefixes_.evict(10);
  EXPECT_EQ(found(tokens({1, 2})), 2u);
  for (const int32_t page : held) cache_.give_page(page);
  EXPECT_EQ(cache_.kept_pages(), 2);
  prefixes_.evict(10);
  EXPECT_EQ(found(tokens({1, 2})), 0u);
  EXPECT_EQ(cache_.free_pages(), 16);
}

TEST_F(PrefixCacheTest, TellsWhatIsNewOnceEach) {
  add(tokens({1, 2}));
  add(tokens({1, 3}));
  prefixes_.forget_new(0, tokens({1, 2}));
  EXPECT_EQ(prefixes_.new_pages(), 2);
  const auto first = prefixes_.next_new();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->tokens, tokens({1}));
  EXPECT_EQ(first->page, prefixes_.find(0, tokens({1}))[0]);
  const auto second = prefixes_.next_new();
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->tokens, tokens({1, 3}));
  EXPECT_FALSE(prefixes_.next_new().has_value());
  add(tokens({5}));
  prefixes_.evict(16);
  EXPECT_FALSE(prefixes_.next_new().has_value()) << "what is gone is not new";
}

}  // namespace
}  // namespace cadre
