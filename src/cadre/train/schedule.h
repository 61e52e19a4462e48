#pragma once
/// What changes from step to step by plan.

#include <cstdint>

namespace cadre::train {

/// Linear warm-up, constant, linear decay to 0 (a trapezoid; Haegele et al., arXiv:2405.18392).
struct Schedule {
  int64_t steps = 0;
  int64_t warmup = 0;  ///< steps until the peak
  int64_t decay = 0;   ///< last steps, on the way to 0

  /// The factor of step 0 to steps - 1: in (0, 1].
  double factor(int64_t step) const {
    const auto rising = static_cast<double>(step + 1) / static_cast<double>(warmup + 1);
    const auto falling = static_cast<double>(steps - step) / static_cast<double>(decay + 1);
    const double lower = rising < falling ? rising : falling;
    return lower < 1 ? lower : 1;
  }
};

}  // namespace cadre::train
