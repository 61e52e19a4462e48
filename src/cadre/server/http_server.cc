// Beside queued_exchange.h the only file that knows Boost. Coroutines are named functions with value
// parameters, and no temporary that owns something stands in a co_await expression: g++ 12 may destroy such
// things twice.
#include "cadre/server/http_server.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_set>

#include "cadre/server/ids.h"
#include "cadre/server/queued_exchange.h"

namespace cadre::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;

constexpr auto kResult = asio::as_tuple(asio::use_awaitable);
/// A comment of server-sent events; what a stream gets in silence so that proxies keep it open.
constexpr std::string_view kPing = ": ping\n\n";

struct Connection {
  explicit Connection(tcp::socket socket) : stream(std::move(socket)) {}
  beast::tcp_stream stream;
  beast::flat_buffer buffer;
  bool busy = false;  ///< between the first byte of a request and the last of its answer; on the strand
};

/// What all connections share.
struct Shared {
  HttpServerOptions options;
  HttpHandler handler;
  IdSource ids;
  std::shared_ptr<asio::io_context> io = std::make_shared<asio::io_context>();
  std::atomic<bool> stopping{false};

  std::mutex mutex;
  std::condition_variable left;
  std::unordered_set<std::shared_ptr<Connection>> connections;
};
using SharedPtr = std::shared_ptr<Shared>;
using ConnectionPtr = std::shared_ptr<Connection>;

/// How an answer must be written for its request.
struct Framing {
  unsigned version = 11;
  bool keep_alive = true;
  bool head_only = false;
};

template <typename Body>
http::response<Body> make_head(const HttpResponse& answer, const Framing& framing) {
  http::response<Body> response;
  response.version(framing.version);
  response.result(static_cast<unsigned>(answer.status));
  for (const HttpHeader& header : answer.headers) response.insert(header.name, header.value);
  response.keep_alive(framing.keep_alive);
  return response;
}

/// -> whether all of it was taken
asio::awaitable<bool> write_whole(ConnectionPtr connection, HttpResponse answer, Framing framing,
                                  milliseconds time) {
  auto response = make_head<http::string_body>(answer, framing);
  response.body() = std::move(answer.body);
  response.prepare_payload();
  http::response_serializer<http::string_body> serializer(response);
  connection->stream.expires_after(time);
  if (framing.head_only) {
    const auto [error, bytes] = co_await http::async_write_header(connection->stream, serializer, kResult);
    co_return !error;
  }
  const auto [error, bytes] = co_await http::async_write(connection->stream, serializer, kResult);
  co_return !error;
}

asio::awaitable<bool> write_stream_head(ConnectionPtr connection, HttpResponse answer, Framing framing,
                                        milliseconds time) {
  auto response = make_head<http::empty_body>(answer, framing);
  if (framing.version == 11) response.chunked(true);
  http::response_serializer<http::empty_body> serializer(response);
  connection->stream.expires_after(time);
  const auto [error, bytes] = co_await http::async_write_header(connection->stream, serializer, kResult);
  co_return !error;
}

asio::awaitable<bool> write_piece(ConnectionPtr connection, std::string data, Framing framing,
                                  milliseconds time) {
  connection->stream.expires_after(time);
  if (framing.version == 11) {
    const auto chunk = http::make_chunk(asio::buffer(data));
    const auto [error, bytes] = co_await asio::async_write(connection->stream, chunk, kResult);
    co_return !error;
  }
  const auto [error, bytes] = co_await asio::async_write(connection->stream, asio::buffer(data), kResult);
  co_return !error;
}

asio::awaitable<bool> write_end(ConnectionPtr connection, Framing framing, milliseconds time) {
  if (framing.version != 11) co_return true;
  connection->stream.expires_after(time);
  const auto last = http::make_chunk_last();
  const auto [error, bytes] = co_await asio::async_write(connection->stream, last, kResult);
  co_return !error;
}

