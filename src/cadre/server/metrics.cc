#include "cadre/server/metrics.h"

#include <algorithm>

namespace cadre::server {
namespace {

void head(std::string& text, std::string_view name, std::string_view type, std::string_view help) {
  text += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void single(std::string& text, std::string_view name, std::string_view type, std::string_view help,
            double value) {
  head(text, name, type, help);
  text += fmt::format("{} {}\n", name, value);
}

/// A label's value: backslash, quote and line break are escaped.
std::string escaped(std::string_view value) {
  std::string text;
  for (const char c : value) {
    if (c == '\\' || c == '"') text += '\\';
    if (c == '\n')
      text += "\\n";
    else
      text += c;
  }
  return text;
}

void expert_loads(std::string& text, const SchedulerStats& stats) {
  head(text, "cadre_expert_tokens_total", "counter", "Tokens that each expert of each layer has computed.");
  for (size_t layer = 0; layer < stats.expert_tokens.size(); ++layer)
    for (size_t expert = 0; expert < stats.expert_tokens[layer].size(); ++expert)
      text += fmt::format("cadre_expert_tokens_total{{layer=\"{}\",expert=\"{}\"}} {}\n", layer, expert,
                          stats.expert_tokens[layer][expert]);
}

}  // namespace

void DurationHistogram::observe(double seconds) {
  const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  if (bucket != kBounds.end()) ++counts_[static_cast<size_t>(bucket - kBounds.begin())];
  ++count_;
  sum_ += seconds;
  if (recent_.size() < kRecent) {
    recent_.push_back(seconds);
  } else {
    recent_[next_] = seconds;
    next_ = (next_ + 1) % kRecent;
  }
}

std::string DurationHistogram::exposition(std::string_view name, std::string_view help) const {
  std::string text;
  head(text, name, "histogram", help);
  int64_t below = 0;
  for (size_t i = 0; i < kBounds.size(); ++i) {
    below += counts_[i];
    text += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name, kBounds[i], below);
  }
  text += fmt::format("{}_bucket{{le=\"+Inf\"}} {}\n{}_sum {}\n{}_count {}\n", name, count_, name, sum_, name,
                      count_);
  return text;
}

Json DurationHistogram::summary() const {
  std::vector<double> sorted = recent_;
  std::sort(sorted.begin(), sorted.end());
  const auto percentile = [&](double share) -> Json {
    if (sorted.empty()) return nullptr;
    return sorted[std::min(sorted.size() - 1,
                           static_cast<size_t>(share * static_cast<double>(sorted.size())))];
  };
  return {{"count", count_},
          {"mean", count_ == 0 ? Json() : Json(sum_ / static_cast<double>(count_))},
          {"p50", percentile(0.5)},
          {"p90", percentile(0.9)},
          {"p99", percentile(0.99)}};
}

void ServerMetrics::count_request(const std::string& path, int status) {
  const std::lock_guard lock(mutex_);
  ++requests_[{path, status}];
}
void ServerMetrics::observe_first_token(double seconds) {
  const std::lock_guard lock(mutex_);
  first_token_.observe(seconds);
}
void ServerMetrics::observe_inter_token(double seconds) {
  const std::lock_guard lock(mutex_);
  inter_token_.observe(seconds);
}
void ServerMetrics::observe_request(double seconds) {
  const std::lock_guard lock(mutex_);
  request_.observe(seconds);
}
void ServerMetrics::observe_queue(double seconds) {
  const std::lock_guard lock(mutex_);
  queue_.observe(seconds);
}

double ServerMetrics::uptime_seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

Json ServerMetrics::summaries() const {
  const std::lock_guard lock(mutex_);
  return {{"first_token", first_token_.summary()},
          {"inter_token", inter_token_.summary()},
          {"request", request_.summary()},
          {"queue", queue_.summary()}};
}

std::string ServerMetrics::exposition(const SchedulerStats& stats, std::string_view model,
                                      int64_t connections) const {
  const std::lock_guard lock(mutex_);
  std::string text;
  const auto counter = [&](std::string_view name, int64_t value, std::string_view help) {
    single(text, name, "counter", help, static_cast<double>(value));
  };
  const auto gauge = [&](std::string_view name, int64_t value, std::string_view help) {
    single(text, name, "gauge", help, static_cast<double>(value));
  };
  head(text, "cadre_model_info", "gauge", "The model that is served.");
  text += fmt::format("cadre_model_info{{model=\"{}\"}} 1\n", escaped(model));
  single(text, "cadre_uptime_seconds", "gauge", "Since the server started.", uptime_seconds());
  gauge("cadre_connections", connections, "Open connections.");

  head(text, "cadre_http_requests_total", "counter", "Requests answered, by endpoint and status.");
  for (const auto& [key, count] : requests_)
    text += fmt::format("cadre_http_requests_total{{path=\"{}\",status=\"{}\"}} {}\n", escaped(key.first),
                        key.second, count);

  gauge("cadre_requests_running", stats.running, "Answers being written.");
  gauge("cadre_requests_queued", stats.queued, "Requests that wait to begin.");
  counter("cadre_requests_finished_total", stats.finished, "Answers completed.");
  counter("cadre_requests_cancelled_total", stats.cancelled, "Answers that the client gave up.");
  counter("cadre_requests_failed_total", stats.failed, "Answers that ended in an error.");
  counter("cadre_requests_refused_total", stats.refused, "Requests refused because the queue was full.");
  counter("cadre_requests_preempted_total", stats.preempted,
          "Times that a request gave its KV pages back and was computed again.");

  counter("cadre_prompt_tokens_total", stats.prompt_tokens, "Tokens of prompts.");
  counter("cadre_cached_tokens_total", stats.cached_tokens, "Of those, found in the prefix cache.");
  counter("cadre_generated_tokens_total", stats.generated_tokens, "Tokens generated.");

  counter("cadre_steps_total", stats.steps, "Steps of the engine.");
  counter("cadre_step_rows_total", stats.step_rows,
          "Rows of all steps; divided by the steps, the size of a batch.");
  single(text, "cadre_busy_seconds_total", "counter", "Time spent in steps.", stats.busy_seconds);

  gauge("cadre_kv_pages", stats.pages, "Pages of the KV cache.");
  gauge("cadre_kv_pages_free", stats.free_pages, "Of those, free.");
  gauge("cadre_kv_pages_cached", stats.cached_pages, "Of those, kept for prefixes alone.");
  gauge("cadre_disk_snapshots", stats.disk_snapshots, "Prefixes on disk.");
  gauge("cadre_disk_bytes", stats.disk_bytes, "Their bytes.");
  counter("cadre_disk_hits_total", stats.disk_hits, "Prefixes read back from disk.");
  counter("cadre_disk_damaged_total", stats.disk_damaged, "Files found damaged and removed.");
  counter("cadre_disk_failures_total", stats.disk_failures, "Prefixes that could not be written.");

  text += first_token_.exposition("cadre_time_to_first_token_seconds", "From a request to its first token.");
  text += inter_token_.exposition("cadre_inter_token_seconds", "Between two tokens of an answer.");
  text += request_.exposition("cadre_request_seconds", "From a request to the end of its answer.");
  text += queue_.exposition("cadre_queue_seconds", "From a request to its admission.");
  expert_loads(text, stats);
  return text;
}

}  // namespace cadre::server
