// Requests over the scheduler's thread: answers equal those of generate() alone, whatever else runs.
#include "cadre/runtime/scheduler.h"

#include <gtest/gtest.h>

#include <thread>

#include "cadre/runtime/samplable_tokens.h"
#include "cadre/runtime/scheduler_testing.h"

namespace cadre {
namespace {

using std::chrono::milliseconds;

class SchedulerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    model_ = new Model(make_scheduler_model());
    tokenizer_ = new Tokenizer(make_test_tokenizer(*model_));
  }
  static void TearDownTestSuite() {
    delete tokenizer_;
    delete model_;
  }

  static Engine make_engine(int64_t context_tokens = 1024, int64_t max_step_rows = 128) {
    return Engine::create(
               *model_,
               {.cpu = {.threads = 1}, .context_tokens = context_tokens, .max_step_rows = max_step_rows})
        .value();
  }
  static std::unique_ptr<Scheduler> make_scheduler(Engine& engine, const SchedulerOptions& options = {}) {
    auto scheduler = Scheduler::create(engine, samplable_tokens(*tokenizer_, 300), options);
    EXPECT_TRUE(scheduler.has_value()) << scheduler.error().message;
    return std::move(scheduler).value();
  }

  struct Answer {
    std::vector<int32_t> tokens;
    FinishReason reason = FinishReason::kStopToken;
    bool operator==(const Answer&) const = default;
  };
  /// What generate() answers on an engine of its own.
  static Answer alone(const Request& request, int64_t context_tokens = 1024) {
    Engine engine = make_engine(context_tokens);
    const GenerationOptions options{
        .max_tokens = request.max_tokens, .sampling = request.sampling, .stop_tokens = request.stop_tokens};
    const Generation answer =
        generate(engine, engine.open_sequence(), request.prompt, *tokenizer_, options, [](std::string_view) {
          return true;
        }).value();
    return {answer.tokens, answer.reason};
  }

  /// A mixture: short and long prompts, greedy and seeded, with penalties and without.
  static Request mixed_request(uint64_t i, int64_t longest = 40) {
    constexpr int64_t kLengths[] = {1, 5, 63, 64, 65, 200, 330};
    Request request{.prompt = test_prompt(i, kLengths[i % 7]),
                    .max_tokens = 3 + static_cast<int64_t>(i * 11) % longest};
    request.sampling.temperature = i % 3 == 0 ? 0 : 1.3;
    request.sampling.seed = i;
    if (i % 4 == 1) request.sampling.repetition_penalty = 1.2;
    if (i % 4 == 2) request.sampling.top_k = 20;
    request.client = i % 2 == 0 ? "even" : "odd";
    return request;
  }
  /// Runs `count` of them at once and compares each with its answer alone. -> the scheduler's counters
  static SchedulerStats check_company(Engine& engine, const SchedulerOptions& options, uint64_t count,
                                      int64_t longest = 40);

  static Model* model_;
  static Tokenizer* tokenizer_;
};

Model* SchedulerTest::model_ = nullptr;
Tokenizer* SchedulerTest::tokenizer_ = nullptr;

SchedulerStats SchedulerTest::check_company(Engine& engine, const SchedulerOptions& options, uint64_t count,
                                            int64_t longest) {
  const int64_t context_tokens = engine.options().context_tokens;
  const std::unique_ptr<Scheduler> scheduler = make_scheduler(engine, options);
  std::vector<std::shared_ptr<Recorder>> heard;
  for (uint64_t i = 0; i < count; ++i) {
    heard.push_back(std::make_shared<Recorder>());
    EXPECT_TRUE(scheduler->submit(mixed_request(i, longest), heard.back()).has_value());
  }
  EXPECT_TRUE(scheduler->drain(milliseconds(120000)));
  for (uint64_t i = 0; i < count; ++i) {
    SCOPED_TRACE(i);
    EXPECT_FALSE(heard[i]->error.has_value());
    const Answer found{heard[i]->tokens, heard[i]->reason.value_or(FinishReason::kCancelled)};
    EXPECT_TRUE(found == alone(mixed_request(i, longest), context_tokens));
    EXPECT_EQ(heard[i]->stats.generated_tokens, static_cast<int64_t>(found.tokens.size()));
  }
  const SchedulerStats stats = scheduler->stats();
  EXPECT_EQ(stats.finished, static_cast<int64_t>(count));
  EXPECT_EQ(stats.running + stats.queued, 0);
  return stats;
}

TEST_F(SchedulerTest, AnswersInCompanyAreThoseAlone) {
  Engine engine = make_engine(4096);
  const SchedulerStats stats = check_company(engine, {.prefill_rows = 48, .prefix_cache = false}, 14);
  EXPECT_EQ(stats.preempted, 0);
  EXPECT_EQ(stats.free_pages, stats.pages);
  EXPECT_LT(stats.steps, stats.step_rows);
}

TEST_F(SchedulerTest, AnswersAfterPreemptionAreThoseAlone) {
  Engine engine = make_engine(448);  // seven pages
  const SchedulerStats stats = check_company(engine, {.prefill_rows = 48, .prefix_cache = false}, 14, 200);
  EXPECT_GT(stats.preempted, 0);
  EXPECT_EQ(stats.free_pages, stats.pages);
}

}  // namespace
}  // namespace cadre
