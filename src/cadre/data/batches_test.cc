#include "cadre/data/batches.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>

#include "cadre/base/fixtures.h"
#include "cadre/data/prepare.h"
#include "cadre/data/test_corpus.h"

namespace cadre {
namespace {

using fixtures::ScratchFolder;

/// Sets of numbered stories, made once: `small` has fewer documents than `large`.
class Batches : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = std::make_unique<ScratchFolder>();
    fixtures::small_tokenizer(*scratch_);
    for (const auto& [name, count] : {std::pair{"small", 30}, std::pair{"large", 300}}) {
      const std::vector files = {
          scratch_->file(std::string(name) + ".jsonl", fixtures::numbered_stories(count))};
      const auto made = prepare_corpus(files, *scratch_ / "tok", *scratch_ / name,
                                       {.held_out = 0.1, .shard_tokens = 1500}, fixtures::kNoProgress);
      ASSERT_TRUE(made) << made.error().message;
    }
  }
  static void TearDownTestSuite() { scratch_.reset(); }
  static TokenSet open(const std::string& name, Split split = Split::kTrain) {
    return TokenSet::open(*scratch_ / name, split).value();
  }

  static std::unique_ptr<ScratchFolder> scratch_;
};
std::unique_ptr<ScratchFolder> Batches::scratch_;

/// (token, target) pairs that count, and how often each is there.
using Pairs = std::map<std::pair<int32_t, int32_t>, int64_t>;

Pairs pairs_of(const TokenSet& set) {
  Pairs pairs;
  for (int64_t d = 0; d < set.documents(); ++d) {
    std::vector<int32_t> tokens(static_cast<size_t>(set.length(d) - 1));
    std::vector<int32_t> targets(tokens.size());
    set.read(d, 0, tokens, targets);
    for (size_t i = 0; i < tokens.size(); ++i)
      if (targets[i] != kNoTarget) ++pairs[{tokens[i], targets[i]}];
  }
  return pairs;
}

void collect(const TokenBatch& batch, Pairs& pairs) {
  for (size_t i = 0; i < batch.tokens.size(); ++i)
    if (batch.targets[i] != kNoTarget) ++pairs[{batch.tokens[i], batch.targets[i]}];
}

TEST_F(Batches, OnePassReadsEveryTargetOnce) {
  const TokenSet set = open("large");
  for (const int64_t length : {1, 7, 64, 1000}) {
    const auto rows = PackedRows::create(set, length, 5);
    ASSERT_TRUE(rows);
    const int64_t count = rows->rows();
    const auto batches = TrainingBatches::create({{.set = &set}}, {.rows = 1, .length = length}, 5);
    for (const int64_t pass : {0, 1}) {
      Pairs pairs;
      TokenBatch batch;
      for (int64_t step = pass * count; step < (pass + 1) * count; ++step) {
        batches->read(step, batch);
        collect(batch, pairs);
      }
      EXPECT_EQ(pairs, pairs_of(set)) << length;
    }
    EXPECT_DOUBLE_EQ(batches->passes(0, count), 1);
  }
}

TEST_F(Batches, SegmentsAreDocumentsAndDoNotRunTogether) {
  const TokenSet set = open("large");
  const auto batches = TrainingBatches::create({{.set = &set}}, {.rows = 8, .length = 200}, 1);
  TokenBatch batch;
  batches->read(3, batch);
  int64_t segments = 0;
  for (int64_t r = 0; r < 8; ++r) {
    const RowView row = batch.row(r);
    for (size_t i = 0; i < 200; ++i) {
      const bool begins = i == 0 || row.segments[i] != row.segments[i - 1];
      EXPECT_EQ(row.positions[i], begins ? 0 : row.positions[i - 1] + 1);
      EXPECT_EQ(row.segments[i], begins ? (i == 0 ? 0 : row.segments[i - 1] + 1) : row.segments[i - 1]);
      // Within a segment the target is the next token; EOS (1) is never followed by anything.
      if (i > 0 && !begins && row.targets[i - 1] != kNoTarget) {
        EXPECT_EQ(row.targets[i - 1], row.tokens[i]);
      }
      EXPECT_NE(row.tokens[i], 1);
      segments += begins ? 1 : 0;
    }
  }
  EXPECT_GT(segments, 8);
  EXPECT_GT(batches->parts()[0].fill(), 0.95);
}

TEST_F(Batches, LearnedSegmentsAreAllThatHasTargets) {
  const TokenSet set = open("small");
  const auto batches = TrainingBatches::create({{.set = &set}}, {.rows = 6, .length = 90}, 1);
  TokenBatch batch;
  batches->read(2, batch);
  PackedRows::blank(batch.row(4));
  std::vector<SegmentRange> ranges = {{.first = 7, .count = 7}};
  batch.learned_segments(ranges);
  std::vector<bool> covered(batch.tokens.size(), false);
  int64_t end = 0;
  for (const auto& [first, count] : ranges) {
    EXPECT_GE(first, end);
    end = first + count;
    EXPECT_EQ(first / 90, (end - 1) / 90) << "within one row";
    for (int64_t i = first; i < end; ++i) {
      EXPECT_EQ(batch.positions[static_cast<size_t>(i)], i - first);
      covered[static_cast<size_t>(i)] = true;
    }
  }
  for (size_t i = 0; i < covered.size(); ++i) EXPECT_TRUE(covered[i] || batch.targets[i] == kNoTarget) << i;
  for (size_t i = 4 * 90; i < size_t{5} * 90; ++i) EXPECT_FALSE(covered[i]);
}

