#include "cadre/runtime/scheduler.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "cadre/runtime/cache_fingerprint.h"
#include "cadre/runtime/step_loop.h"

namespace cadre {
namespace {

constexpr std::chrono::milliseconds kSavePause{2};  ///< between pages that are saved while nothing runs

/// Checks that need no lock: what a request asks for is possible at all.
Status check(const Request& request, const Engine& engine) {
  const ModelConfig& config = engine.model().config();
  const auto prompt_tokens = static_cast<int64_t>(request.prompt.size());
  if (prompt_tokens == 0) return invalid("the prompt has no tokens");
  if (prompt_tokens > engine.max_sequence_tokens())
    return fail(ErrorKind::kTooLarge, "the prompt's {} tokens do not fit the context of {}", prompt_tokens,
                engine.max_sequence_tokens());
  const auto outside = [&](int32_t id) { return id < 0 || id >= config.vocab_size; };
  for (const auto* ids : {&request.prompt, &request.stop_tokens})
    if (const auto id = std::find_if(ids->begin(), ids->end(), outside); id != ids->end())
      return invalid("token id {} is outside the vocabulary of {}", *id, config.vocab_size);
  if (request.max_tokens < 0)
    return invalid("max tokens: expected an integer of at least 0, found {}", request.max_tokens);
  if (request.top_logprobs < -1 || request.top_logprobs > config.vocab_size)
    return invalid("top logprobs: expected -1 to {}, found {}", config.vocab_size, request.top_logprobs);
  if (const Status sampling = validate(request.sampling, config.vocab_size); !sampling)
    return invalid("{}", sampling.error().message);
  if (request.experts == 0) return {};
  CADRE_CHECK_OK(check_experts(config, request.experts));
  if (engine.row_cost(request.experts) > engine.options().max_step_rows)
    return invalid("{} experts per token: a step of {} rows has no room for one token", request.experts,
                   engine.options().max_step_rows);
  return {};
}

class ThreadedScheduler final : public Scheduler {
 public:
  ThreadedScheduler(Engine& engine, SamplableTokens samplable, const SchedulerOptions& options,
                    std::unique_ptr<SnapshotStore> snapshots)
      : engine_(engine),
        max_queued_(options.max_queued),
        loop_(engine, std::move(samplable), options, std::move(snapshots)) {
    published_ = loop_.stats();
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }

  ~ThreadedScheduler() override {
    thread_.request_stop();
    thread_.join();
  }

  Result<RequestId> submit(Request request, std::shared_ptr<RequestListener> listener) override;
  void cancel(RequestId id) override;
  bool drain(std::chrono::milliseconds timeout) override;
  SchedulerStats stats() const override;

 private:
  void run(const std::stop_token& stop);
  /// Returns at once while the loop has requests; meanwhile what is new goes to the disk.
  void wait_for_work(const std::stop_token& stop);
  /// Hands what came since the last time to the loop.
  void take_messages();
  void publish();
  /// Requests accepted and not over; under the lock.
  int64_t unfinished() const {
    return static_cast<int64_t>(arrivals_.size()) + published_.running + published_.queued;
  }

  Engine& engine_;
  int64_t max_queued_;

  mutable std::mutex mutex_;
  std::condition_variable_any wake_;  ///< something came for the thread
  std::condition_variable over_;      ///< no request is left
  std::vector<std::unique_ptr<Job>> arrivals_;
  std::vector<RequestId> cancellations_;
  bool cancel_all_ = false;
  bool draining_ = false;
  int64_t requests_ = 0;
  int64_t refused_ = 0;
  SchedulerStats published_;  ///< the loop's, after its last step

