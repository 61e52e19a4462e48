#include "cadre/bench/benchmark.h"

#include <algorithm>
#include <chrono>

#include "cadre/base/cpu_features.h"
#include "cadre/base/interrupt.h"
#include "cadre/base/random.h"
#include "cadre/bench/traffic.h"

namespace cadre {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kStepRows = 512;
constexpr int64_t kWarmUpSteps = 4;
constexpr uint64_t kTokenPurpose = 0x62656E6368;  // "bench"

int64_t pages_for(int64_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

/// One line of the result before it is measured.
struct Case {
  BenchmarkResult::Phase phase;
  int64_t tokens;
  int64_t depth;
  int64_t batch;
};

std::vector<Case> list_cases(const BenchmarkOptions& options) {
  std::vector<Case> cases;
  for (const int64_t depth : options.depths)
    for (const int64_t batch : options.batches) {
      for (const int64_t tokens : options.prompts)
        if (tokens > 0) cases.push_back({BenchmarkResult::Phase::kPrefill, tokens, depth, batch});
      for (const int64_t tokens : options.predicts)
        if (tokens > 0) cases.push_back({BenchmarkResult::Phase::kDecode, tokens, depth, batch});
    }
  return cases;
}

Status check_cases(const ModelConfig& config, const std::vector<Case>& cases) {
  if (cases.empty()) return fail(ErrorKind::kUsage, "nothing to measure: all of -p and -n are 0");
  for (const Case& c : cases)
    if (c.depth + c.tokens > config.max_position_embeddings)
      return fail(ErrorKind::kUsage, "depth {} and {} tokens exceed the model's context of {}", c.depth,
                  c.tokens, config.max_position_embeddings);
  return {};
}

std::string label(const Case& c, int threads) {
  return fmt::format("{}{} depth {} batch {} threads {}",
                     c.phase == BenchmarkResult::Phase::kPrefill ? "pp" : "tg", c.tokens, c.depth, c.batch,
                     threads);
}

/// Runs cases on one engine.
class Runner {
 public:
  Runner(Engine& engine, uint64_t seed) : engine_(engine), traffic_(engine), random_(seed, kTokenPurpose) {}

  /// Reads in the experts, which lie in files that may not be in memory yet.
  Status touch_weights() {
    CADRE_CHECK_OK(open(1, 0));
    const int64_t tokens =
        std::min({kStepRows, engine_.free_tokens(), engine_.model().config().max_position_embeddings});
    CADRE_CHECK_OK(prefill(0, tokens, LogitsFor::kLast));
    close();
    return {};
  }

  /// `on_repeat` is called after each.
  Result<BenchmarkResult> measure(const Case& c, int repeat, FunctionRef<void()> on_repeat) {
    CADRE_CHECK_OK(open(c.batch, c.depth));
    const bool is_prefill = c.phase == BenchmarkResult::Phase::kPrefill;
    const auto run = [&](int64_t tokens) { return is_prefill ? prefill_all(tokens) : decode(tokens); };
    CADRE_CHECK_OK(run(is_prefill ? std::min(c.tokens, kStepRows) : std::min(c.tokens, kWarmUpSteps)));
    std::vector<double> speeds;
    traffic_.reset();
    for (int i = 0; i < repeat; ++i) {
      rewind(c.depth);
      const Clock::time_point start = Clock::now();
      CADRE_CHECK_OK(run(c.tokens));
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      speeds.push_back(static_cast<double>(c.tokens * c.batch) / seconds);
      on_repeat();
    }
    close();
    return result_of(c, speeds);
  }

 private:
  int32_t token(size_t sequence, int64_t position) const {
    const uint64_t counter = (static_cast<uint64_t>(sequence) << 32) | static_cast<uint64_t>(position);
    return static_cast<int32_t>(random_.bits(counter) %
                                static_cast<uint64_t>(engine_.model().config().vocab_size));
  }

  /// `count` sequences with `depth` tokens each.
  Status open(int64_t count, int64_t depth) {
    for (int64_t i = 0; i < count; ++i) sequences_.push_back(engine_.open_sequence());
    for (size_t i = 0; i < sequences_.size(); ++i) CADRE_CHECK_OK(prefill(i, depth, LogitsFor::kNone));
    return {};
  }
  void close() {
    for (const SequenceId sequence : sequences_) engine_.close_sequence(sequence);
    sequences_.clear();
  }
  void rewind(int64_t depth) {
    for (const SequenceId sequence : sequences_) engine_.truncate(sequence, depth);
  }

  /// `tokens` more tokens of one sequence; `last` is what the last step wants logits for.
  Status prefill(size_t index, int64_t tokens, LogitsFor last) {
    const SequenceId sequence = sequences_[index];
    for (int64_t done = 0; done < tokens;) {
      CADRE_CHECK_OK(check_interrupt());
      const int64_t count = std::min(kStepRows, tokens - done);
      tokens_.clear();
      for (int64_t i = 0; i < count; ++i) tokens_.push_back(token(index, engine_.length(sequence) + i));
      done += count;
      const LogitsFor logits = done == tokens ? last : LogitsFor::kNone;
      const StepItem item{.sequence = sequence, .tokens = tokens_, .logits = logits};
      CADRE_CHECK_OK(engine_.step(std::span(&item, 1)));
      traffic_.add_step(count, logits == LogitsFor::kNone ? 0 : 1, engine_.length(sequence));
    }
    return {};
  }

  Status prefill_all(int64_t tokens) {
    for (size_t i = 0; i < sequences_.size(); ++i) CADRE_CHECK_OK(prefill(i, tokens, LogitsFor::kLast));
    return {};
  }

  /// `steps` tokens of every sequence, side by side.
  Status decode(int64_t steps) {
    for (int64_t step = 0; step < steps; ++step) {
      CADRE_CHECK_OK(check_interrupt());
      tokens_.resize(sequences_.size());
      items_.clear();
      int64_t context = 0;
      for (size_t i = 0; i < sequences_.size(); ++i) {
        tokens_[i] = token(i, engine_.length(sequences_[i]));
        items_.push_back({.sequence = sequences_[i], .tokens = std::span(&tokens_[i], 1)});
        context += engine_.length(sequences_[i]) + 1;
      }
      CADRE_CHECK_OK(engine_.step(items_));
      const auto rows = static_cast<int64_t>(sequences_.size());
      traffic_.add_step(rows, rows, context);
    }
    return {};
  }

  BenchmarkResult result_of(const Case& c, const std::vector<double>& speeds) const {
    const Traffic& traffic = traffic_.total();
    const auto tokens = static_cast<double>(traffic.tokens);
    BenchmarkResult result{.phase = c.phase, .tokens = c.tokens, .depth = c.depth, .batch = c.batch};
    result.tokens_per_second = spread_of(speeds);
    result.weight_bytes_per_token = traffic.weight_bytes / tokens;
    result.kv_bytes_per_token = traffic.kv_bytes / tokens;
    result.bytes_per_second =
        (result.weight_bytes_per_token + result.kv_bytes_per_token) * result.tokens_per_second.median;
    result.flops_per_token = traffic.flops / tokens;
    result.flops_per_second = result.flops_per_token * result.tokens_per_second.median;
    result.experts_per_step = traffic.experts_per_layer();
    return result;
  }

  Engine& engine_;
  TrafficCounter traffic_;
  RandomStream random_;
  std::vector<SequenceId> sequences_;
  std::vector<int32_t> tokens_;
  std::vector<StepItem> items_;
};

/// The sizes that the largest case needs.
EngineOptions engine_options(const BenchmarkOptions& options, const std::vector<Case>& cases, int threads) {
  EngineOptions engine = options.engine;
  engine.cpu.threads = threads;
  int64_t pages = 1;
  int64_t batch = 1;
  for (const Case& c : cases) {
    pages = std::max(pages, c.batch * pages_for(c.depth + c.tokens));
    batch = std::max(batch, c.batch);
  }
  engine.context_tokens = pages * kPageTokens;
  engine.max_step_rows = std::max(kStepRows, batch);
  engine.max_logit_rows = batch;
  return engine;
}

}  // namespace

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {.median = median, .lowest = values.front(), .highest = values.back()};
}

Result<BenchmarkReport> run_benchmark(const Model& model, const BenchmarkOptions& options,
                                      BenchmarkProgress progress) {
  const std::vector<Case> cases = list_cases(options);
  CADRE_CHECK_OK(check_cases(model.config(), cases));
  const auto total = static_cast<int64_t>(cases.size() * options.threads.size()) * options.repeat;
  int64_t done = 0;
  BenchmarkReport report;
  for (const int wanted : options.threads) {
    const int threads = wanted == 0 ? available_cores() : wanted;
    CADRE_TRY(Engine engine, Engine::create(model, engine_options(options, cases, threads)));
    report.backend = engine.backend().description();
    Runner runner(engine, options.seed);
    progress("warming up", done, total);
    CADRE_CHECK_OK(runner.touch_weights());
    for (const Case& c : cases) {
      progress(label(c, threads), done, total);
      CADRE_TRY(BenchmarkResult result,
                runner.measure(c, options.repeat, [&] { progress(label(c, threads), ++done, total); }));
      result.threads = threads;
      report.results.push_back(result);
    }
  }
  return report;
}

}  // namespace cadre
