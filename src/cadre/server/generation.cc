#include "cadre/server/generation.h"

#include <algorithm>
#include <deque>
#include <mutex>

#include "cadre/runtime/generator.h"
#include "cadre/text/answer_parser.h"
#include "cadre/text/stream_decoder.h"

namespace cadre::server {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

/// One answer's way from tokens to pieces of text.
class AnswerStream {
 public:
  AnswerStream(const Tokenizer& tokenizer, const GenerationSettings& settings,
               const std::optional<AnswerReading>& reading, IdSource& ids)
      : tokenizer_(tokenizer),
        ids_(ids),
        stop_strings_(settings.stop_strings),
        decoder_(tokenizer, {.skip_special = true}),
        stops_(settings.stop_strings),
        keep_tokens_(settings.top_logprobs >= 0 || settings.routing) {
    if (reading) parser_.emplace(reading->format, reading->in_reasoning);
  }

  AnswerPiece push(const TokenEvent& event) {
    if (keep_tokens_) waiting_.push_back({decoded_.size(), describe(event)});
    // The scheduler samples only ids that stand for text.
    return take(decoder_.push(event.token).value_or(std::string()));
  }
  /// What was held back.
  AnswerPiece finish() {
    AnswerPiece piece = take(decoder_.finish());
    read(stops_.finish(), piece);
    if (parser_) add(parser_->finish(), piece);
    release_tokens(piece, /*all=*/!stops_.found());
    return piece;
  }

  bool stopped() const { return stops_.found(); }
  /// The stop string that ended the answer: the first in the text.
  std::string stop_string() const {
    if (!stops_.found()) return {};
    const auto at = [&](const std::string& stop) { return decoded_.find(stop); };
    return *std::min_element(stop_strings_.begin(), stop_strings_.end(),
                             [&](const auto& a, const auto& b) { return at(a) < at(b); });
  }

 private:
  struct WaitingToken {
    size_t begin = 0;  ///< of its text in the decoded answer
    AnswerToken token;
  };

  AnswerPiece take(std::string_view text) {
    decoded_ += text;
    AnswerPiece piece;
    read(stops_.push(text), piece);
    release_tokens(piece, /*all=*/false);
    return piece;
  }

  /// Text that no stop string holds back, to what it is in the answer.
  void read(const std::string& text, AnswerPiece& piece) {
    passed_ += text.size();
    if (parser_)
      add(parser_->push(text), piece);
    else
      piece.content += text;
  }
  void add(const AnswerDelta& delta, AnswerPiece& piece) {
    piece.reasoning += delta.reasoning;
    piece.content += delta.content;
    for (const ToolCallDelta& call : delta.tool_calls)
      piece.tool_calls.push_back({.index = static_cast<int>(call.index),
                                  .id = call.name.empty() ? std::string() : ids_.next("call_"),
                                  .name = call.name,
                                  .arguments = call.arguments});
  }

  /// A token goes out with the first of its text; one whose text is cut off by a stop string does not.
  void release_tokens(AnswerPiece& piece, bool all) {
    while (!waiting_.empty() && (all || waiting_.front().begin < passed_)) {
      piece.tokens.push_back(std::move(waiting_.front().token));
      waiting_.pop_front();
    }
  }

  TokenText text_of(int32_t id, double logprob) const {
    const auto bytes = tokenizer_.token_bytes(id);
    return {.id = id, .bytes = bytes ? std::string(*bytes) : std::string(), .logprob = logprob};
  }
  AnswerToken describe(const TokenEvent& event) const {
    AnswerToken token{.token = text_of(event.token, event.logprob)};
    for (const TokenLogprob& top : event.top) token.top.push_back(text_of(top.token, top.logprob));
    token.routing.assign(event.routing.begin(), event.routing.end());
    return token;
  }

  const Tokenizer& tokenizer_;
  IdSource& ids_;
  const std::vector<std::string>& stop_strings_;
  StreamDecoder decoder_;
  StopStrings stops_;
  std::optional<AnswerParser> parser_;
  bool keep_tokens_;
  std::string decoded_;
  size_t passed_ = 0;  ///< of it, bytes that stop strings let through
  std::deque<WaitingToken> waiting_;
};

/// All choices of one request. Kept alive by the listeners that the scheduler holds.
class Generation : public std::enable_shared_from_this<Generation> {
 public:
  Generation(Service& service, std::shared_ptr<HttpExchange> exchange, GenerationTask task)
      : service_(service), exchange_(std::move(exchange)), task_(std::move(task)) {
    const size_t count = task_.prompts.size() * static_cast<size_t>(task_.settings.choices);
    answers_.resize(count);
    unsent_.resize(count);
    running_ = count;
    for (size_t i = 0; i < count; ++i) {
      streams_.emplace_back(service.model().assets->tokenizer, task_.settings, task_.reading, service.ids());
      last_token_.push_back(start_);
    }
  }

