#pragma once
/// What the routers chose: how many tokens each expert had, and the choices of single rows.

#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "cadre/model/routing_plan.h"
#include "cadre/runtime/scheduler.h"

namespace cadre {

/// Listens as the last routing policy of an engine. tokens() is thread-safe; the rest is for the thread that
/// runs the engine.
class ExpertUsage {
 public:
  explicit ExpertUsage(const ModelConfig& config);

  /// Says which rows of the coming step to note, in ascending order.
  void note_rows(std::span<const int32_t> rows);
  void hear(const RoutingPlan& plan);
  /// What the `index`-th row of note_rows chose, layer by layer; valid until the next step.
  std::span<const ExpertChoice> choices(size_t index) const { return choices_[index]; }

  /// [layer][expert], empty for dense layers.
  std::vector<std::vector<int64_t>> tokens() const;

 private:
  std::vector<int32_t> rows_;
  std::vector<std::vector<ExpertChoice>> choices_;
  mutable std::mutex mutex_;
  std::vector<std::vector<int64_t>> tokens_;
};

}  // namespace cadre
