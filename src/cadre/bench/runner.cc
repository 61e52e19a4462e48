#include "cadre/bench/runner.h"

#include <algorithm>
#include <chrono>

#include "cadre/base/interrupt.h"

namespace cadre {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kWarmUpSteps = 4;
/// Of the repeats after the first: the caches hold another setting's data, the memory is there.
constexpr int64_t kShortWarmUp = 2;
constexpr uint64_t kTokenPurpose = 0x62656E6368;  // "bench"

}  // namespace

BenchmarkRunner::BenchmarkRunner(Engine& engine, uint64_t seed, bool profile)
    : engine_(engine),
      traffic_(engine),
      profiler_(profile ? std::make_unique<Profiler>(engine) : nullptr),
      random_(seed, kTokenPurpose) {}

Status BenchmarkRunner::prepare() {
  CADRE_CHECK_OK(open(1, 0));
  const int64_t longest = std::min(engine_.free_tokens(), engine_.model().config().max_position_embeddings);
  CADRE_CHECK_OK(prefill(0, std::min(kBenchmarkStepRows, longest), LogitsFor::kLast));
  template_ = sequences_.front();
  engine_.truncate(template_, std::min(kPageTokens, longest));
  sequences_.clear();
  return {};
}

Status BenchmarkRunner::repeat(Record& record) {
  const BenchmarkCase& c = record.setting;
  const bool is_prefill = c.phase == BenchmarkResult::Phase::kPrefill;
  const bool is_first = record.speeds.empty();
  const auto run = [&](int64_t tokens) { return is_prefill ? prefill_all(tokens) : decode(tokens); };
  CADRE_CHECK_OK(open(c.batch, c.depth));
  const int64_t long_warm_up = is_prefill ? kBenchmarkStepRows : kWarmUpSteps;
  CADRE_CHECK_OK(run(std::min(c.tokens, is_first ? long_warm_up : kShortWarmUp)));
  rewind(c.depth);
  traffic_.reset();
  if (profiler_) profiler_->reset();
  const Clock::time_point start = Clock::now();
  CADRE_CHECK_OK(run(c.tokens));
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  close();
  record.speeds.push_back(static_cast<double>(c.tokens * c.batch) / seconds);
  record.traffic += traffic_.total();
  if (profiler_) record.profile += profiler_->result();
  return {};
}

int32_t BenchmarkRunner::token(size_t sequence, int64_t position) const {
  const uint64_t counter = (static_cast<uint64_t>(sequence) << 32) | static_cast<uint64_t>(position);
  return static_cast<int32_t>(random_.bits(counter) %
                              static_cast<uint64_t>(engine_.model().config().vocab_size));
}

Status BenchmarkRunner::open(int64_t count, int64_t depth) {
  for (int64_t i = 0; i < count; ++i) {
    sequences_.push_back(engine_.open_sequence());
    if (depth > 0) CADRE_CHECK_OK(engine_.fill_with_copies(sequences_.back(), template_, depth));
  }
  return {};
}

void BenchmarkRunner::close() {
  for (const SequenceId sequence : sequences_) engine_.close_sequence(sequence);
  sequences_.clear();
}

void BenchmarkRunner::rewind(int64_t depth) {
  for (const SequenceId sequence : sequences_) engine_.truncate(sequence, depth);
}

Status BenchmarkRunner::step(std::span<const StepItem> items) {
  if (profiler_) profiler_->begin_step();
  const auto logits = engine_.step(items);
  if (profiler_) profiler_->end_step();
  return logits ? Status() : Status(tl::unexpected(logits.error()));
}

Status BenchmarkRunner::prefill(size_t index, int64_t tokens, LogitsFor last) {
  const SequenceId sequence = sequences_[index];
  for (int64_t done = 0; done < tokens;) {
    CADRE_CHECK_OK(check_interrupt());
    const int64_t count = std::min(kBenchmarkStepRows, tokens - done);
    tokens_.clear();
    for (int64_t i = 0; i < count; ++i) tokens_.push_back(token(index, engine_.length(sequence) + i));
    done += count;
    const LogitsFor logits = done == tokens ? last : LogitsFor::kNone;
    const StepItem item{.sequence = sequence, .tokens = tokens_, .logits = logits};
    CADRE_CHECK_OK(step(std::span(&item, 1)));
    traffic_.add_step(count, logits == LogitsFor::kNone ? 0 : 1, engine_.length(sequence));
  }
  return {};
}

Status BenchmarkRunner::prefill_all(int64_t tokens) {
  for (size_t i = 0; i < sequences_.size(); ++i) CADRE_CHECK_OK(prefill(i, tokens, LogitsFor::kLast));
  return {};
}

Status BenchmarkRunner::decode(int64_t steps) {
  for (int64_t done = 0; done < steps; ++done) {
    CADRE_CHECK_OK(check_interrupt());
    tokens_.resize(sequences_.size());
    items_.clear();
    int64_t context = 0;
    for (size_t i = 0; i < sequences_.size(); ++i) {
      tokens_[i] = token(i, engine_.length(sequences_[i]));
      items_.push_back({.sequence = sequences_[i], .tokens = std::span(&tokens_[i], 1)});
      context += engine_.length(sequences_[i]) + 1;
    }
    CADRE_CHECK_OK(step(items_));
    const auto rows = static_cast<int64_t>(sequences_.size());
    traffic_.add_step(rows, rows, context);
  }
  return {};
}

}  // namespace cadre
