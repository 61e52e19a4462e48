// Requests over the scheduler's thread: answers equal those of generate() alone, whatever else runs.
#include "cadre/runtime/scheduler.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "cadre/base/fixtures.h"
#include "cadre/runtime/samplable_tokens.h"
#include "cadre/runtime/scheduler_testing.h"

namespace cadre {
namespace {

using std::chrono::milliseconds;

class SchedulerTest : public ::testing::Test {
 protected:
  static std::unique_ptr<Scheduler> make_scheduler(Engine& engine, const SchedulerOptions& options = {}) {
    auto scheduler = Scheduler::create(engine, samplable_tokens(scheduler_tokenizer(), 300), options);
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
    Engine engine = make_scheduler_engine(context_tokens);
    const GenerationOptions options{
        .max_tokens = request.max_tokens, .sampling = request.sampling, .stop_tokens = request.stop_tokens};
    const Generation answer = generate(engine, engine.open_sequence(), request.prompt, scheduler_tokenizer(),
                                       options, [](std::string_view) { return true; })
                                  .value();
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
};

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
  Engine engine = make_scheduler_engine(4096);
  const SchedulerStats stats = check_company(engine, {.prefill_rows = 48, .prefix_cache = false}, 14);
  EXPECT_EQ(stats.preempted, 0);
  EXPECT_EQ(stats.free_pages, stats.pages);
  EXPECT_LT(stats.steps, stats.step_rows);
}

TEST_F(SchedulerTest, AnswersAfterPreemptionAreThoseAlone) {
  Engine engine = make_scheduler_engine(448);  // seven pages
  const SchedulerStats stats = check_company(engine, {.prefill_rows = 48, .prefix_cache = false}, 14, 200);
  EXPECT_GT(stats.preempted, 0);
  EXPECT_EQ(stats.free_pages, stats.pages);
}

TEST_F(SchedulerTest, AnswersFromThePrefixCacheAreThoseAlone) {
  Engine engine = make_scheduler_engine(4096);
  const std::unique_ptr<Scheduler> scheduler = make_scheduler(engine, {.prefill_rows = 48});
  const std::vector<int32_t> system = test_prompt(99, 200);
  const auto ask = [&](Request request) {
    auto heard = std::make_shared<Recorder>();
    EXPECT_TRUE(scheduler->submit(std::move(request), heard).has_value());
    return heard;
  };
  const auto request = [&](uint64_t which) {
    Request result{.prompt = system, .max_tokens = 70};
    const std::vector<int32_t> rest = test_prompt(which, 30);
    result.prompt.insert(result.prompt.end(), rest.begin(), rest.end());
    result.sampling.seed = which;
    return result;
  };
  const auto first = ask(request(1));
  EXPECT_EQ(first->wait().stats.cached_tokens, 0);
  const auto second = ask(request(2));
  const auto third = ask(request(3));
  Request private_request = request(4);
  private_request.use_prefix_cache = false;
  const auto fourth = ask(std::move(private_request));
  EXPECT_EQ(second->wait().stats.cached_tokens, 192);
  EXPECT_EQ(third->wait().stats.cached_tokens, 192);
  EXPECT_EQ(fourth->wait().stats.cached_tokens, 0);

  // A conversation goes on: the answer is in the cache too.
  Request next = request(1);
  next.prompt.insert(next.prompt.end(), first->tokens.begin(), first->tokens.end());
  next.prompt.push_back(7);
  const Answer expected_next = alone(next);
  const auto fifth = ask(std::move(next));
  EXPECT_EQ(fifth->wait().stats.cached_tokens, (230 + 69) / 64 * 64);
  EXPECT_EQ(fifth->tokens, expected_next.tokens);

  // Another number of experts is another computation.
  Request fewer = request(2);
  fewer.experts = 1;
  EXPECT_EQ(ask(std::move(fewer))->wait().stats.cached_tokens, 0);

  EXPECT_EQ(first->tokens, alone(request(1)).tokens);
  EXPECT_EQ(second->tokens, alone(request(2)).tokens);
  EXPECT_EQ(third->tokens, alone(request(3)).tokens);
  EXPECT_EQ(fourth->tokens, alone(request(4)).tokens);
  EXPECT_TRUE(scheduler->drain(milliseconds(10000)));
  const SchedulerStats stats = scheduler->stats();
  EXPECT_EQ(stats.cached_tokens, 192 + 192 + (230 + 69) / 64 * 64);
  EXPECT_GT(stats.cached_pages, 0);
  EXPECT_EQ(stats.cached_pages + stats.free_pages, stats.pages);
}

TEST_F(SchedulerTest, ASmallCacheGivesUpPrefixesBeforeRequests) {
  Engine engine = make_scheduler_engine(448);
  const SchedulerStats stats = check_company(engine, {.prefill_rows = 48}, 14, 200);
  EXPECT_GT(stats.preempted, 0);
  EXPECT_EQ(stats.cached_pages + stats.free_pages, stats.pages);
}

TEST_F(SchedulerTest, ManyThreadsSubmitAndCancel) {
  Engine engine = make_scheduler_engine(1024);
  const std::unique_ptr<Scheduler> scheduler = make_scheduler(engine, {.max_running = 8});
  std::vector<std::shared_ptr<Recorder>> heard;
  for (int i = 0; i < 24; ++i) heard.push_back(std::make_shared<Recorder>());
  {
    std::vector<std::jthread> threads;
    for (uint64_t t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        for (uint64_t i = 0; i < 6; ++i) {
          const auto id = scheduler->submit(mixed_request(t * 6 + i), heard[t * 6 + i]);
          ASSERT_TRUE(id.has_value());
          if (i % 3 == 1) scheduler->cancel(*id);
          scheduler->stats();
        }
      });
  }
  EXPECT_TRUE(scheduler->drain(milliseconds(120000)));
  int64_t cancelled = 0;
  for (uint64_t i = 0; i < heard.size(); ++i) {
    ASSERT_TRUE(heard[i]->reason.has_value());
    const Answer expected = alone(mixed_request(i));
    if (heard[i]->reason != FinishReason::kCancelled) {
      EXPECT_EQ(heard[i]->tokens, expected.tokens) << i;
      continue;
    }
    ++cancelled;
    ASSERT_LE(heard[i]->tokens.size(), expected.tokens.size());
    EXPECT_TRUE(std::equal(heard[i]->tokens.begin(), heard[i]->tokens.end(), expected.tokens.begin())) << i;
  }
  const SchedulerStats stats = scheduler->stats();
  EXPECT_EQ(stats.cancelled, cancelled);
  EXPECT_EQ(stats.finished + stats.cancelled, 24);
}

TEST_F(SchedulerTest, AListenerMayCancelItsRequest) {
  /// Cancels on the third token.
  class Impatient : public Recorder {
   public:
    bool on_token(const TokenEvent& event) override {
      Recorder::on_token(event);
      if (tokens.size() == 3) scheduler->cancel(id.load());
      return true;
    }
    Scheduler* scheduler = nullptr;
    std::atomic<RequestId> id{RequestId{0}};
  };
  Engine engine = make_scheduler_engine(4096);
  const std::unique_ptr<Scheduler> scheduler = make_scheduler(engine, {});
  const auto heard = std::make_shared<Impatient>();
  heard->scheduler = scheduler.get();
  heard->id = RequestId{1};  // the first request's
  ASSERT_TRUE(scheduler->submit({.prompt = test_prompt(1, 10)}, heard).has_value());
  EXPECT_EQ(heard->wait().reason, FinishReason::kCancelled);
  EXPECT_EQ(heard->tokens.size(), 3u);
}

TEST_F(SchedulerTest, AFullQueueRefuses) {
  Engine engine = make_scheduler_engine(4096);
  const std::unique_ptr<Scheduler> scheduler = make_scheduler(engine, {.max_running = 1, .max_queued = 2});
  std::vector<std::shared_ptr<Recorder>> heard;
  std::vector<Result<RequestId>> ids;
  for (int i = 0; i < 6; ++i) {
    heard.push_back(std::make_shared<Recorder>());
    ids.push_back(scheduler->submit({.prompt = test_prompt(1, 10)}, heard.back()));
    if (i == 0)
      while (heard[0]->heard == 0) std::this_thread::yield();  // it runs now, and waits no more
  }
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(ids[static_cast<size_t>(i)].has_value()) << i;
  for (int i = 3; i < 6; ++i) {
    ASSERT_FALSE(ids[static_cast<size_t>(i)].has_value()) << i;
    EXPECT_EQ(ids[static_cast<size_t>(i)].error().kind, ErrorKind::kBusy);
  }
  EXPECT_EQ(scheduler->stats().refused, 3);
  EXPECT_EQ(scheduler->stats().queued, 2);
  EXPECT_EQ(scheduler->stats().running, 1);
}

TEST_F(SchedulerTest, DrainingWaitsThenCancels) {
  Engine engine = make_scheduler_engine(4096);
  const std::unique_ptr<Scheduler> scheduler = make_scheduler(engine, {});
  const auto brief = std::make_shared<Recorder>();
  const auto endless = std::make_shared<Recorder>();
  ASSERT_TRUE(scheduler->submit({.prompt = test_prompt(1, 10), .max_tokens = 5}, brief).has_value());
  ASSERT_TRUE(scheduler->submit({.prompt = test_prompt(2, 10)}, endless).has_value());
  while (!brief->wait().over) continue;
  EXPECT_FALSE(scheduler->drain(milliseconds(1)));
  EXPECT_EQ(brief->reason, FinishReason::kMaxTokens);
  EXPECT_EQ(endless->reason, FinishReason::kCancelled);
  const auto late = scheduler->submit({.prompt = test_prompt(1, 10)}, std::make_shared<Recorder>());
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().kind, ErrorKind::kBusy);
  EXPECT_TRUE(scheduler->drain(milliseconds(1)));
}

