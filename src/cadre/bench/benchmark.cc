#include "cadre/bench/benchmark.h"

#include <algorithm>
#include <chrono>
#include <deque>

#include "cadre/base/anonymous_memory.h"
#include "cadre/base/cpu_features.h"
#include "cadre/base/interrupt.h"
#include "cadre/base/units.h"
#include "cadre/bench/runner.h"

namespace cadre {
namespace {

using Phase = BenchmarkResult::Phase;
using Clock = std::chrono::steady_clock;

int64_t pages_for(int64_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

std::vector<BenchmarkCase> list_cases(const BenchmarkOptions& options) {
  std::vector<BenchmarkCase> cases;
  for (const int64_t depth : options.depths)
    for (const int64_t batch : options.batches) {
      for (const int64_t tokens : options.prompts)
        if (tokens > 0) cases.push_back({Phase::kPrefill, tokens, depth, batch});
      for (const int64_t tokens : options.predicts)
        if (tokens > 0) cases.push_back({Phase::kDecode, tokens, depth, batch});
    }
  return cases;
}

Status check_cases(const ModelConfig& config, const std::vector<BenchmarkCase>& cases) {
  if (cases.empty()) return fail(ErrorKind::kUsage, "nothing to measure: all of -p and -n are 0");
  for (const BenchmarkCase& c : cases)
    if (c.depth + c.tokens > config.max_position_embeddings)
      return fail(ErrorKind::kUsage, "depth {} and {} tokens exceed the model's context of {}", c.depth,
                  c.tokens, config.max_position_embeddings);
  return {};
}

std::string label(const BenchmarkCase& c, int threads) {
  return fmt::format("{}{} depth {} batch {} threads {}", c.phase == Phase::kPrefill ? "pp" : "tg", c.tokens,
                     c.depth, c.batch, threads);
}

/// The sizes that the largest case needs.
EngineOptions engine_options(const BenchmarkOptions& options, const std::vector<BenchmarkCase>& cases,
                             int threads) {
  EngineOptions engine = options.engine;
  engine.cpu.threads = threads;
  // What prepare() computes, until only its first page is kept.
  int64_t pages = pages_for(kBenchmarkStepRows) - 1;
  int64_t batch = 1;
  for (const BenchmarkCase& c : cases) {
    pages = std::max(pages, c.batch * pages_for(c.depth + c.tokens));
    batch = std::max(batch, c.batch);
  }
  engine.context_tokens = (1 + pages) * kPageTokens;
  engine.max_step_rows = std::max(kBenchmarkStepRows, batch);
  engine.max_logit_rows = batch;
  return engine;
}

/// The engine of one number of threads, and what is measured on it.
struct Lane {
  int threads;
  Engine engine;
  BenchmarkRunner runner;
  std::vector<BenchmarkRunner::Record> records;

  Lane(int thread_count, Engine made, const BenchmarkOptions& options,
       const std::vector<BenchmarkCase>& cases)
      : threads(thread_count), engine(std::move(made)), runner(engine, options.seed, options.profile) {
    for (const BenchmarkCase& c : cases) records.push_back({.setting = c});
  }
};

/// Engines side by side each hold a KV cache; Engine::create looks at its own only.
Status check_memory(const std::deque<Lane>& lanes) {
  int64_t bytes = 0;
  for (const Lane& lane : lanes) bytes += lane.engine.plan().kv_bytes;
  if (lanes.size() > 1 && bytes > physical_memory_bytes())
    return fail(ErrorKind::kTooLarge,
                "the KV caches of {} numbers of threads take {} together, this machine has {}; "
                "one number of threads at a time would fit",
                lanes.size(), format_bytes(static_cast<double>(bytes)),
                format_bytes(static_cast<double>(physical_memory_bytes())));
  return {};
}

BenchmarkResult result_of(const BenchmarkRunner::Record& record, int threads) {
  const BenchmarkCase& c = record.setting;
  const Traffic& traffic = record.traffic;
  const auto tokens = static_cast<double>(traffic.tokens);
  BenchmarkResult result{
      .phase = c.phase, .tokens = c.tokens, .depth = c.depth, .batch = c.batch, .threads = threads};
  result.tokens_per_second = spread_of(record.speeds);
  result.weight_bytes_per_token = traffic.weight_bytes / tokens;
  result.kv_bytes_per_token = traffic.kv_bytes / tokens;
  result.bytes_per_second =
      (result.weight_bytes_per_token + result.kv_bytes_per_token) * result.tokens_per_second.median;
  result.flops_per_token = traffic.flops / tokens;
  result.int8_ops_per_token = traffic.int8_ops / tokens;
  result.experts_per_step = traffic.experts_per_layer();
  result.profile = record.profile;
  return result;
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
  const std::vector<BenchmarkCase> cases = list_cases(options);
  CADRE_CHECK_OK(check_cases(model.config(), cases));
  const auto total = static_cast<int64_t>(cases.size() * options.threads.size()) * options.repeat;
  BenchmarkReport report{.model = model.checkpoint().path().string(),
                         .family = model.config().model_type,
                         .size = model.size(),
                         .options = options};
  std::deque<Lane> lanes;  // whose elements stay where they are: runners refer to their engines
  for (const int wanted : options.threads) {
    const int threads = wanted == 0 ? available_cores() : wanted;
    const Clock::time_point start = Clock::now();
    CADRE_TRY(Engine engine, Engine::create(model, engine_options(options, cases, threads)));
    if (lanes.empty()) report.ready_seconds = std::chrono::duration<double>(Clock::now() - start).count();
    lanes.emplace_back(threads, std::move(engine), options, cases);
  }
  CADRE_CHECK_OK(check_memory(lanes));
  report.backend = lanes.back().engine.backend().description();

  const Isa isa = isa_from_name(options.engine.cpu.isa).value_or(best_isa());
  for (const Lane& lane : lanes) {
    progress("measuring the machine's limits", 0, total);
    CADRE_CHECK_OK(check_interrupt());
    if (!report.limits.contains(lane.threads))
      report.limits[lane.threads] = measure_machine_limits(lane.threads, isa);
  }
  for (Lane& lane : lanes) {
    progress("warming up", 0, total);
    CADRE_CHECK_OK(lane.runner.prepare());
  }
  int64_t done = 0;
  for (int round = 0; round < options.repeat; ++round)
    for (Lane& lane : lanes)
      for (BenchmarkRunner::Record& record : lane.records) {
        progress(label(record.setting, lane.threads), done, total);
        CADRE_CHECK_OK(lane.runner.repeat(record));
        progress(label(record.setting, lane.threads), ++done, total);
      }
  for (const Lane& lane : lanes)
    for (const BenchmarkRunner::Record& record : lane.records)
      report.results.push_back(result_of(record, lane.threads));
  report.memory = process_memory();
  return report;
}

}  // namespace cadre
