#pragma once
/// A request from submit() to its end, as the scheduler's thread sees it.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "cadre/runtime/scheduler.h"

namespace cadre {

struct Job {
  using Clock = std::chrono::steady_clock;

  Job(Request request, std::shared_ptr<RequestListener> listener);

  /// Seconds since submit().
  double age(Clock::time_point now) const { return std::chrono::duration<double>(now - submitted).count(); }
  bool generates() const { return request.kind == RequestKind::kGenerate; }

  RequestId id{0};
  Request request;  ///< its prompt has moved to `tokens`
  std::shared_ptr<RequestListener> listener;
  Clock::time_point submitted;
  Sampler sampler;
  std::vector<int32_t> tokens;  ///< the prompt, then what was sampled
  RequestStats stats;
  bool started = false;  ///< it has run before, though it may wait again
  bool ended = false;

  // While it runs:
  std::optional<SequenceId> sequence;
  int64_t admission = 0;              ///< the how manieth admission that was
  bool loading = false;               ///< the disk may have more of its prefix; nothing is computed till then
  std::vector<double> embedding_sum;  ///< of the final hidden states so far   [d]
};

}  // namespace cadre
