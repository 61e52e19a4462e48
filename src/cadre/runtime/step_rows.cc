#include "cadre/runtime/step_rows.h"

#include <algorithm>

namespace cadre {
namespace {

constexpr int64_t kFirstPromptShare = 4;  ///< the prompt that was admitted first gets one part of so many

}  // namespace

void share_rows(std::span<const RowDemand> demands, const RowLimits& limits, std::vector<int64_t>& granted) {
  const size_t count = demands.size();
  granted.assign(count, 0);
  int64_t rows = limits.step_rows;
  bool decoding = false;
  for (size_t i = 0; i < count; ++i) {
    const size_t at = (i + static_cast<size_t>(limits.turn)) % count;
    if (demands[at].tokens != 1 || demands[at].cost > rows) continue;
    granted[at] = 1;
    rows -= demands[at].cost;
    decoding = true;
  }

  int64_t prompt_tokens = decoding ? limits.prefill_rows : limits.step_rows;
  const auto grant = [&](size_t at, int64_t tokens) {
    const int64_t more =
        std::min({tokens, demands[at].tokens - granted[at], prompt_tokens, rows / demands[at].cost});
    granted[at] += more;
    prompt_tokens -= more;
    rows -= more * demands[at].cost;
  };
  const auto is_prompt = [&](const RowDemand& demand) { return demand.tokens > 1; };
  const auto first = std::find_if(demands.begin(), demands.end(), is_prompt);
  if (first == demands.end()) return;
  grant(static_cast<size_t>(first - demands.begin()),
        std::max<int64_t>(1, prompt_tokens / kFirstPromptShare));
  while (prompt_tokens > 0) {
    size_t shortest = count;
    for (size_t i = 0; i < count; ++i) {
      if (!is_prompt(demands[i]) || granted[i] == demands[i].tokens || demands[i].cost > rows) continue;
      if (shortest == count || demands[i].tokens < demands[shortest].tokens) shortest = i;
    }
    if (shortest == count) return;
    grant(shortest, demands[shortest].tokens);
  }
}

}  // namespace cadre