/// Sends what the exchange gets, until it is complete. -> whether all of it was taken
asio::awaitable<bool> send_answer(ConnectionPtr connection, std::shared_ptr<QueuedExchange> exchange,
                                  SharedPtr shared, Framing framing) {
  const milliseconds time = shared->options.write_time;
  bool streaming = false;
  auto rest_until = std::chrono::steady_clock::time_point::min();
  while (true) {
    if (rest_until > std::chrono::steady_clock::now() && !exchange->complete()) {
      exchange->wake_timer().expires_at(rest_until);
      co_await exchange->wake_timer().async_wait(kResult);
      continue;
    }
    Outgoing outgoing = exchange->take();
    if (outgoing.empty()) {
      if (exchange->gone()) co_return false;
      if (!exchange->await()) continue;
      exchange->wake_timer().expires_after(streaming ? shared->options.ping_time : std::chrono::hours(24));
      const auto [woken] = co_await exchange->wake_timer().async_wait(kResult);
      if (woken || !streaming) continue;
      outgoing.data = kPing;
    }
    if (outgoing.head && !outgoing.stream) {
      const bool written = co_await write_whole(connection, std::move(*outgoing.head), framing, time);
      co_return written;
    }
    if (outgoing.head) {
      streaming = true;
      const bool written = co_await write_stream_head(connection, std::move(*outgoing.head), framing, time);
      if (!written) co_return false;
    }
    if (!outgoing.data.empty() && !framing.head_only) {
      const bool written = co_await write_piece(connection, std::move(outgoing.data), framing, time);
      if (!written) co_return false;
      if (!outgoing.head) rest_until = std::chrono::steady_clock::now() + shared->options.piece_gap;
    }
    if (outgoing.end) {
      const bool written = framing.head_only || co_await write_end(connection, framing, time);
      co_return written;
    }
  }
}

/// Returns when the client has left. What it sends meanwhile is its next request, which waits.
asio::awaitable<void> watch(ConnectionPtr connection) {
  tcp::socket& socket = connection->stream.socket();
  error_code failed;
  socket.non_blocking(true, failed);
  do {
    const auto [error] = co_await socket.async_wait(tcp::socket::wait_read, kResult);
    if (error) co_return;
    char byte = 0;
    const size_t size = socket.receive(asio::buffer(&byte, 1), tcp::socket::message_peek, failed);
    // It may be woken late for bytes that were read before: then there is nothing, and a receive that waited
    // for more would hold the strand, and with it the answer.
    if (size == 0 && failed != asio::error::would_block) co_return;
  } while (failed);
  asio::steady_timer forever(socket.get_executor(), asio::steady_timer::time_point::max());
  co_await forever.async_wait(kResult);
}

/// Reads on for a moment after the last answer: closing at once would reset the connection, and the client
/// might lose the answer.
asio::awaitable<void> close_gently(ConnectionPtr connection) {
  error_code ignored;
  connection->stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
  connection->stream.expires_after(std::chrono::seconds(2));
  std::vector<char> rest(size_t{64} << 10);
  while (true) {
    const auto [error, bytes] = co_await connection->stream.async_read_some(asio::buffer(rest), kResult);
    if (error) break;
  }
  connection->stream.close();
}

/// What a request that cannot be read is answered with; 0: nothing, the client is gone.
int status_of(const error_code& error) {
  if (error == http::error::header_limit) return 431;
  if (error == http::error::body_limit) return 413;
  if (error == http::error::end_of_stream || error == http::error::partial_message) return 0;
  static const auto& category = http::make_error_code(http::error::bad_method).category();
  return error.category() == category ? 400 : 0;
}

HttpResponse refusal(int status, const HttpServerOptions& options) {
  std::string text = "not valid HTTP";
  if (status == 413) text = fmt::format("the body exceeds {} bytes", options.max_body_bytes);
  if (status == 431) text = fmt::format("the header exceeds {} bytes", options.max_header_bytes);
  if (status == 503) text = fmt::format("more than {} connections", options.max_connections);
  const char* type = status == 503 ? "overloaded_error" : "invalid_request_error";
  HttpResponse response = json_response(
      {{"error", {{"message", text}, {"type", type}, {"param", nullptr}, {"code", nullptr}}}}, status);
  if (status == 503) response.headers.push_back({"Retry-After", "1"});
  return response;
}

asio::awaitable<void> refuse(ConnectionPtr connection, SharedPtr shared, int status) {
  const bool written = co_await write_whole(connection, refusal(status, shared->options),
                                            {.keep_alive = false}, shared->options.write_time);
  if (written) co_await close_gently(connection);
}

bool is_sane_id(std::string_view id) {
  return !id.empty() && id.size() <= 64 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
  });
}

