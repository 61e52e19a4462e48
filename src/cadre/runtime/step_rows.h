#pragma once
/// How the rows of a step are shared out among the sequences that run.

#include <cstdint>
#include <span>
#include <vector>

namespace cadre {

struct RowDemand {
  int64_t tokens = 1;  ///< left to compute; 1: it decodes
  int64_t cost = 1;    ///< of the step's rows that each takes
};

struct RowLimits {
  int64_t step_rows = 0;     ///< of one step
  int64_t prefill_rows = 0;  ///< most prompt tokens in a step while others decode
  int64_t turn = 0;          ///< number of the step: who decodes first when not all can
};

/// `demands` in the order of admission; `granted` gets the tokens that each may compute now.
///
/// First one token for everybody who decodes. What is left goes to prompts, the shortest rest first: it is
/// what brings the mean time to the first token down, and a short request does not wait behind a long prompt.
/// So that no prompt starves behind many short ones, the one that was admitted first has a quarter.
void share_rows(std::span<const RowDemand> demands, const RowLimits& limits, std::vector<int64_t>& granted);

}  // namespace cadre
