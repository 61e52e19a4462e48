#pragma once
/// What the server counts: requests by endpoint and status, and how long answers take. docs/server-api.md
/// lists the names that /metrics gives them.

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cadre/base/json.h"
#include "cadre/runtime/scheduler.h"

namespace cadre::server {

/// Durations in buckets of fixed bounds, and the last kRecent of them for percentiles. Not thread-safe.
class DurationHistogram {
 public:
  static constexpr std::array<double, 14> kBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                     0.25,  0.5,    1,     2.5,  5,     10,   60};
  static constexpr size_t kRecent = 512;

  void observe(double seconds);
  /// In Prometheus' text format, under `name`.
  std::string exposition(std::string_view name, std::string_view help) const;
  /// {count, mean, p50, p90, p99} in seconds; the percentiles are of the last kRecent.
  Json summary() const;

 private:
  std::array<int64_t, kBounds.size()> counts_{};  ///< of each bucket alone
  int64_t count_ = 0;
  double sum_ = 0;
  std::vector<double> recent_;
  size_t next_ = 0;
};

/// Thread-safe.
class ServerMetrics {
 public:
  void count_request(const std::string& path, int status);
  void observe_first_token(double seconds);
  void observe_inter_token(double seconds);
  void observe_request(double seconds);
  void observe_queue(double seconds);

  /// The whole text of /metrics.
  std::string exposition(const SchedulerStats& stats, std::string_view model, int64_t connections) const;
  /// {first_token, inter_token, request, queue} as DurationHistogram::summary.
  Json summaries() const;
  double uptime_seconds() const;

 private:
  mutable std::mutex mutex_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::map<std::pair<std::string, int>, int64_t> requests_;
  DurationHistogram first_token_, inter_token_, request_, queue_;
};

}  // namespace cadre::server
