#pragma once
/// Many requests, one engine: continuous batching. A thread of the scheduler's own runs the engine's steps.
/// Each step takes one decode token of every running sequence and, within what is left of the step's rows,
/// prefill of prompts in chunks, so that a long prompt does not stall the others.
///
/// Requests are admitted while KV pages last, by priority, and fairly between clients within one. When pages
/// run out, the latest admitted of the lowest priority gives its pages back and is computed again later; its
/// answer does not change. Answers equal those of the same request alone, bit for bit.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cadre/runtime/engine.h"
#include "cadre/runtime/generator.h"
#include "cadre/runtime/sampler.h"
#include "cadre/text/token_constraint.h"

namespace cadre {

/// What a request wants.
enum class RequestKind : uint8_t {
  kGenerate,
  kEmbed,  ///< the mean over the prompt's tokens of the final hidden state, of length 1
};

struct Request {
  RequestKind kind = RequestKind::kGenerate;
  std::vector<int32_t> prompt;
  int64_t max_tokens = 0;  ///< 0: until the context is full
  SamplingParams sampling;
  std::vector<int32_t> stop_tokens;             ///< end the answer; not reported as tokens
  std::unique_ptr<TokenConstraint> constraint;  ///< null: any token
  int top_logprobs = -1;                        ///< of each token; -1: no log-probabilities at all
  int64_t experts = 0;   ///< experts per token for this request; 0: the model's own number
  bool routing = false;  ///< report each token's experts and weights
  bool use_prefix_cache = true;
  std::string client;  ///< whose turn it is: requests of one client queue behind each other
  int priority = 0;    ///< higher first
  std::optional<std::chrono::steady_clock::time_point> deadline;
};

struct ExpertChoice {
  int32_t layer = 0;
  int32_t expert = 0;
  float weight = 0;
};

struct TokenLogprob {
  int32_t token = 0;
  double logprob = 0;
};

/// One sampled token.
struct TokenEvent {
  int32_t token = 0;
  double logprob = 0;                     ///< before temperature and penalties, as the OpenAI API reports it
  std::span<const TokenLogprob> top;      ///< best first
  std::span<const ExpertChoice> routing;  ///< of the row that this token was sampled from
};

struct RequestStats {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  ///< of the prompt, those found in the prefix cache
  int64_t generated_tokens = 0;
  int64_t preemptions = 0;
  double queue_seconds = 0;
  double first_token_seconds = 0;  ///< from submit; 0: there was none
  double total_seconds = 0;
};

/// Hears what becomes of a request, on the scheduler's thread: it must be quick, and must not call back into
/// the scheduler except cancel(). After on_finish or on_error nothing more comes.
class RequestListener {
 public:
  virtual ~RequestListener() = default;
  /// False ends the answer after this token, as FinishReason::kStopString does.
  virtual bool on_token(const TokenEvent& event) = 0;
  virtual void on_embedding(std::span<const float> /*embedding*/) {}
  virtual void on_finish(FinishReason reason, const RequestStats& stats) = 0;
  virtual void on_error(const Error& error, const RequestStats& stats) = 0;
};

struct SchedulerOptions {
  int64_t max_running = 64;    ///< sequences in one step
  int64_t max_queued = 512;    ///< beyond it, submit() refuses
  int64_t prefill_rows = 256;  ///< most prompt tokens in a step while others decode
  bool prefix_cache = true;
  /// Where prefixes survive a restart; empty: nowhere. With routing policies that change plans it must stay
  /// empty: a snapshot does not know them.
  std::string kv_disk_folder;
  int64_t kv_disk_bytes = 0;
};

/// Counters since the start, and gauges of now; what /metrics and the server page show.
struct SchedulerStats {
  int64_t running = 0, queued = 0;
  int64_t pages = 0, free_pages = 0, cached_pages = 0;  ///< cached: kept by the prefix cache alone
  int64_t finished = 0, cancelled = 0, failed = 0, refused = 0, preempted = 0;
  int64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
  int64_t steps = 0, step_rows = 0;
  double busy_seconds = 0;
  int64_t disk_snapshots = 0, disk_bytes = 0, disk_hits = 0;  ///< pages on disk, and pages served from there
  int64_t disk_damaged = 0;                                   ///< files that were found damaged and removed
  int64_t disk_failures = 0;                                  ///< pages that could not be written
  std::vector<std::vector<int64_t>> expert_tokens;            ///< [layer][expert]; dense layers are empty
};

enum class RequestId : int64_t {};

/// Thread-safe. Owns its thread; destruction cancels what is left.
class Scheduler {
 public:
  /// `engine` must outlive the scheduler, which alone uses it. `samplable[t]` false: token t stands for no
  /// text and is never sampled.
  static Result<std::unique_ptr<Scheduler>> create(Engine& engine, const std::vector<bool>& samplable,
                                                   const SchedulerOptions& options);
  virtual ~Scheduler() = default;

  /// Queues a request. Errors: kInvalid (empty prompt, ids outside the vocabulary, sampling out of range),
  /// kTooLarge (the prompt exceeds the context, with both numbers), kBusy (the queue is full, or draining).
  virtual Result<RequestId> submit(Request request, std::shared_ptr<RequestListener> listener) = 0;
  /// Ends a request within one step; it hears on_finish(kCancelled). Unknown or finished ids are ignored.
  virtual void cancel(RequestId id) = 0;

  /// Refuses new requests and waits until those accepted are done, or `timeout` is over and the rest is
  /// cancelled. -> whether all were done
  virtual bool drain(std::chrono::milliseconds timeout) = 0;
  virtual SchedulerStats stats() const = 0;
};

}  // namespace cadre
