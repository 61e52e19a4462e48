#pragma once
/// What the server's tests share: a scheduler without an engine, an exchange without a socket, and the served
/// model, whose tokenizer is that of the model that ships with the project.

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cadre/server/service.h"

namespace cadre::server {

/// Answers every request with `answer`, token by token, on a thread of its own as the real one does: until
/// the answer ends (then as if by a stop token), max_tokens, the listener's word, or cancel().
class FakeScheduler final : public Scheduler {
 public:
  FakeScheduler() : thread_([this](const std::stop_token& stop) { run(stop); }) {}
  ~FakeScheduler() override {
    thread_.request_stop();
    changed_.notify_all();
  }

  /// To be set before requests come.
  std::vector<int32_t> answer;
  bool endless = false;  ///< begin the answer again when it ends
  std::chrono::milliseconds pause{0};
  std::optional<Error> refuse;        ///< what submit() says
  int64_t refuse_from = 0;            ///< and from which request on
  std::optional<Error> fail_with;     ///< what on_error() says, after the first token
  std::vector<ExpertChoice> routing;  ///< of every token

  Result<RequestId> submit(Request request, std::shared_ptr<RequestListener> listener) override {
    const std::lock_guard lock(mutex_);
    if (refuse && submitted_ >= refuse_from) return tl::unexpected(*refuse);
    const RequestId id{submitted_++};
    queue_.push_back({id, request.max_tokens, std::move(listener), request.kind, request.top_logprobs,
                      request.routing, static_cast<int64_t>(request.prompt.size())});
    requests_.push_back(std::move(request));
    changed_.notify_all();
    return id;
  }
  void cancel(RequestId id) override {
    const std::lock_guard lock(mutex_);
    cancelled_.insert(id);
    changed_.notify_all();
  }
  bool drain(std::chrono::milliseconds) override { return true; }
  SchedulerStats stats() const override {
    const std::lock_guard lock(mutex_);
    SchedulerStats stats;
    stats.queued = static_cast<int64_t>(queue_.size());
    stats.expert_tokens = {{}, {3, 4}};
    return stats;
  }

  std::vector<Request> take_requests() {
    const std::lock_guard lock(mutex_);
    return std::exchange(requests_, {});
  }
  int64_t cancelled() const {
    const std::lock_guard lock(mutex_);
    return static_cast<int64_t>(cancelled_.size());
  }

 private:
  struct Job {
    RequestId id;
    int64_t max_tokens;
    std::shared_ptr<RequestListener> listener;
    RequestKind kind;
    int top_logprobs;
    bool routing;
    int64_t prompt_tokens;
  };

  void run(const std::stop_token& stop) {
    while (true) {
      Job job;
      {
        std::unique_lock lock(mutex_);
        if (!changed_.wait(lock, stop, [&] { return !queue_.empty(); })) return;
        job = std::move(queue_.front());
        queue_.pop_front();
      }
      serve(job, stop);
    }
  }

  bool is_cancelled(RequestId id) const {
    const std::lock_guard lock(mutex_);
    return cancelled_.contains(id);
  }

  void serve(const Job& job, const std::stop_token& stop) {
    RequestStats stats{.prompt_tokens = job.prompt_tokens, .cached_tokens = 1};
    if (job.kind == RequestKind::kEmbed) {
      const std::vector<float> vector = {0.6f, 0.8f};
      job.listener->on_embedding(vector);
      return job.listener->on_finish(FinishReason::kMaxTokens, stats);
    }
    for (size_t i = 0; endless || i < answer.size(); ++i) {
      if (is_cancelled(job.id) || stop.stop_requested())
        return job.listener->on_finish(FinishReason::kCancelled, stats);
      if (pause.count() > 0) std::this_thread::sleep_for(pause);
      const int32_t token = answer[i % answer.size()];
      const std::vector<TokenLogprob> top(static_cast<size_t>(std::max(job.top_logprobs, 0)), {token, -0.5});
      TokenEvent event{.token = token, .logprob = -0.5, .top = top};
      if (job.routing) event.routing = routing;
      ++stats.generated_tokens;
      if (!job.listener->on_token(event)) return job.listener->on_finish(FinishReason::kStopString, stats);
      if (fail_with) return job.listener->on_error(*fail_with, stats);
      if (stats.generated_tokens == job.max_tokens)
        return job.listener->on_finish(FinishReason::kMaxTokens, stats);
    }
    job.listener->on_finish(FinishReason::kStopToken, stats);
  }

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  int64_t submitted_ = 0;
  std::deque<Job> queue_;
  std::vector<Request> requests_;
  std::set<RequestId> cancelled_;
  std::jthread thread_;
};

/// Collects what is sent, and waits for its end.
class RecordingExchange final : public HttpExchange {
 public:
  using HttpExchange::HttpExchange;

  void write(std::string piece) override {
    const std::lock_guard lock(mutex_);
    queued_ += piece;
  }
  void finish() override {
    const std::lock_guard lock(mutex_);
    finished_ = true;
    changed_.notify_all();
  }
  /// Always, having no connection.
  void on_ready(std::function<void()> callback) override { callback(); }
  bool gone() const override { return gone_; }
  void on_gone(std::function<void()> callback) override { on_gone_ = std::move(callback); }
  void leave() {
    gone_ = true;
    if (on_gone_) on_gone_();
  }

