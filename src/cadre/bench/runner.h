#pragma once
/// The timed runs of a benchmark on one engine.

#include <cstdint>
#include <memory>
#include <vector>

#include "cadre/base/random.h"
#include "cadre/bench/benchmark.h"
#include "cadre/bench/traffic.h"

namespace cadre {

/// Most tokens of one step of a prefill.
inline constexpr int64_t kBenchmarkStepRows = 512;

/// One setting.
struct BenchmarkCase {
  BenchmarkResult::Phase phase = BenchmarkResult::Phase::kPrefill;
  int64_t tokens = 0;
  int64_t depth = 0;
  int64_t batch = 1;
};

/// Thread-compatible. The engine must outlive it and serve nobody else meanwhile: it needs room in the KV
/// cache for the largest case and one page more.
class BenchmarkRunner {
 public:
  BenchmarkRunner(Engine& engine, uint64_t seed, bool profile);

  /// Reads in the experts, which lie in files that may not be in memory yet, and computes the page that
  /// depths are filled with.
  Status prepare();

  /// A case with what has been measured of it so far.
  struct Record {
    BenchmarkCase setting;
    std::vector<double> speeds;  ///< tokens/s of each repeat
    Traffic traffic;
    Profile profile;
  };
  /// Measures once more. The first time warms up for longer.
  Status repeat(Record& record);

 private:
  int32_t token(size_t sequence, int64_t position) const;
  Status open(int64_t count, int64_t depth);
  void close();
  void rewind(int64_t depth);
  Status step(std::span<const StepItem> items);
  /// `tokens` more tokens of one sequence; `last` is what the last step wants logits for.
  Status prefill(size_t index, int64_t tokens, LogitsFor last);
  Status prefill_all(int64_t tokens);
  /// `steps` tokens of every sequence, side by side.
  Status decode(int64_t steps);

  Engine& engine_;
  TrafficCounter traffic_;
  std::unique_ptr<Profiler> profiler_;  ///< null: not asked for
  RandomStream random_;
  SequenceId template_{};  ///< one page that depths are copies of
  std::vector<SequenceId> sequences_;
  std::vector<int32_t> tokens_;
  std::vector<StepItem> items_;
};

}  // namespace cadre