TEST_F(Batches, ABatchDoesNotDependOnWhatWasReadBefore) {
  const TokenSet set = open("large");
  const TokenSet other = open("small");
  const std::vector<MixturePart> parts = {{.set = &set, .weight = 2}, {.set = &other, .weight = 1}};
  const BatchShape shape{.rows = 4, .length = 50};
  const auto straight = TrainingBatches::create(parts, shape, 9);
  const auto resumed = TrainingBatches::create(parts, shape, 9);
  const auto other_seed = TrainingBatches::create(parts, shape, 10);
  TokenBatch a;
  TokenBatch b;
  for (int64_t step = 0; step < 1000; ++step) straight->read(step, a);
  for (const int64_t step : {999, 3, 500}) {
    straight->read(step, a);
    resumed->read(step, b);
    EXPECT_EQ(a.tokens, b.tokens);
    EXPECT_EQ(a.targets, b.targets);
    EXPECT_EQ(a.positions, b.positions);
    EXPECT_EQ(a.segments, b.segments);
    other_seed->read(step, b);
    EXPECT_NE(a.tokens, b.tokens);
  }
}

TEST_F(Batches, PassesDifferInOrder) {
  const TokenSet set = open("large");
  const auto rows = PackedRows::create(set, 64, 1);
  const auto batches = TrainingBatches::create({{.set = &set}}, {.rows = rows->rows(), .length = 64}, 1);
  TokenBatch first;
  TokenBatch second;
  batches->read(0, first);
  batches->read(1, second);
  EXPECT_NE(first.tokens, second.tokens);
}

TEST_F(Batches, AMixtureKeepsItsShares) {
  const TokenSet large = open("large");
  const TokenSet small = open("small");
  const auto batches = TrainingBatches::create(
      {{.set = &large, .weight = 0.7}, {.set = &small, .weight = 0.3}}, {.rows = 10, .length = 50}, 3);
  ASSERT_TRUE(batches);
  for (const int64_t steps : {1, 10, 137}) {
    const auto& parts = batches->parts();
    const double first = batches->passes(0, steps) * static_cast<double>(parts[0].rows());
    const double second = batches->passes(1, steps) * static_cast<double>(parts[1].rows());
    EXPECT_NEAR(first, 7.0 * static_cast<double>(steps), 1);
    EXPECT_NEAR(first + second, 10.0 * static_cast<double>(steps), 1e-9);
  }
  // The rows of a part come in its own order, whatever is between them.
  const auto alone = TrainingBatches::create({{.set = &small}}, {.rows = 1, .length = 50}, 3);
  std::multiset<std::vector<int32_t>> expected;
  std::multiset<std::vector<int32_t>> found;
  TokenBatch batch;
  for (int64_t step = 0; step < 300; ++step) {  // 30 % of 1000 rows
    alone->read(step, batch);
    expected.insert(batch.tokens);
  }
  for (int64_t step = 0; step < 100; ++step) {
    batches->read(step, batch);
    for (int64_t r = 0; r < 10; ++r) found.emplace(batch.row(r).tokens.begin(), batch.row(r).tokens.end());
  }
  for (const auto& row : expected) EXPECT_GE(found.count(row), expected.count(row));
}

TEST_F(Batches, WrongMixturesAreRefused) {
  const TokenSet set = open("large");
  const BatchShape shape{.rows = 2, .length = 50};
  EXPECT_FALSE(TrainingBatches::create({}, shape, 0));
  for (const double weight : {0.0, -1.0, std::nan("")})
    EXPECT_FALSE(TrainingBatches::create({{.set = &set}, {.set = &set, .weight = weight}}, shape, 0))
        << weight;
  EXPECT_FALSE(TrainingBatches::create({{.set = &set, .weight = 1e5}, {.set = &set}}, shape, 0));
}

TEST_F(Batches, HeldOutIsReadOnceInOrder) {
  const TokenSet set = open("large", Split::kHeldOut);
  const auto batches = HeldOutBatches::create(set, {.rows = 4, .length = 64});
  ASSERT_TRUE(batches);
  Pairs pairs;
  int64_t targets = 0;
  TokenBatch batch;
  for (int64_t i = 0; i < batches->batches(); ++i) {
    batches->read(i, batch);
    collect(batch, pairs);
    targets += batch.targets_count();
  }
  EXPECT_EQ(pairs, pairs_of(set));
  // Only BOS is not learned, and it is the target of nothing.
  EXPECT_EQ(targets, set.entry().learned_tokens);
}

TEST(Permuted, IsAPermutationThatDependsOnSeedAndPass) {
  std::set<std::vector<int64_t>> orders;
  for (const int64_t count : {1, 2, 3, 5, 16, 17, 100, 1000}) {
    for (uint64_t seed = 0; seed < 2; ++seed)
      for (int64_t pass = 0; pass < 2; ++pass) {
        std::vector<int64_t> order;
        for (int64_t i = 0; i < count; ++i) order.push_back(permuted(i, count, seed, pass));
        if (count == 1000) orders.insert(order);
        std::sort(order.begin(), order.end());
        for (int64_t i = 0; i < count; ++i) ASSERT_EQ(order[static_cast<size_t>(i)], i) << count;
      }
  }
  EXPECT_EQ(orders.size(), 4u);
  // Neighbours are spread: over many seeds the place of the first is anywhere.
  double sum = 0;
  for (uint64_t seed = 0; seed < 1000; ++seed) sum += static_cast<double>(permuted(0, 1000, seed, 0));
  EXPECT_NEAR(sum / 1000, 499.5, 40);
}

}  // namespace
}  // namespace cadre