HttpRequest take_request(http::request<http::string_body> message, const Connection& connection,
                         Shared& shared) {
  HttpRequest request;
  request.method = std::string(message.method_string());
  request.path = path_of_target(std::string_view(message.target().data(), message.target().size()));
  for (const auto& field : message) {
    std::string name(field.name_string());
    for (char& c : name)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    request.headers.push_back({std::move(name), std::string(field.value())});
  }
  request.body = std::move(message.body());
  error_code ignored;
  request.peer = connection.stream.socket().remote_endpoint(ignored).address().to_string();
  const std::string_view id = request.header("x-request-id");
  request.id = is_sane_id(id) ? std::string(id) : shared.ids.next("req_");
  return request;
}

/// The handler is ours, but what it calls may throw (no memory): that ends one request, not the server.
void call_handler(const HttpHandler& handler, const std::shared_ptr<QueuedExchange>& exchange) {
  try {
    handler(exchange);
  } catch (const std::exception&) {
    exchange->respond(json_response({{"error",
                                      {{"message", "the server failed on this request"},
                                       {"type", "server_error"},
                                       {"param", nullptr},
                                       {"code", nullptr}}}},
                                    500));
  }
}

/// One request and its answer. -> whether another may follow
asio::awaitable<bool> serve_request(ConnectionPtr connection, SharedPtr shared) {
  beast::tcp_stream& stream = connection->stream;
  const HttpServerOptions& options = shared->options;
  connection->busy = false;
  if (connection->buffer.size() == 0) {
    stream.expires_after(options.idle_time);
    const auto space = connection->buffer.prepare(4096);
    const auto [error, bytes] = co_await stream.async_read_some(space, kResult);
    if (error) co_return false;
    connection->buffer.commit(bytes);
  }
  connection->busy = true;

  http::request_parser<http::string_body> parser;
  parser.header_limit(options.max_header_bytes);
  parser.body_limit(options.max_body_bytes);
  stream.expires_after(options.header_time);
  parser.eager(false);
  error_code head_error;
  // The parser's own limit holds for what arrives at once, not for a header whose lines come one by one.
  size_t header_bytes = 0;
  while (!head_error && !parser.is_header_done()) {
    const auto [error, bytes] = co_await http::async_read_some(stream, connection->buffer, parser, kResult);
    header_bytes += bytes;
    head_error = error;
    if (!error && header_bytes > options.max_header_bytes) head_error = http::error::header_limit;
  }
  const bool needs_host = !head_error && parser.get().version() == 11;
  int status = head_error ? status_of(head_error) : 200;
  if (needs_host && parser.get().count(http::field::host) != 1) status = 400;
  if (status == 200) {
    stream.expires_after(options.body_time);
    if (beast::iequals(parser.get()[http::field::expect], "100-continue") && !parser.is_done()) {
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      const auto [error, bytes] = co_await asio::async_write(stream, asio::buffer(kContinue), kResult);
      if (error) co_return false;
    }
    const auto [error, bytes] = co_await http::async_read(stream, connection->buffer, parser, kResult);
    if (error) status = status_of(error);
  }
  if (status != 200) {
    if (status != 0) co_await refuse(connection, shared, status);
    co_return false;
  }
  stream.expires_never();

  Framing framing{.version = parser.get().version(),
                  .keep_alive = parser.get().keep_alive() && !shared->stopping,
                  .head_only = parser.get().method() == http::verb::head};
  HttpRequest request = take_request(parser.release(), *connection, *shared);
  const auto exchange = std::make_shared<QueuedExchange>(std::move(request), shared->io,
                                                         stream.get_executor(), options.max_queued_bytes);
  call_handler(shared->handler, exchange);

  using asio::experimental::awaitable_operators::operator||;
  auto race = send_answer(connection, exchange, shared, framing) || watch(connection);
  const auto first = co_await std::move(race);
  const bool sent = first.index() == 0 && std::get<0>(first);
  if (!sent) exchange->set_gone();
  co_return sent&& framing.keep_alive && !shared->stopping;
}

asio::awaitable<void> serve_connection(ConnectionPtr connection, SharedPtr shared, bool accepted) {
  try {
    if (!accepted) co_await refuse(connection, shared, 503);
    bool open = accepted;
    while (open) open = co_await serve_request(connection, shared);
    if (connection->stream.socket().is_open() && accepted) co_await close_gently(connection);
  } catch (const std::exception&) {  // no memory, or cancelled: the connection ends
  }
  connection->stream.close();
  const std::lock_guard lock(shared->mutex);
  shared->connections.erase(connection);
  shared->left.notify_all();
}