  Status start();

  bool on_token(size_t choice, const TokenEvent& event);
  void on_finish(size_t choice, FinishReason reason, const RequestStats& stats);
  void on_error(const Error& error);

 private:
  class Listener;
  Request request_for(size_t choice);
  /// -> whether the connection must be asked to say when it is ready
  bool emit(size_t choice, AnswerPiece piece);
  void flush(size_t choice);
  void flush_when_ready();
  void complete();
  Usage usage() const;
  RequestRecord make_record(int status) const;
  void cancel();
  bool is_cancelled() {
    const std::lock_guard lock(mutex_);
    return cancelled_;
  }

  bool streaming() const { return task_.settings.stream; }

  Service& service_;
  const std::shared_ptr<HttpExchange> exchange_;
  GenerationTask task_;
  const Clock::time_point start_ = Clock::now();

  std::mutex mutex_;  ///< of all that follows: the scheduler's thread and the connection's meet here
  bool over_ = false;
  bool cancelled_ = false;
  std::vector<RequestId> ids_;
  std::vector<Answer> answers_;
  std::vector<AnswerPiece> unsent_;  ///< of each answer, what goes with its next event
  bool awaits_ready_ = false;
  std::deque<AnswerStream> streams_;
  std::vector<Clock::time_point> last_token_;
  size_t running_ = 0;
};

class Generation::Listener final : public RequestListener {
 public:
  Listener(std::shared_ptr<Generation> generation, size_t choice)
      : generation_(std::move(generation)), choice_(choice) {}
  bool on_token(const TokenEvent& event) override { return generation_->on_token(choice_, event); }
  void on_finish(FinishReason reason, const RequestStats& stats) override {
    generation_->on_finish(choice_, reason, stats);
  }
  void on_error(const Error& error, const RequestStats&) override { generation_->on_error(error); }

 private:
  std::shared_ptr<Generation> generation_;
  size_t choice_;
};

Request Generation::request_for(size_t choice) {
  const GenerationSettings& settings = task_.settings;
  const auto choices = static_cast<size_t>(settings.choices);
  Request request;
  request.prompt = task_.prompts[choice / choices];
  request.max_tokens = settings.max_tokens;
  request.sampling = settings.sampling;
  request.sampling.seed += choice % choices;
  request.stop_tokens = service_.model().assets->stop_tokens;
  if (!task_.constraints.empty()) request.constraint = std::move(task_.constraints[choice]);
  request.top_logprobs = settings.top_logprobs;
  request.experts = settings.experts;
  request.routing = settings.routing;
  request.use_prefix_cache = settings.use_prefix_cache;
  request.client = service_.client_of(exchange_->request());
  request.priority = settings.priority;
  if (service_.options().request_time.count() > 0)
    request.deadline = start_ + service_.options().request_time;
  return request;
}

Status Generation::start() {
  // Written before the answer is known to begin: an error drops it again.
  if (streaming()) exchange_->write(task_.writer->start());
  for (size_t choice = 0; choice < answers_.size(); ++choice) {
    const auto id = service_.scheduler().submit(request_for(choice),
                                                std::make_shared<Listener>(shared_from_this(), choice));
    if (!id) {
      {
        const std::lock_guard lock(mutex_);
        over_ = true;
      }
      cancel();
      return tl::unexpected(id.error());
    }
    const std::lock_guard lock(mutex_);
    ids_.push_back(*id);
  }
  if (streaming())
    exchange_->start_stream({.headers = {{"Content-Type", "text/event-stream"},
                                         {"Cache-Control", "no-cache"},
                                         {"X-Accel-Buffering", "no"}}});
  exchange_->on_gone([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->cancel();
  });
  return {};
}

/// Ends what still runs, within a step.
void Generation::cancel() {
  std::vector<RequestId> ids;
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    ids = ids_;
  }
  for (const RequestId id : ids) service_.scheduler().cancel(id);
}

bool Generation::emit(size_t choice, AnswerPiece piece) {
  if (piece.empty()) return false;
  answers_[choice].append(piece);
  if (!streaming()) return false;
  // A client that reads slowly must not let much gather here: only what is written is counted.
  constexpr size_t kMostUnsent = 4096;
  AnswerPiece& unsent = unsent_[choice];
  if (unsent.size() > kMostUnsent || !unsent.append(piece)) {
    flush(choice);
    unsent = std::move(piece);
  }
  return !std::exchange(awaits_ready_, true);
}

