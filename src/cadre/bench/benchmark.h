#pragma once
/// Speed of prefill and decode of a model, with what was read and computed for it.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cadre/base/function_ref.h"
#include "cadre/bench/machine_limits.h"
#include "cadre/bench/process_memory.h"
#include "cadre/bench/profile.h"
#include "cadre/runtime/engine.h"

namespace cadre {

/// All combinations are measured.
struct BenchmarkOptions {
  std::vector<int64_t> prompts = {512};   ///< tokens of a prefill; 0: none
  std::vector<int64_t> predicts = {128};  ///< tokens of a decode; 0: none
  std::vector<int64_t> depths = {0};      ///< tokens in the KV cache before
  std::vector<int64_t> batches = {1};     ///< sequences side by side
  std::vector<int> threads = {0};         ///< 0: one per core
  int repeat = 5;
  uint64_t seed = 0;     ///< of the token ids
  bool profile = false;  ///< also where the time goes; costs the timed steps two looks at the clock per call
  EngineOptions engine;  ///< threads and sizes are set here
};

/// Median, lowest and highest of the repeats.
struct Spread {
  double median = 0;
  double lowest = 0;
  double highest = 0;
};
Spread spread_of(std::vector<double> values);

struct BenchmarkResult {
  enum class Phase : uint8_t { kPrefill, kDecode };
  Phase phase = Phase::kPrefill;
  int64_t tokens = 0;  ///< per sequence
  int64_t depth = 0;
  int64_t batch = 1;
  int threads = 0;
  Spread tokens_per_second;  ///< of all sequences together
  /// Bytes that one step must read at least: every weight that any of its tokens uses, counted from the
  /// routing, and each sequence's KV cache; divided by the step's tokens.
  double weight_bytes_per_token = 0;
  double kv_bytes_per_token = 0;
  double bytes_per_second = 0;  ///< of both, at the median speed
  /// Two for each weight that a token is multiplied with; attention scores are not counted. In f32, and in
  /// integers (packed weights with Compute::kInt8).
  double flops_per_token = 0;
  double int8_ops_per_token = 0;
  double experts_per_step = 0;  ///< different experts used by one step, mean over MoE layers; 0 without
  Profile profile;              ///< of the timed steps, where asked for

  double ops_per_second() const { return (flops_per_token + int8_ops_per_token) * tokens_per_second.median; }
  double read_fraction(const MachineLimits& limits) const {
    return bytes_per_second / limits.read_bytes_per_second;
  }
  /// The time that both kinds of operations take at the machine's peak, as a part of what they took.
  double compute_fraction(const MachineLimits& limits) const {
    return (flops_per_token / limits.f32_flops + int8_ops_per_token / limits.int8_ops) *
           tokens_per_second.median;
  }
};

struct BenchmarkReport {
  std::string model;  ///< path, or shape and type
  std::string family;
  ModelSize size;
  std::string backend;  ///< of the last engine: "cpu/avx512, 2 threads"
  BenchmarkOptions options;
  double ready_seconds = 0;             ///< creating the first engine; the caller adds loading the model
  ProcessMemory memory;                 ///< at the end
  std::map<int, MachineLimits> limits;  ///< by number of threads
  std::vector<BenchmarkResult> results;
};

/// Hears what is being measured and how many repeats of all are done.
using BenchmarkProgress = FunctionRef<void(const std::string& what, int64_t done, int64_t total)>;

/// Prompts go in steps of at most 512 tokens, sequences one after another; decode steps take one token of
/// every sequence. Depth is filled with copies of a page that was computed. Each measurement follows a
/// warm-up. Settings take turns, one repeat of each at a time, so that what changes on the machine meanwhile
/// changes all. The limits are measured first. Errors: kUsage for sizes beyond the model's context; kTooLarge
/// when the engines of all numbers of threads do not fit this machine together; those of Engine; kInterrupt.
Result<BenchmarkReport> run_benchmark(const Model& model, const BenchmarkOptions& options,
                                      BenchmarkProgress progress);

}  // namespace cadre