asio::awaitable<void> accept_connections(std::shared_ptr<tcp::acceptor> acceptor, SharedPtr shared) {
  while (!shared->stopping) {
    tcp::socket socket(asio::make_strand(*shared->io));
    const auto [error] = co_await acceptor->async_accept(socket, kResult);
    if (error == asio::error::operation_aborted) co_return;
    if (error) {  // no descriptors left, say: others must close first
      asio::steady_timer pause(acceptor->get_executor(), milliseconds(50));
      co_await pause.async_wait(kResult);
      continue;
    }
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    const auto connection = std::make_shared<Connection>(std::move(socket));
    bool accepted = true;
    {
      const std::lock_guard lock(shared->mutex);
      accepted = static_cast<int64_t>(shared->connections.size()) < shared->options.max_connections;
      shared->connections.insert(connection);
    }
    asio::co_spawn(connection->stream.get_executor(), serve_connection(connection, shared, accepted),
                   asio::detached);
  }
}

class BeastServer final : public HttpServer {
 public:
  BeastServer(SharedPtr shared, std::shared_ptr<tcp::acceptor> acceptor, uint16_t port)
      : shared_(std::move(shared)), acceptor_(std::move(acceptor)), port_(port) {
    asio::co_spawn(acceptor_->get_executor(), accept_connections(acceptor_, shared_), asio::detached);
    for (int i = 0; i < shared_->options.threads; ++i)
      threads_.emplace_back([io = shared_->io] { io->run(); });
  }
  ~BeastServer() override { stop(milliseconds(0)); }

  uint16_t port() const override { return port_; }
  int64_t connections() const override {
    const std::lock_guard lock(shared_->mutex);
    return static_cast<int64_t>(shared_->connections.size());
  }

  void stop(milliseconds grace) override {
    if (threads_.empty()) return;
    shared_->stopping = true;
    asio::post(acceptor_->get_executor(), [acceptor = acceptor_] {
      error_code ignored;
      acceptor->close(ignored);
    });
    close_connections(/*busy_too=*/false);
    {
      std::unique_lock lock(shared_->mutex);
      shared_->left.wait_for(lock, grace, [&] { return shared_->connections.empty(); });
    }
    // One that was accepted meanwhile closes itself or is closed in the next round.
    std::unique_lock lock(shared_->mutex);
    while (!shared_->connections.empty()) {
      lock.unlock();
      close_connections(/*busy_too=*/true);
      lock.lock();
      shared_->left.wait_for(lock, milliseconds(20), [&] { return shared_->connections.empty(); });
    }
    lock.unlock();
    work_.reset();
    threads_.clear();  // joins
  }

 private:
  void close_connections(bool busy_too) {
    const std::lock_guard lock(shared_->mutex);
    for (const ConnectionPtr& connection : shared_->connections)
      asio::post(connection->stream.get_executor(), [connection, busy_too] {
        if (busy_too || !connection->busy) connection->stream.close();
      });
  }

  SharedPtr shared_;
  std::shared_ptr<tcp::acceptor> acceptor_;
  uint16_t port_;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_{
      asio::make_work_guard(*shared_->io)};
  std::vector<std::jthread> threads_;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::start(const HttpServerOptions& options, HttpHandler handler) {
  auto shared = std::make_shared<Shared>();
  shared->options = options;
  shared->handler = std::move(handler);
  const std::string place = fmt::format("{}:{}", options.host, options.port);

  error_code error;
  tcp::resolver resolver(*shared->io);
  const auto found = resolver.resolve(options.host, std::to_string(options.port),
                                      tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error || found.empty())
    return fail(ErrorKind::kUsage, "{}: no such host: {}", options.host, error.message());
  const tcp::endpoint endpoint = found.begin()->endpoint();
  auto acceptor = std::make_shared<tcp::acceptor>(asio::make_strand(*shared->io));
  acceptor->open(endpoint.protocol(), error);
  if (!error) acceptor->set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor->bind(endpoint, error);
  if (!error) acceptor->listen(tcp::acceptor::max_listen_connections, error);
  if (error == asio::error::address_in_use)
    return fail(ErrorKind::kBusy,
                "{} is taken by another program; choose another port, or 0 for any free one", place);
  if (error) return fail(ErrorKind::kIo, "{}: cannot listen: {}", place, error.message());
  const uint16_t port = acceptor->local_endpoint(error).port();
  return std::make_unique<BeastServer>(std::move(shared), std::move(acceptor), port);
}

}  // namespace cadre::server
