#pragma once
/// Routing over many steps: what a single step's counts cannot say.

#include <span>
#include <vector>

#include "cadre/base/json.h"
#include "cadre/train/balance.h"

namespace cadre::train {

/// One step's metrics of all MoE layers. Means are over layers.
struct RoutingMetrics {
  double max_violation = 0;         ///< MaxVio of the step, mean
  double max_violation_worst = 0;   ///< of the worst layer
  double max_violation_global = 0;  ///< of the counts since the run's begin, worst layer
  double load_entropy = 0;
  double gate_entropy = 0;
  int64_t dead_experts = 0;  ///< of all layers: less than a tenth of the mean tokens, see kDeadWindowTokens
  double drop_rate = 0;
  double bias_range = 0;  ///< the widest layer's
};

/// Experts are called dead by the counts of so many tokens.
inline constexpr int64_t kDeadWindowTokens = 1'000'000;

/// Counts since the run's begin and of the current window, part of a checkpoint.
class RoutingRecord {
 public:
  /// Takes a finished step in. `dropped_share` is what capacity took away.
  RoutingMetrics add(const Balance& balance, const Transformer& model, double dropped_share);

  Json to_json() const;
  /// Errors: kInvalid naming `origin`.
  static Result<RoutingRecord> from_json(const Json& value, const std::string& origin);

 private:
  std::vector<std::vector<int64_t>> total_;   ///< [MoE layers][E]
  std::vector<std::vector<int64_t>> window_;  ///< the same
  int64_t window_tokens_ = 0;
  int64_t dead_ = 0;  ///< of the last whole window
};

}  // namespace cadre::train
