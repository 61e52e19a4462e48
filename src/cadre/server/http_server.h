#pragma once
/// HTTP/1.1 over TCP: connections, limits, time-outs, streams. What is answered is the handler's matter. TLS
/// is a reverse proxy's.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "cadre/base/result.h"
#include "cadre/server/http.h"

namespace cadre::server {

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8000;  ///< 0: any free one
  int threads = 2;       ///< for connections and handlers
  int64_t max_connections = 1024;
  uint32_t max_header_bytes = 16 << 10;
  uint64_t max_body_bytes = 32 << 20;
  uint64_t max_queued_bytes = 8 << 20;  ///< of an answer that the client does not read; above, it is gone
  std::chrono::milliseconds header_time{10'000};  ///< from the first byte of a request to the end of its head
  std::chrono::milliseconds body_time{60'000};
  std::chrono::milliseconds idle_time{75'000};   ///< between two requests
  std::chrono::milliseconds write_time{60'000};  ///< for one piece to be taken by the client
  std::chrono::milliseconds piece_gap{16};       ///< between two pieces of a stream: a frame of a display
  std::chrono::milliseconds ping_time{15'000};   ///< of silence, after which a stream gets a comment
};

/// Threads of its own call the handler; a slow handler holds one of them. Destruction closes everything.
class HttpServer {
 public:
  /// Listens when it returns. Errors: kUsage (no such host), kBusy (the port is taken), kIo.
  static Result<std::unique_ptr<HttpServer>> start(const HttpServerOptions& options, HttpHandler handler);
  virtual ~HttpServer() = default;

  virtual uint16_t port() const = 0;
  virtual int64_t connections() const = 0;
  /// Takes no more connections, lets those in the middle of an answer end within `grace`, and closes all.
  virtual void stop(std::chrono::milliseconds grace) = 0;
};

}  // namespace cadre::server