  /// The whole answer; of a stream, all its pieces.
  HttpResponse wait() {
    std::unique_lock lock(mutex_);
    const bool done = changed_.wait_for(lock, std::chrono::seconds(20),
                                        [&] { return started_ && (!stream_ || finished_); });
    EXPECT_TRUE(done) << "no answer";
    if (stream_) response_.body += std::exchange(queued_, {});
    return response_;
  }
  bool is_stream() const { return stream_; }

 protected:
  void send(HttpResponse response, bool stream) override {
    const std::lock_guard lock(mutex_);
    EXPECT_FALSE(started_) << "answered twice";
    started_ = true;
    stream_ = stream;
    response_ = std::move(response);
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool started_ = false, stream_ = false, finished_ = false;
  std::atomic<bool> gone_{false};
  std::function<void()> on_gone_;
  std::string queued_;
  HttpResponse response_;
};

/// The model that ships with the project, without its weights.
inline const ServedModel& test_model() {
  static const TextAssets assets = [] {
    auto loaded = load_text_assets(CADRE_SOURCE_DIR "/tests/data/cadre-xs");
    EXPECT_TRUE(loaded.has_value()) << loaded.error().message;
    return std::move(*loaded);
  }();
  static const ServedModel model = [] {
    ServedModel served{.names = {"cadre-xs", "other-name"}, .context_tokens = 256};
    served.set_assets(assets);
    served.config.vocab_size = 4096;
    served.config.hidden_size = 2;
    served.config.num_hidden_layers = 2;
    served.config.moe = MoeConfig{.n_routed_experts = 16, .num_experts_per_tok = 4};
    served.version = "0.0";
    return served;
  }();
  return model;
}

inline std::vector<int32_t> tokens_of(const std::string& text) {
  return test_model().assets->tokenizer.encode(text).value();
}

inline Json json(const std::string& text) { return parse_json(text, "test").value(); }

constexpr const char* kAnswer = "Hello there, world.";

/// A service over a fake scheduler, which gives kAnswer to all, and what is asked of it.
class ServiceTest : public ::testing::Test {
 protected:
  ServiceTest() { scheduler.answer = tokens_of(kAnswer); }

  Service& service() {
    if (!service_) {
      options.log = [this](const RequestRecord& record) {
        const std::lock_guard lock(mutex_);
        records_.push_back(record);
      };
      service_ = std::make_unique<Service>(*model_, scheduler, options);
    }
    return *service_;
  }

  std::shared_ptr<RecordingExchange> start(const std::string& method, const std::string& path,
                                           const std::string& body, std::vector<HttpHeader> headers = {}) {
    HttpRequest request{.id = "test", .method = method, .path = path, .headers = std::move(headers)};
    request.body = body;
    request.peer = "127.0.0.1";
    auto exchange = std::make_shared<RecordingExchange>(std::move(request));
    service().handle(exchange);
    return exchange;
  }
  HttpResponse ask(const std::string& method, const std::string& path, const std::string& body = {},
                   std::vector<HttpHeader> headers = {}) {
    return start(method, path, body, std::move(headers))->wait();
  }
  HttpResponse post(const std::string& path, const std::string& body) { return ask("POST", path, body); }
  /// The body of a successful answer.
  Json post_json(const std::string& path, const Json& body) {
    const HttpResponse response = post(path, dump_json(body));
    EXPECT_EQ(response.status, 200) << response.body;
    return parse_json(response.body, "answer").value_or(Json());
  }
  /// The data of the events of a stream; [DONE] is the string "[DONE]".
  std::vector<Json> post_stream(const std::string& path, Json body) {
    body["stream"] = true;
    const HttpResponse response = post(path, dump_json(body));
    EXPECT_EQ(response.status, 200) << response.body;
    return events_of(response.body);
  }
  static std::vector<Json> events_of(const std::string& text) {
    std::vector<Json> events;
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find("\n\n", at);
      EXPECT_NE(end, std::string::npos) << text.substr(at);
      if (end == std::string::npos) break;
      std::string event = text.substr(at, end - at);
      at = end + 2;
      std::string name;
      if (event.starts_with("event: ")) {
        name = event.substr(7, event.find('\n') - 7);
        event.erase(0, event.find('\n') + 1);
      }
      EXPECT_TRUE(event.starts_with("data: ")) << event;
      event.erase(0, 6);
      Json data = event == "[DONE]" ? Json(event) : parse_json(event, "event").value_or(Json());
      if (!name.empty()) {
        EXPECT_EQ(data["type"], name);
      }
      events.push_back(std::move(data));
    }
    return events;
  }
  std::vector<RequestRecord> records() {
    const std::lock_guard lock(mutex_);
    return records_;
  }

  /// Another model than test_model(), which must outlive the test.
  void set_model(const ServedModel& model) { model_ = &model; }

  ServiceOptions options;

 private:
  const ServedModel* model_ = &test_model();
  std::mutex mutex_;
  std::vector<RequestRecord> records_;
  std::unique_ptr<Service> service_;

 protected:
  FakeScheduler scheduler;  ///< last: its thread, which ends first, may be in the middle of an answer
};

}  // namespace cadre::server
