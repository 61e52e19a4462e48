#include "cadre/eval/windows.h"

#include <gtest/gtest.h>

namespace cadre {
namespace {

/// How often each token counts.
std::vector<int> counts(const std::vector<Window>& windows, int64_t tokens) {
  std::vector<int> result(static_cast<size_t>(tokens));
  for (const Window& window : windows)
    for (int64_t i = window.first_counted; i < window.end; ++i) ++result[static_cast<size_t>(i)];
  return result;
}

TEST(Windows, WithBosEveryTokenCountsOnce) {
  for (const int64_t tokens : {1, 7, 8, 9, 16, 23})
    for (const int64_t stride : {1, 3, 8})
      EXPECT_EQ(counts(cut_windows(tokens, 8, stride, true), tokens),
                std::vector<int>(static_cast<size_t>(tokens), 1))
          << tokens << " " << stride;
}

TEST(Windows, WithoutBosTheFirstOfEachWindowIsLeftOut) {
  const auto windows = cut_windows(10, 4, 4, false);
  EXPECT_EQ(counts(windows, 10), (std::vector<int>{0, 1, 1, 1, 0, 1, 1, 1, 0, 1}));
  // A last window of one token predicts nothing.
  EXPECT_EQ(cut_windows(9, 4, 4, false).size(), 2u);
  EXPECT_TRUE(cut_windows(1, 4, 4, false).empty());
}

TEST(Windows, AStrideGivesEachCountedTokenMoreContext) {
  const auto windows = cut_windows(12, 8, 2, false);
  EXPECT_EQ(counts(windows, 12), (std::vector<int>{0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}));
  for (size_t i = 1; i < windows.size(); ++i) EXPECT_GE(windows[i].first_counted - windows[i].begin, 6);
}

}  // namespace
}  // namespace cadre