TEST_F(SchedulerTest, DestructionCancelsWhatIsLeft) {
  Engine engine = make_scheduler_engine(4096);
  const auto running = std::make_shared<Recorder>();
  const auto waiting = std::make_shared<Recorder>();
  {
    const std::unique_ptr<Scheduler> scheduler = make_scheduler(engine, {.max_running = 1});
    ASSERT_TRUE(scheduler->submit({.prompt = test_prompt(1, 10)}, running).has_value());
    ASSERT_TRUE(scheduler->submit({.prompt = test_prompt(2, 10)}, waiting).has_value());
  }
  EXPECT_EQ(running->reason, FinishReason::kCancelled);
  EXPECT_EQ(waiting->reason, FinishReason::kCancelled);
  EXPECT_EQ(engine.free_tokens(), 4096);
}

TEST_F(SchedulerTest, WhatCannotBeDoneIsRefusedBeforeItIsQueued) {
  Engine engine = make_scheduler_engine(512);
  const std::unique_ptr<Scheduler> scheduler = make_scheduler(engine, {});
  const auto error = [&](Request request) {
    const auto id = scheduler->submit(std::move(request), std::make_shared<Recorder>());
    return id ? Error{} : id.error();
  };
  EXPECT_NE(error({}).message.find("no tokens"), std::string::npos);
  EXPECT_NE(error({.prompt = {1, 300}}).message.find("300"), std::string::npos);
  EXPECT_NE(error({.prompt = {-1}}).message.find("-1"), std::string::npos);
  EXPECT_NE(error({.prompt = {1}, .stop_tokens = {1000}}).message.find("1000"), std::string::npos);
  const Error large = error({.prompt = test_prompt(1, 513)});
  EXPECT_EQ(large.kind, ErrorKind::kTooLarge);
  EXPECT_NE(large.message.find("513"), std::string::npos);
  EXPECT_NE(large.message.find("512"), std::string::npos);
  const Error sampling = error({.prompt = {1}, .sampling = {.top_p = 2}});
  EXPECT_EQ(sampling.kind, ErrorKind::kInvalid);
  EXPECT_NE(sampling.message.find("top-p"), std::string::npos);
  EXPECT_NE(error({.prompt = {1}, .max_tokens = -1}).message.find("max tokens"), std::string::npos);
  EXPECT_NE(error({.prompt = {1}, .top_logprobs = 301}).message.find("top logprobs"), std::string::npos);
  EXPECT_NE(error({.prompt = {1}, .experts = 7}).message.find("1 to 6"), std::string::npos);
  EXPECT_NE(error({.prompt = {1}, .experts = -1}).message.find("1 to 6"), std::string::npos);

  EXPECT_FALSE(Scheduler::create(engine, std::vector<bool>(300), {}).has_value());
  const std::vector<bool> all(300, true);
  EXPECT_FALSE(Scheduler::create(engine, all, {.max_running = 65}).has_value());
  EXPECT_FALSE(Scheduler::create(engine, all, {.max_queued = 0}).has_value());
  EXPECT_FALSE(Scheduler::create(engine, all, {.prefill_rows = 0}).has_value());
  EXPECT_FALSE(Scheduler::create(engine, all, {.prefix_cache = false, .kv_disk_folder = "x"}).has_value());
}

