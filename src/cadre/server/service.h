#pragma once
/// The server without sockets: which endpoint answers what, who may ask, and what all endpoints share.

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cadre/model/config.h"
#include "cadre/runtime/scheduler.h"
#include "cadre/runtime/text_assets.h"
#include "cadre/server/http.h"
#include "cadre/server/ids.h"
#include "cadre/server/metrics.h"
#include "cadre/text/answer_format.h"
#include "cadre/text/token_trie.h"

namespace cadre::server {

/// The model as clients see it.
struct ServedModel {
  std::vector<std::string> names;  ///< that requests may call it; answers use the first
  const TextAssets* assets = nullptr;
  ModelConfig config;
  std::shared_ptr<const TokenTrie> token_trie;  ///< for constrained answers
  AnswerFormat answer_format;                   ///< how it writes tool calls
  int64_t context_tokens = 0;
  int64_t created = 0;  ///< seconds since 1970
  std::string version;  ///< of the program
  std::string backend;  ///< "AVX-512, 2 threads"

  const std::string& name() const { return names.front(); }
  /// Sets what follows from `assets`. They must outlive this.
  void set_assets(const TextAssets& text);
};

/// What became of one request; a line of the log. It holds no text of prompts or answers.
struct RequestRecord {
  std::string id;
  std::string method;
  std::string path;
  int status = 0;
  double seconds = 0;
  bool generated = false;  ///< the rest has a meaning
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t generated_tokens = 0;
  double first_token_seconds = 0;
  double tokens_per_second = 0;  ///< after the first token; 0 for fewer than two
  std::string finish_reason;
};

/// One line, without its end.
std::string to_text(const RequestRecord& record);
std::string to_json_line(const RequestRecord& record);

struct ServiceOptions {
  std::vector<std::string> api_keys;      ///< empty: anyone may ask
  std::vector<std::string> cors_origins;  ///< that pages may ask from; "*": any
  int64_t max_choices = 64;               ///< of one request
  std::chrono::seconds request_time{0};   ///< for one answer; 0: no limit
  std::function<void(const RequestRecord&)> log = [](const RequestRecord&) {};
  std::function<int64_t()> connections = [] { return int64_t{0}; };
};

/// Thread-safe. Model, scheduler and what they need outlive it; so does it every exchange that it was given.
class Service {
 public:
  Service(const ServedModel& model, Scheduler& scheduler, ServiceOptions options)
      : model_(model), scheduler_(scheduler), options_(std::move(options)) {}

  /// Answers the exchange, now or later.
  void handle(const std::shared_ptr<HttpExchange>& exchange);
  /// From now on requests for answers get 503, and /health says why.
  void start_draining() { draining_ = true; }
  bool draining() const { return draining_; }

  const ServedModel& model() const { return model_; }
  Scheduler& scheduler() { return scheduler_; }
  const ServiceOptions& options() const { return options_; }
  ServerMetrics& metrics() { return metrics_; }
  IdSource& ids() { return ids_; }

  /// Whose turn a request takes: that of its API key, else that of its client's address.
  std::string client_of(const HttpRequest& request) const;

  /// Counts and logs a request whose answer is decided.
  void record(const RequestRecord& record);

 private:
  const ServedModel& model_;
  Scheduler& scheduler_;
  ServiceOptions options_;
  ServerMetrics metrics_;
  IdSource ids_;
  std::atomic<bool> draining_{false};
};

/// The answer to everything while the model is being loaded: /live is fine, nothing else is.
HttpResponse loading_response(const HttpRequest& request);

/// Whether `given` is one of `keys`, in a time that does not depend on where they differ.
bool is_api_key(std::string_view given, const std::vector<std::string>& keys);

}  // namespace cadre::server
