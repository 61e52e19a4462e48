// The scheduler's steps one by one: who is admitted, who computes, and what each request hears.
#include "cadre/runtime/step_loop.h"

#include <gtest/gtest.h>

#include <map>

#include "cadre/runtime/samplable_tokens.h"
#include "cadre/runtime/scheduler_testing.h"

namespace cadre {
namespace {

class StepLoopTest : public ::testing::Test {
 protected:
  explicit StepLoopTest() { make_loop(1024, {.prefill_rows = 64}); }

  void make_loop(int64_t context_tokens, const SchedulerOptions& options) {
    loop_.reset();
    engine_.emplace(make_scheduler_engine(context_tokens));
    loop_.emplace(*engine_, SamplableTokens(samplable_tokens(scheduler_tokenizer(), 300), 300), options,
                  nullptr);
  }

  std::shared_ptr<Recorder> add(Request request) {
    auto heard = std::make_shared<Recorder>();
    auto job = std::make_unique<Job>(std::move(request), heard);
    job->id = RequestId{++ids_};
    last_job_ = job.get();
    loop_->add(std::move(job));
    return heard;
  }
  RequestId last_id() const { return RequestId{ids_}; }
  /// Steps until the request is over. -> how many
  int64_t run(const Recorder& heard) {
    int64_t steps = 0;
    for (; !heard.over && steps < 5000; ++steps) loop_->step();
    EXPECT_TRUE(heard.over);
    return steps;
  }
  /// All logits of a sequence at once, [tokens, V], by an engine without a scheduler.
  static std::vector<std::vector<float>> all_logits(const std::vector<int32_t>& tokens) {
    Engine engine = Engine::create(scheduler_model(), {.cpu = {.threads = 1}, .max_logit_rows = 512}).value();
    const StepItem item{.sequence = engine.open_sequence(), .tokens = tokens, .logits = LogitsFor::kAll};
    const Tensor logits = engine.step(std::span(&item, 1)).value();
    std::vector<std::vector<float>> rows;
    for (int64_t t = 0; t < logits.rows; ++t) rows.emplace_back(logits.row(t), logits.row(t) + logits.width);
    return rows;
  }