class SnapshotTest : public SchedulerTest {
 protected:
  /// An engine and a scheduler of their own answer one request.
  struct Session {
    std::vector<int32_t> tokens;
    RequestStats request;
    SchedulerStats scheduler;
  };
  Session ask(int64_t experts = 0, DType kv_type = DType::kBF16, uint64_t seed = 0) const {
    const Model other = make_scheduler_model(seed);
    Engine engine =
        Engine::create(other, {.cpu = {.threads = 1}, .kv_type = kv_type, .context_tokens = 1024}).value();
    const std::unique_ptr<Scheduler> scheduler =
        make_scheduler(engine, {.kv_disk_folder = folder_.path(), .kv_disk_bytes = int64_t{1} << 30});
    const auto heard = std::make_shared<Recorder>();
    EXPECT_TRUE(
        scheduler->submit({.prompt = test_prompt(1, 300), .max_tokens = 90, .experts = experts}, heard)
            .has_value());
    heard->wait();
    EXPECT_TRUE(scheduler->drain(milliseconds(60000)));
    return {heard->tokens, heard->stats, scheduler->stats()};
  }

  fixtures::ScratchFolder folder_;
};

TEST_F(SnapshotTest, PrefixesSurviveARestart) {
  const Session first = ask();
  EXPECT_EQ(first.request.cached_tokens, 0);
  const Session second = ask();
  EXPECT_EQ(second.request.cached_tokens, 256);
  EXPECT_EQ(second.scheduler.disk_hits, 4);
  EXPECT_EQ(second.scheduler.disk_snapshots, 6);  // 389 tokens were computed
  EXPECT_EQ(second.tokens, first.tokens);
  EXPECT_EQ(first.tokens, alone({.prompt = test_prompt(1, 300), .max_tokens = 90}).tokens);
}