  StepLoop loop_;  ///< the thread's alone
  std::jthread thread_;
};

Result<RequestId> ThreadedScheduler::submit(Request request, std::shared_ptr<RequestListener> listener) {
  CADRE_CHECK_OK(check(request, engine_));
  const std::optional<MoeConfig>& moe = engine_.model().config().moe;
  if (moe && request.experts == moe->num_experts_per_tok) request.experts = 0;
  auto job = std::make_unique<Job>(std::move(request), std::move(listener));
  const std::unique_lock lock(mutex_);
  const int64_t queued = static_cast<int64_t>(arrivals_.size()) + published_.queued;
  if (draining_ || queued >= max_queued_) {
    ++refused_;
    if (draining_) return fail(ErrorKind::kBusy, "no new requests are taken: the server is going down");
    return fail(ErrorKind::kBusy, "the queue is full: {} requests wait, at most {} may", queued, max_queued_);
  }
  const RequestId id{++requests_};
  job->id = id;
  arrivals_.push_back(std::move(job));
  wake_.notify_one();
  return id;
}

void ThreadedScheduler::cancel(RequestId id) {
  const std::unique_lock lock(mutex_);
  cancellations_.push_back(id);
  wake_.notify_one();
}

bool ThreadedScheduler::drain(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  draining_ = true;
  const auto all_over = [&] { return unfinished() == 0; };
  if (over_.wait_for(lock, timeout, all_over)) return true;
  cancel_all_ = true;
  wake_.notify_one();
  over_.wait(lock, all_over);
  return false;
}

SchedulerStats ThreadedScheduler::stats() const {
  SchedulerStats stats;
  {
    const std::unique_lock lock(mutex_);
    stats = published_;
    stats.queued += static_cast<int64_t>(arrivals_.size());
    stats.refused = refused_;
  }
  stats.expert_tokens = loop_.usage().tokens();
  const SnapshotStats disk = loop_.disk_stats();
  stats.disk_snapshots = disk.files;
  stats.disk_bytes = disk.bytes;
  stats.disk_hits = disk.hits;
  stats.disk_damaged = disk.damaged;
  stats.disk_failures = disk.failures;
  return stats;
}

void ThreadedScheduler::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    wait_for_work(stop);
    take_messages();
    loop_.step();
    publish();
  }
  take_messages();
  loop_.cancel_all();
  publish();
}

void ThreadedScheduler::wait_for_work(const std::stop_token& stop) {
  if (!loop_.idle()) return;
  const auto messages = [&] { return !arrivals_.empty() || !cancellations_.empty() || cancel_all_; };
  std::unique_lock lock(mutex_);
  while (loop_.has_unsaved()) {
    if (wake_.wait_for(lock, stop, kSavePause, messages) || stop.stop_requested()) return;
    lock.unlock();
    loop_.save_some();
    lock.lock();
  }
  wake_.wait(lock, stop, messages);
}

void ThreadedScheduler::take_messages() {
  std::vector<std::unique_ptr<Job>> arrivals;
  std::vector<RequestId> cancellations;
  bool cancel_all = false;
  {
    const std::unique_lock lock(mutex_);
    arrivals.swap(arrivals_);
    cancellations.swap(cancellations_);
    cancel_all = std::exchange(cancel_all_, false);
    published_.queued += static_cast<int64_t>(arrivals.size());
  }
  for (std::unique_ptr<Job>& job : arrivals) loop_.add(std::move(job));
  for (const RequestId id : cancellations) loop_.cancel(id);
  if (cancel_all) loop_.cancel_all();
}

void ThreadedScheduler::publish() {
  const std::unique_lock lock(mutex_);
  published_ = loop_.stats();
  if (unfinished() == 0) over_.notify_all();
}

}  // namespace

Result<std::unique_ptr<Scheduler>> Scheduler::create(Engine& engine, const std::vector<bool>& samplable,
                                                     const SchedulerOptions& options) {
  const EngineOptions& limits = engine.options();
  if (options.max_running < 1 || options.max_running > limits.max_logit_rows)
    return invalid("running requests: expected 1 to {}, the rows of logits of a step, found {}",
                   limits.max_logit_rows, options.max_running);
  if (options.max_queued < 1)
    return invalid("queued requests: expected 1 or more, found {}", options.max_queued);
  if (options.prefill_rows < 1)
    return invalid("prefill rows: expected 1 or more, found {}", options.prefill_rows);
  SamplableTokens tokens(samplable, engine.model().config().vocab_size);
  if (!tokens.any()) return invalid("of the model's vocabulary no token can be sampled");
  std::unique_ptr<SnapshotStore> snapshots;
  if (!options.kv_disk_folder.empty()) {
    if (!options.prefix_cache) return invalid("snapshots on disk need the prefix cache");
    CADRE_TRY(const uint64_t fingerprint, cache_fingerprint(engine));
    CADRE_TRY(snapshots, SnapshotStore::open(options.kv_disk_folder, options.kv_disk_bytes, fingerprint,
                                             engine.kv_cache().page_bytes()));
  }
  return std::make_unique<ThreadedScheduler>(engine, std::move(tokens), options, std::move(snapshots));
}

}  // namespace cadre