  std::optional<Engine> engine_;
  std::optional<StepLoop> loop_;
  Job* last_job_ = nullptr;  ///< that was added; valid until it is over
  int64_t ids_ = 0;
};

TEST_F(StepLoopTest, AShortRequestDoesNotWaitForALongPrompt) {
  make_loop(4096, {.prefill_rows = 64});
  const auto decoding = add({.prompt = test_prompt(1, 10), .max_tokens = 200});
  loop_->step();
  const auto prompt = add({.prompt = test_prompt(2, 3500), .max_tokens = 1});
  for (int i = 0; i < 5; ++i) loop_->step();
  EXPECT_EQ(decoding->tokens.size(), 6u) << "a token a step, whatever else is computed";
  const auto brief = add({.prompt = test_prompt(3, 40), .max_tokens = 1});
  for (int i = 0; i < 3; ++i) loop_->step();
  EXPECT_EQ(brief->tokens.size(), 1u);
  EXPECT_FALSE(prompt->over);
  EXPECT_EQ(loop_->stats().step_rows, 10 + 8 * 64 + 8);
  run(*prompt);
  EXPECT_FALSE(prompt->error.has_value());
}

TEST_F(StepLoopTest, ALongPromptIsNotStarvedByShortOnes) {
  make_loop(4096, {.prefill_rows = 64});
  const auto prompt = add({.prompt = test_prompt(1, 640), .max_tokens = 1});
  int64_t steps = 0;
  for (; !prompt->over && steps < 100; ++steps) {
    add({.prompt = test_prompt(static_cast<uint64_t>(100 + 2 * steps), 120), .max_tokens = 1});
    add({.prompt = test_prompt(static_cast<uint64_t>(101 + 2 * steps), 120), .max_tokens = 1});
    loop_->step();
  }
  EXPECT_LE(steps, 640 / (128 / 4));
}

TEST_F(StepLoopTest, ClientsTakeTurns) {
  make_loop(1024, {.max_running = 1});
  std::vector<std::shared_ptr<Recorder>> greedy;
  for (uint64_t i = 0; i < 5; ++i)
    greedy.push_back(add({.prompt = test_prompt(i, 30), .max_tokens = 3, .client = "greedy"}));
  const auto modest = add({.prompt = test_prompt(9, 30), .max_tokens = 3, .client = "modest"});
  const auto urgent =
      add({.prompt = test_prompt(10, 30), .max_tokens = 3, .client = "greedy", .priority = 1});
  run(*urgent);
  EXPECT_FALSE(modest->over);
  run(*modest);
  EXPECT_FALSE(greedy[0]->over && greedy[1]->over);
  run(*greedy[4]);
}

TEST_F(StepLoopTest, HigherPriorityTakesTheRoomOfLower) {
  make_loop(1024, {.max_running = 1});
  const auto low = add({.prompt = test_prompt(1, 100), .max_tokens = 20});
  for (int i = 0; i < 5; ++i) loop_->step();
  EXPECT_FALSE(low->tokens.empty());
  const auto high = add({.prompt = test_prompt(2, 10), .max_tokens = 3, .priority = 5});
  run(*high);
  EXPECT_FALSE(low->over);
  run(*low);
  EXPECT_EQ(low->stats.preemptions, 1);
  EXPECT_EQ(low->tokens.size(), 20u);
}

TEST_F(StepLoopTest, CancellingEndsARequestAtOnce) {
  make_loop(1024, {.max_running = 1, .prefix_cache = false});
  const auto running = add({.prompt = test_prompt(1, 100), .max_tokens = 50});
  const RequestId first = last_id();
  const auto waiting = add({.prompt = test_prompt(2, 100), .max_tokens = 50});
  for (int i = 0; i < 4; ++i) loop_->step();
  loop_->cancel(last_id());
  EXPECT_EQ(waiting->reason, FinishReason::kCancelled);
  EXPECT_EQ(waiting->stats.generated_tokens, 0);
  loop_->cancel(RequestId{12345});
  EXPECT_FALSE(running->over);
  loop_->cancel(first);
  EXPECT_EQ(running->reason, FinishReason::kCancelled);
  EXPECT_EQ(running->tokens.size(), 4u);
  EXPECT_TRUE(loop_->idle());
  EXPECT_EQ(loop_->stats().free_pages, loop_->stats().pages);
  EXPECT_EQ(loop_->stats().cancelled, 2);
}

TEST_F(StepLoopTest, ADeadlineEndsWhatRunsAndWhatWaits) {
  make_loop(4096, {.max_running = 1});
  const auto running = add({.prompt = test_prompt(1, 10)});
  Job& running_job = *last_job_;
  const auto waiting = add({.prompt = test_prompt(2, 10)});
  Job& waiting_job = *last_job_;
  const auto later = add({.prompt = test_prompt(3, 10), .max_tokens = 2});
  loop_->step();
  // Only now, so that the first has answered by then, however slow the machine is.
  running_job.request.deadline = waiting_job.request.deadline = Job::Clock::now();
  run(*later);
  for (const auto& late : {running, waiting}) {
    ASSERT_TRUE(late->error.has_value());
    EXPECT_EQ(late->error->kind, ErrorKind::kBusy);
    EXPECT_NE(late->error->message.find("deadline"), std::string::npos);
  }
  EXPECT_GT(running->tokens.size(), 0u);
  EXPECT_EQ(waiting->stats.queue_seconds, 0) << "it never ran";
  EXPECT_FALSE(later->error.has_value());
  EXPECT_EQ(loop_->stats().failed, 2);
}

TEST_F(StepLoopTest, AnswersEndWhereTheyShould) {
  const auto free_run = add({.prompt = test_prompt(1, 70), .max_tokens = 30});
  run(*free_run);
  EXPECT_EQ(free_run->reason, FinishReason::kMaxTokens);
  ASSERT_EQ(free_run->tokens.size(), 30u);

  // The first token that did not occur before it.
  size_t at = 5;
  const auto begin = free_run->tokens.begin();
  while (std::count(begin, begin + static_cast<int64_t>(at), free_run->tokens[at]) > 0) ++at;
  const auto stopped =
      add({.prompt = test_prompt(1, 70), .max_tokens = 30, .stop_tokens = {free_run->tokens[at]}});
  run(*stopped);
  EXPECT_EQ(stopped->reason, FinishReason::kStopToken);
  EXPECT_EQ(stopped->tokens, std::vector<int32_t>(begin, begin + static_cast<int64_t>(at)));

  const auto refused = add({.prompt = test_prompt(1, 70), .max_tokens = 30});
  refused->stop_after = 4;
  run(*refused);
  EXPECT_EQ(refused->reason, FinishReason::kStopString);
  EXPECT_EQ(refused->tokens.size(), 4u);

  make_loop(128, {});
  const auto full = add({.prompt = test_prompt(1, 128)});
  run(*full);
  EXPECT_EQ(full->reason, FinishReason::kContextFull);
  EXPECT_EQ(full->tokens.size(), 1u);
}

/// Digits, at most `length` of them, and no two the same in a row.
class Digits : public TokenConstraint {
 public:
  explicit Digits(size_t length) : length_(length) {}
  void allow(std::span<uint64_t> mask) const override {
    std::fill(mask.begin(), mask.end(), 0);
    for (int32_t id = 48; id < 58; ++id)
      if (!complete() && (taken_.empty() || id != taken_.back()))
        mask[static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64);
  }
  void accept(int32_t token) override { taken_.push_back(token); }
  bool may_end() const override { return taken_.size() >= 3; }
  bool complete() const override { return taken_.size() == length_; }

