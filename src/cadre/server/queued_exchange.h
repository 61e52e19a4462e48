#pragma once
/// The exchange of http_server.cc: what is answered, on its way from any thread to the connection.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "cadre/server/http.h"

namespace cadre::server {

/// What an exchange has for its connection to send.
struct Outgoing {
  std::optional<HttpResponse> head;
  bool stream = false;  ///< of head: more comes
  std::string data;
  bool end = false;

  bool empty() const { return !head && data.empty() && !end; }
};

/// An exchange whose answer crosses from any thread to the connection's strand.
class QueuedExchange final : public HttpExchange, public std::enable_shared_from_this<QueuedExchange> {
 public:
  /// `io` stays alive as long as the exchange, whose timer is registered there.
  QueuedExchange(HttpRequest request, std::shared_ptr<boost::asio::io_context> io,
                 const boost::asio::any_io_executor& strand, uint64_t max_queued_bytes)
      : HttpExchange(std::move(request)),
        io_(std::move(io)),
        max_queued_bytes_(max_queued_bytes),
        wake_(strand) {}

  void write(std::string piece) override {
    bool overflow = false;
    bool awaited = false;
    {
      const std::lock_guard lock(mutex_);
      if (gone_) return;
      queue_ += piece;
      overflow = started_ && queue_.size() > max_queued_bytes_;
      awaited = std::exchange(awaits_data_, false);
    }
    if (awaited) wake();
    if (!overflow) return;
    // Not from here: whoever writes may hold what the callback wants.
    boost::asio::post(wake_.get_executor(), [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->set_gone();
    });
  }
  void finish() override {
    {
      const std::lock_guard lock(mutex_);
      end_ = true;
    }
    wake();
  }
  void on_ready(std::function<void()> callback) override {
    bool awaited = false;
    {
      const std::lock_guard lock(mutex_);
      on_ready_ = std::move(callback);
      awaited = std::exchange(awaits_data_, false);
    }
    if (awaited) wake();
  }
  bool gone() const override {
    const std::lock_guard lock(mutex_);
    return gone_;
  }
  void on_gone(std::function<void()> callback) override {
    {
      const std::lock_guard lock(mutex_);
      if (!gone_) {
        on_gone_ = std::move(callback);
        return;
      }
    }
    callback();
  }

  /// The rest is for the connection, on its strand.
  void set_gone() {
    std::function<void()> callback;
    {
      const std::lock_guard lock(mutex_);
      gone_ = true;
      queue_.clear();
      on_ready_ = nullptr;
      callback = std::exchange(on_gone_, nullptr);
    }
    if (callback) callback();
  }
  /// What there is to send, after who gathers a stream has written it.
  Outgoing take() {
    std::function<void()> ready;
    {
      const std::lock_guard lock(mutex_);
      if (started_) ready = std::exchange(on_ready_, nullptr);
    }
    if (ready) ready();
    const std::lock_guard lock(mutex_);
    Outgoing outgoing;
    if (!started_) return outgoing;
    outgoing.head = std::exchange(head_, std::nullopt);
    outgoing.stream = stream_;
    outgoing.data = std::exchange(queue_, {});
    outgoing.end = end_ || !stream_;
    return outgoing;
  }
  /// Whether there is nothing to take: then what comes next wakes the connection. While it sends, or rests
  /// between two pieces, it is not woken, for that costs more than a token of a small model.
  bool await() {
    const std::lock_guard lock(mutex_);
    awaits_data_ = !started_ || (queue_.empty() && !on_ready_ && !end_);
    return awaits_data_;
  }
  /// Whether no more will come.
  bool complete() const {
    const std::lock_guard lock(mutex_);
    return end_ || gone_;
  }
  boost::asio::steady_timer& wake_timer() { return wake_; }

 protected:
  void send(HttpResponse response, bool stream) override {
    {
      const std::lock_guard lock(mutex_);
      started_ = true;
      stream_ = stream;
      if (!stream) queue_.clear();
      if (stream) queue_.insert(0, std::exchange(response.body, {}));
      head_ = std::move(response);
    }
    wake();
  }

 private:
  /// The timer belongs to the strand, so the waiting connection is woken from there.
  void wake() {
    boost::asio::post(wake_.get_executor(), [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->wake_.cancel();
    });
  }

  const std::shared_ptr<boost::asio::io_context> io_;
  const uint64_t max_queued_bytes_;
  mutable std::mutex mutex_;
  bool started_ = false;
  bool stream_ = false;
  bool end_ = false;
  bool gone_ = false;
  bool awaits_data_ = false;
  std::optional<HttpResponse> head_;
  std::string queue_;
  std::function<void()> on_gone_;
  std::function<void()> on_ready_;
  boost::asio::steady_timer wake_;
};

}  // namespace cadre::server
