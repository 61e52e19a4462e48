#include "cadre/runtime/step_rows.h"

#include <gtest/gtest.h>

#include <numeric>

#include "cadre/base/random.h"

namespace cadre {
namespace {

std::vector<int64_t> share(const std::vector<RowDemand>& demands, const RowLimits& limits) {
  std::vector<int64_t> granted;
  share_rows(demands, limits, granted);
  return granted;
}

TEST(StepRows, EverybodyWhoDecodesHasOneAndPromptsShareTheRest) {
  const RowLimits limits{.step_rows = 512, .prefill_rows = 100};
  EXPECT_EQ(share({{1}, {16000}, {1}}, limits), (std::vector<int64_t>{1, 100, 1}));
  EXPECT_EQ(share({{16000}}, limits), (std::vector<int64_t>{512}));
  EXPECT_EQ(share({}, limits), (std::vector<int64_t>{}));
}

TEST(StepRows, TheShortestRestComesFirstButTheFirstPromptKeepsAQuarter) {
  const RowLimits limits{.step_rows = 100, .prefill_rows = 100};
  EXPECT_EQ(share({{16000}, {20}}, limits), (std::vector<int64_t>{80, 20}));
  EXPECT_EQ(share({{16000}, {300}, {200}}, limits), (std::vector<int64_t>{25, 0, 75}));
  EXPECT_EQ(share({{300}, {16000}}, limits), (std::vector<int64_t>{100, 0}));
  EXPECT_EQ(share({{10}, {5}, {7}}, limits), (std::vector<int64_t>{10, 5, 7}));
}

TEST(StepRows, TokensOfManyExpertsCostMore) {
  const RowLimits limits{.step_rows = 64, .prefill_rows = 32};
  EXPECT_EQ(share({{1, 4}, {1, 1}, {100, 4}}, limits), (std::vector<int64_t>{1, 1, 14}));
  // Not all can decode at once: the turn goes round.
  EXPECT_EQ(share({{1, 40}, {1, 40}}, limits), (std::vector<int64_t>{1, 0}));
  EXPECT_EQ(share({{1, 40}, {1, 40}}, {.step_rows = 64, .prefill_rows = 32, .turn = 1}),
            (std::vector<int64_t>{0, 1}));
}

TEST(StepRows, NoStepIsOverfullAndNoneIsEmpty) {
  const RandomStream random(3, 0);
  uint64_t draw = 0;
  for (int round = 0; round < 500; ++round) {
    std::vector<RowDemand> demands(1 + random.bits(draw++) % 10);
    for (RowDemand& demand : demands) {
      demand.tokens = random.bits(draw++) % 3 == 0 ? 1 : static_cast<int64_t>(1 + random.bits(draw++) % 900);
      demand.cost = static_cast<int64_t>(1 + random.bits(draw++) % 4);
    }
    const RowLimits limits{.step_rows = static_cast<int64_t>(4 + random.bits(draw++) % 300),
                           .prefill_rows = static_cast<int64_t>(1 + random.bits(draw++) % 100),
                           .turn = round};
    const std::vector<int64_t> granted = share(demands, limits);
    int64_t rows = 0;
    int64_t tokens = 0;
    for (size_t i = 0; i < demands.size(); ++i) {
      ASSERT_GE(granted[i], 0);
      ASSERT_LE(granted[i], demands[i].tokens);
      rows += granted[i] * demands[i].cost;
      tokens += granted[i];
    }
    ASSERT_LE(rows, limits.step_rows);
    ASSERT_GT(tokens, 0);
  }
}

}  // namespace
}  // namespace cadre