void Generation::flush(size_t choice) {
  const AnswerPiece piece = std::exchange(unsent_[choice], {});
  if (!piece.empty()) exchange_->write(task_.writer->piece(static_cast<int>(choice), piece));
}

/// Tokens that come while the connection sends, or rests, go out as one event: an event costs both sides more
/// than a token of a small model does.
void Generation::flush_when_ready() {
  exchange_->on_ready([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    const std::lock_guard lock(self->mutex_);
    self->awaits_ready_ = false;
    for (size_t choice = 0; choice < self->unsent_.size(); ++choice) self->flush(choice);
  });
}

bool Generation::on_token(size_t choice, const TokenEvent& event) {
  bool go_on = false;
  bool ask = false;
  {
    const std::lock_guard lock(mutex_);
    if (over_ || cancelled_) return false;
    const auto now = Clock::now();
    const double waited = seconds_between(last_token_[choice], now);
    if (last_token_[choice] == start_)
      service_.metrics().observe_first_token(waited);
    else
      service_.metrics().observe_inter_token(waited);
    last_token_[choice] = now;
    ask = emit(choice, streams_[choice].push(event));
    go_on = !streams_[choice].stopped();
  }
  if (ask) flush_when_ready();
  return go_on;
}

void Generation::on_finish(size_t choice, FinishReason reason, const RequestStats& stats) {
  if (reason == FinishReason::kCancelled && !is_cancelled())
    return on_error({ErrorKind::kInterrupt, "the answer was cut short: the server is shutting down"});
  const std::lock_guard lock(mutex_);
  if (over_) return;
  emit(choice, streams_[choice].finish());
  flush(choice);
  Answer& answer = answers_[choice];
  answer.stop_string = streams_[choice].stop_string();
  answer.reason = answer.stop_string.empty() ? reason : FinishReason::kStopString;
  if (cancelled_) answer.reason = FinishReason::kCancelled;
  answer.stats = stats;
  service_.metrics().observe_queue(stats.queue_seconds);
  if (streaming()) exchange_->write(task_.writer->finish(static_cast<int>(choice), answer));
  if (--running_ == 0) complete();
}

void Generation::complete() {
  over_ = true;
  constexpr int kClientLeft = 499;  // nginx's number for it
  service_.record(make_record(cancelled_ ? kClientLeft : 200));
  if (streaming()) {
    exchange_->write(task_.writer->end(answers_, usage()));
    exchange_->finish();
  } else {
    exchange_->respond(json_response(task_.writer->body(answers_, usage())));
  }
}

void Generation::on_error(const Error& error) {
  bool others = false;
  {
    const std::lock_guard lock(mutex_);
    if (over_) return;
    over_ = true;
    others = running_ > 1;
    RequestRecord record = make_record(http_status(error));
    record.finish_reason = "error";
    service_.record(record);
    if (streaming()) {
      for (size_t c = 0; c < unsent_.size(); ++c) flush(c);
      exchange_->write(task_.writer->failure(error));
      exchange_->finish();
    } else {
      exchange_->respond(error_response(task_.style, error));
    }
  }
  if (others) cancel();
}

Usage Generation::usage() const {
  Usage usage;
  const auto choices = static_cast<size_t>(task_.settings.choices);
  for (size_t i = 0; i < answers_.size(); ++i) {
    usage.generated_tokens += answers_[i].stats.generated_tokens;
    if (i % choices != 0) continue;  // a prompt counts once, however many answers it gets
    usage.prompt_tokens += static_cast<int64_t>(task_.prompts[i / choices].size());
    usage.cached_tokens += answers_[i].stats.cached_tokens;
  }
  return usage;
}

RequestRecord Generation::make_record(int status) const {
  const Usage total = usage();
  RequestRecord record{.id = exchange_->request().id,
                       .method = exchange_->request().method,
                       .path = exchange_->request().path,
                       .status = status,
                       .seconds = seconds_between(start_, Clock::now()),
                       .generated = true,
                       .prompt_tokens = total.prompt_tokens,
                       .cached_tokens = total.cached_tokens,
                       .generated_tokens = total.generated_tokens};
  const Answer& first = answers_.front();
  record.first_token_seconds = first.stats.first_token_seconds;
  const double decoding = first.stats.total_seconds - first.stats.first_token_seconds;
  if (first.stats.generated_tokens > 1 && decoding > 0)
    record.tokens_per_second = static_cast<double>(first.stats.generated_tokens - 1) / decoding;
  if (first.reason) record.finish_reason = name(*first.reason);
  return record;
}

}  // namespace

Status start_generation(Service& service, const std::shared_ptr<HttpExchange>& exchange,
                        GenerationTask task) {
  return std::make_shared<Generation>(service, exchange, std::move(task))->start();
}

}  // namespace cadre::server