 private:
  size_t length_;
  std::vector<int32_t> taken_;
};

/// Allows one id.
class Only : public TokenConstraint {
 public:
  explicit Only(int32_t id) : id_(id) {}
  void allow(std::span<uint64_t> mask) const override {
    std::fill(mask.begin(), mask.end(), 0);
    mask[static_cast<size_t>(id_) / 64] |= uint64_t{1} << (id_ % 64);
  }
  void accept(int32_t) override {}
  bool may_end() const override { return false; }
  bool complete() const override { return false; }

 private:
  int32_t id_;
};

TEST_F(StepLoopTest, ConstraintsAreObeyed) {
  Request request{.prompt = test_prompt(1, 20), .constraint = std::make_unique<Digits>(12)};
  request.sampling = {.temperature = 2, .seed = 5};
  const auto heard = add(std::move(request));
  run(*heard);
  EXPECT_EQ(heard->reason, FinishReason::kStopToken);
  ASSERT_EQ(heard->tokens.size(), 12u);
  for (size_t i = 0; i < 12; ++i) {
    EXPECT_TRUE(heard->tokens[i] >= 48 && heard->tokens[i] < 58);
    EXPECT_TRUE(i == 0 || heard->tokens[i] != heard->tokens[i - 1]);
  }

  // An end is possible only where the constraint lets it be; with a bias it is then certain.
  Request biased{
      .prompt = test_prompt(1, 20), .stop_tokens = {10}, .constraint = std::make_unique<Digits>(12)};
  biased.sampling.logit_bias = {{10, 100.0f}};
  const auto ended = add(std::move(biased));
  run(*ended);
  EXPECT_EQ(ended->reason, FinishReason::kStopToken);
  EXPECT_EQ(ended->tokens.size(), 3u);

  const auto complete = add({.prompt = test_prompt(1, 20), .constraint = std::make_unique<Digits>(0)});
  run(*complete);
  EXPECT_EQ(complete->reason, FinishReason::kStopToken);
  EXPECT_TRUE(complete->tokens.empty());

  const auto impossible = add({.prompt = test_prompt(1, 20), .constraint = std::make_unique<Only>(299)});
  run(*impossible);
  ASSERT_TRUE(impossible->error.has_value());
  EXPECT_EQ(impossible->error->kind, ErrorKind::kInvalid);
}

TEST_F(StepLoopTest, LogprobsAreThoseOfTheLogits) {
  Request request{.prompt = test_prompt(1, 150), .max_tokens = 12, .top_logprobs = 3};
  request.sampling = {.temperature = 1.5, .repetition_penalty = 1.3, .seed = 3};
  const std::vector<int32_t> prompt = request.prompt;
  const auto heard = add(std::move(request));
  const auto plain = add({.prompt = test_prompt(2, 10), .max_tokens = 2});
  run(*heard);
  ASSERT_EQ(heard->events.size(), 12u);
  std::vector<int32_t> tokens = prompt;
  tokens.insert(tokens.end(), heard->tokens.begin(), heard->tokens.end());
  std::vector<std::vector<float>> logits = all_logits(tokens);
  for (size_t i = 0; i < 12; ++i) {
    std::vector<float>& row = logits[prompt.size() - 1 + i];
    row.resize(256);  // the tokenizer has no more
    const Recorder::Event& event = heard->events[i];
    EXPECT_EQ(event.logprob, log_probability(row, heard->tokens[i]));
    ASSERT_EQ(event.top.size(), 3u);
    EXPECT_EQ(event.top[0].token, argmax(row));
    for (const TokenLogprob& top : event.top) EXPECT_EQ(top.logprob, log_probability(row, top.token));
    EXPECT_GE(event.top[0].logprob, event.top[1].logprob);
    EXPECT_GE(event.top[1].logprob, event.top[2].logprob);
  }
  EXPECT_TRUE(plain->events.at(0).top.empty());
}

/// The routing of every row, as the trace tells it.
class RoutingTrace : public TraceSink {
 public:
  void record(std::string_view, int, const Tensor&) override {}
  void record_routing(int layer, std::span<const int32_t> counts, std::span<const int32_t> experts,
                      std::span<const float> weights) override {
    size_t entry = 0;
    if (rows.size() < counts.size()) rows.resize(counts.size());
    for (size_t t = 0; t < counts.size(); ++t)
      for (int32_t i = 0; i < counts[t]; ++i, ++entry)
        rows[t].push_back({.layer = layer, .expert = experts[entry], .weight = weights[entry]});
  }
  std::vector<std::vector<ExpertChoice>> rows;
};

TEST_F(StepLoopTest, RoutingIsThatOfTheTrace) {
  const std::vector<int32_t> prompt = test_prompt(1, 150);
  const auto other = add({.prompt = test_prompt(2, 20), .max_tokens = 40});
  const auto heard = add({.prompt = prompt, .max_tokens = 9, .routing = true});
  run(*heard);
  std::vector<int32_t> tokens = prompt;
  tokens.insert(tokens.end(), heard->tokens.begin(), heard->tokens.end());
  Engine engine = make_scheduler_engine(1024, 512);
  RoutingTrace trace;
  engine.set_trace(&trace);
  const StepItem item{.sequence = engine.open_sequence(), .tokens = tokens};
  ASSERT_TRUE(engine.step(std::span(&item, 1)).has_value());
  for (size_t i = 0; i < heard->events.size(); ++i) {
    const std::vector<ExpertChoice>& expected = trace.rows[prompt.size() - 1 + i];
    const std::vector<ExpertChoice>& found = heard->events[i].routing;
    ASSERT_EQ(found.size(), expected.size());
    ASSERT_EQ(found.size(), 6u);  // two experts in each of three layers
    for (size_t j = 0; j < found.size(); ++j) {
      EXPECT_EQ(found[j].layer, expected[j].layer);
      EXPECT_EQ(found[j].expert, expected[j].expert);
      EXPECT_EQ(found[j].weight, expected[j].weight);
    }
  }
  EXPECT_TRUE(other->events.at(0).routing.empty());
}

TEST_F(StepLoopTest, ExpertLoadsCountEveryRow) {
  const auto heard = add({.prompt = test_prompt(1, 100), .max_tokens = 10});
  run(*heard);
  const std::vector<std::vector<int64_t>> loads = loop_->usage().tokens();
  ASSERT_EQ(loads.size(), 4u);
  EXPECT_TRUE(loads[0].empty());
  for (size_t layer = 1; layer < 4; ++layer) {
    ASSERT_EQ(loads[layer].size(), 12u);
    int64_t sum = 0;
    for (const int64_t count : loads[layer]) sum += count;
    EXPECT_EQ(sum, 2 * loop_->stats().step_rows);
  }
  EXPECT_EQ(loop_->stats().step_rows, 109);
}

TEST_F(StepLoopTest, ANumberOfExpertsIsThatOfAModelOfItsOwn) {
  std::map<int64_t, std::shared_ptr<Recorder>> heard;
  for (const int64_t experts : {0, 1, 2, 4, 6})
    heard[experts] = add({.prompt = test_prompt(1, 130), .max_tokens = 25, .experts = experts});
  while (!loop_->idle()) loop_->step();
  EXPECT_EQ(heard[0]->tokens, heard[2]->tokens);
  for (const int64_t experts : {1, 2, 4, 6}) {
    Model model = make_scheduler_model();
    ASSERT_TRUE(model.set_experts_per_token(experts).has_value());
    Engine engine = make_scheduler_engine(1024, 128, model);
    const Generation alone =
        generate(engine, engine.open_sequence(), test_prompt(1, 130), scheduler_tokenizer(),
                 {.max_tokens = 25}, [](std::string_view) { return true; })
            .value();
    EXPECT_EQ(heard[experts]->tokens, alone.tokens) << experts;
  }
  EXPECT_NE(heard[1]->tokens, heard[6]->tokens);
}

TEST_F(StepLoopTest, EmbeddingsAreTheMeanOfTheFinalHiddenStates) {
  /// Keeps what the head reads.
  class FinalStates : public TraceSink {
   public:
    void record(std::string_view name, int, const Tensor& value) override {
      if (name != "final_norm") return;
      for (int64_t t = 0; t < value.rows; ++t) rows.emplace_back(value.row(t), value.row(t) + value.width);
    }
    void record_routing(int, std::span<const int32_t>, std::span<const int32_t>,
                        std::span<const float>) override {}
    std::vector<std::vector<float>> rows;
  };
  const std::vector<int32_t> prompt = test_prompt(1, 200);
  const auto before = add({.prompt = prompt, .max_tokens = 2});  // the prompt is in the prefix cache then
  run(*before);
  const auto decoding = add({.prompt = test_prompt(2, 20), .max_tokens = 200});
  loop_->step();
  const auto heard = add({.kind = RequestKind::kEmbed, .prompt = prompt});
  const int64_t steps = run(*heard);
  EXPECT_GE(steps, 4) << "in pieces of at most 64";
  EXPECT_TRUE(heard->tokens.empty());

  Engine engine = Engine::create(scheduler_model(), {.cpu = {.threads = 1}, .max_logit_rows = 512}).value();
  FinalStates trace;
  engine.set_trace(&trace);
  const StepItem item{.sequence = engine.open_sequence(), .tokens = prompt, .logits = LogitsFor::kAll};
  ASSERT_TRUE(engine.step(std::span(&item, 1)).has_value());
  ASSERT_EQ(trace.rows.size(), 200u);
  ASSERT_EQ(heard->embedding.size(), 48u);
  std::vector<double> sum(48);
  double squares = 0;
  for (size_t i = 0; i < 48; ++i) {
    for (const std::vector<float>& row : trace.rows) sum[i] += static_cast<double>(row[i]);
    squares += sum[i] * sum[i];
  }
  for (size_t i = 0; i < 48; ++i) EXPECT_NEAR(heard->embedding[i], sum[i] / std::sqrt(squares), 1e-6) << i;
}

TEST_F(StepLoopTest, RequestsThatShareAPromptComputeItOnce) {
  make_loop(4096, {.prefill_rows = 64});
  std::vector<std::shared_ptr<Recorder>> heard;
  for (uint64_t i = 0; i < 6; ++i) {
    Request request{.prompt = test_prompt(1, 640), .max_tokens = 3};
    request.prompt.push_back(static_cast<int32_t>(i));
    heard.push_back(add(std::move(request)));
  }
  while (!loop_->idle()) loop_->step();
  EXPECT_LT(loop_->stats().step_rows, 2 * 640);
  EXPECT_EQ(loop_->stats().prompt_tokens, 6 * 641);
  EXPECT_GE(loop_->stats().cached_tokens, 4 * 640);
}

}  // namespace
}  // namespace cadre