TEST_F(SnapshotTest, OtherModelsCachesAndNumbersOfExpertsDoNotMeet) {
  ask();
  EXPECT_EQ(ask(1).request.cached_tokens, 0);
  EXPECT_EQ(ask(0, DType::kI8).request.cached_tokens, 0);
  EXPECT_EQ(ask(0, DType::kBF16, 1).request.cached_tokens, 0);
  EXPECT_EQ(ask(1).request.cached_tokens, 256);
  EXPECT_EQ(ask(0, DType::kI8).request.cached_tokens, 256);
  EXPECT_EQ(ask(0, DType::kBF16, 1).request.cached_tokens, 256);
  EXPECT_EQ(ask().request.cached_tokens, 256);
}

TEST_F(SnapshotTest, DamagedOnesAreNotServed) {
  const Session first = ask();
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    const auto middle = static_cast<std::streamoff>(entry.file_size() - 1000);
    file.seekg(middle);
    const char old = static_cast<char>(file.get());
    file.seekp(middle).put(static_cast<char>(old + 1));
  }
  const Session second = ask();
  EXPECT_EQ(second.tokens, first.tokens);
  EXPECT_EQ(second.request.cached_tokens, 0);
  EXPECT_EQ(second.scheduler.disk_damaged, 1) << "the first page; what follows it is of no use";
  EXPECT_EQ(second.scheduler.disk_hits, 0);
}

}  // namespace
}  // namespace cadre
