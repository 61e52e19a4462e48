#include "cadre/bench/profile.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "cadre/bench/test_model.h"

namespace cadre {
namespace {

class ProfilerTest : public testing::Test {
 protected:
  ProfilerTest()
      : model_(make_test_model()),
        engine_(Engine::create(model_, {.cpu = {.threads = 2}, .context_tokens = 256}).value()),
        profiler_(engine_) {}

  /// One step of `count` tokens of a new sequence.
  void step(int32_t count) {
    std::vector<int32_t> tokens(static_cast<size_t>(count));
    for (int32_t i = 0; i < count; ++i) tokens[static_cast<size_t>(i)] = i * 7 % 300;
    const StepItem item{.sequence = engine_.open_sequence(), .tokens = tokens};
    profiler_.begin_step();
    EXPECT_TRUE(engine_.step(std::span(&item, 1)));
    profiler_.end_step();
  }

  Model model_;
  Engine engine_;
  Profiler profiler_;
};

const ProfileRow* find(const Profile& profile, std::string_view operation) {
  const auto found = std::ranges::find(profile.rows, operation, &ProfileRow::operation);
  return found == profile.rows.end() ? nullptr : &*found;
}

TEST_F(ProfilerTest, ThePartsAreNoMoreThanTheWhole) {
  for (int i = 0; i < 3; ++i) step(5);
  const Profile profile = profiler_.result();
  EXPECT_EQ(profile.steps, 3);
  EXPECT_GT(profile.explained_seconds(), 0);
  EXPECT_LE(profile.explained_seconds(), profile.wall_seconds);
  EXPECT_GE(profile.waited_seconds, 0);
  EXPECT_LE(profile.waited_seconds, profile.wall_seconds);
  EXPECT_TRUE(std::ranges::is_sorted(profile.rows, std::ranges::greater(), &ProfileRow::seconds));
}

TEST_F(ProfilerTest, CallsAndOperationsAreThoseOfTheModel) {
  step(5);
  const Profile profile = profiler_.result();
  // Three layers, of which the first is dense.
  const ProfileRow* attend = find(profile, "attend");
  ASSERT_NE(attend, nullptr);
  EXPECT_EQ(attend->calls, 3);
  const ProfileRow* experts = find(profile, "expert_ffn experts, F32");
  ASSERT_NE(experts, nullptr);
  EXPECT_EQ(experts->calls, 2);
  ASSERT_NE(find(profile, "routing"), nullptr);
  EXPECT_EQ(find(profile, "routing")->calls, 2);
  ASSERT_NE(find(profile, "expert_ffn dense FFN, F32"), nullptr);
  EXPECT_EQ(find(profile, "expert_ffn dense FFN, F32")->calls, 1);

  const MoeConfig& moe = *model_.config().moe;
  const int64_t width = model_.config().hidden_size;
  const int64_t uses = moe.num_experts_per_tok + moe.n_shared_experts;
  EXPECT_EQ(experts->operations,
            static_cast<double>(2 * 2 * 5 * 3 * width * moe.moe_intermediate_size * uses));
  // The head is the tied embedding, of the last token's row.
  const ProfileRow* head = find(profile, "matmul embedding embed_tokens, F32");
  ASSERT_NE(head, nullptr);
  EXPECT_EQ(head->calls, 1);
  EXPECT_EQ(head->operations, static_cast<double>(2 * width * 300));
  EXPECT_EQ(head->bytes, static_cast<double>(4 * width * 300));
}

TEST_F(ProfilerTest, OutsideAStepNothingIsAddedUp) {
  const std::vector<int32_t> tokens = {1, 2, 3};
  const StepItem item{.sequence = engine_.open_sequence(), .tokens = tokens};
  ASSERT_TRUE(engine_.step(std::span(&item, 1)));
  EXPECT_TRUE(profiler_.result().rows.empty());
  step(2);
  profiler_.reset();
  EXPECT_TRUE(profiler_.result().rows.empty());
  EXPECT_EQ(profiler_.result().steps, 0);
}

TEST_F(ProfilerTest, LogitsAreTheSameBits) {
  Engine plain = Engine::create(model_, {.cpu = {.threads = 2}, .context_tokens = 256}).value();
  const std::vector<int32_t> tokens = {5, 6, 7};
  const StepItem theirs{.sequence = plain.open_sequence(), .tokens = tokens};
  const Tensor expected = plain.step(std::span(&theirs, 1)).value();
  const StepItem ours{.sequence = engine_.open_sequence(), .tokens = tokens};
  profiler_.begin_step();
  const Tensor found = engine_.step(std::span(&ours, 1)).value();
  profiler_.end_step();
  EXPECT_TRUE(std::equal(expected.data, expected.data + expected.width, found.data));
}

TEST(Profile, SumsRowsOfTheSameName) {
  Profile sum{.rows = {{"a", 1, 0.5, 10, 20}, {"b", 1, 0.25, 0, 0}}, .wall_seconds = 1, .steps = 1};
  sum += Profile{.rows = {{"b", 2, 0.5, 1, 2}, {"c", 1, 0.1, 0, 0}},
                 .wall_seconds = 2,
                 .waited_seconds = 0.1,
                 .steps = 3};
  ASSERT_EQ(sum.rows.size(), 3u);
  EXPECT_EQ(sum.rows[0].operation, "b");
  EXPECT_EQ(sum.rows[0].calls, 3);
  EXPECT_EQ(sum.rows[0].seconds, 0.75);
  EXPECT_EQ(sum.rows[0].operations, 2);
  EXPECT_EQ(sum.wall_seconds, 3);
  EXPECT_EQ(sum.waited_seconds, 0.1);
  EXPECT_EQ(sum.steps, 4);
  const std::string text = to_text(sum);
  EXPECT_NE(text.find("4 steps of 750.000 ms on average, 45.0 % of it explained"), std::string::npos) << text;
}

}  // namespace
}  // namespace cadre
