#pragma once
/// HTTP as the rest of the server sees it: plain structs, and one exchange of a request for an answer. No
/// type of the HTTP library appears here, so everything above can be tested without a socket.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cadre/base/json.h"

namespace cadre::server {

struct HttpHeader {
  std::string name;
  std::string value;
};

struct HttpRequest {
  std::string id;  ///< the client's x-request-id if it is a sane one, else our own
  std::string method;
  std::string path;                 ///< without the query
  std::vector<HttpHeader> headers;  ///< names in lower case
  std::string body;
  std::string peer;  ///< the client's address, without its port

  /// The value of the first header of this (lower-case) name; "" when there is none.
  std::string_view header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::vector<HttpHeader> headers;
  std::string body;
};

/// `document` with the content type of JSON.
HttpResponse json_response(const Json& document, int status = 200);
HttpResponse text_response(std::string text, std::string content_type, int status = 200);

/// A request and the way its answer takes. Any thread may answer, one at a time; the connection is another
/// matter, and may be gone before the answer is: then all that is sent is dropped.
class HttpExchange {
 public:
  explicit HttpExchange(HttpRequest request) : request_(std::move(request)) {}
  HttpExchange(const HttpExchange&) = delete;
  HttpExchange& operator=(const HttpExchange&) = delete;
  virtual ~HttpExchange() = default;

  const HttpRequest& request() const { return request_; }

  /// The whole answer; drops what write() has queued. Either this or start_stream() is called, once.
  void respond(HttpResponse response) { send(with_common_headers(std::move(response)), /*stream=*/false); }
  /// The head of an answer in pieces (its body is the first of them). Pieces written before wait for it.
  void start_stream(HttpResponse head) { send(with_common_headers(std::move(head)), /*stream=*/true); }
  virtual void write(std::string piece) = 0;
  /// After the last piece.
  virtual void finish() = 0;
  /// Calls back once when a piece would be sent at once, on a thread of the server: a stream gathers until
  /// then what is to go together.
  virtual void on_ready(std::function<void()> callback) = 0;

  /// Whether nobody will read the answer: the client left, or reads so slowly that too much is queued.
  virtual bool gone() const = 0;
  /// Called once, on a thread of the server, when that happens before the answer is complete; at once if it
  /// has happened already.
  virtual void on_gone(std::function<void()> callback) = 0;

  /// Headers for whatever answer there will be. To be called before the answer begins.
  void add_header(HttpHeader header) { common_headers_.push_back(std::move(header)); }

 protected:
  virtual void send(HttpResponse response, bool stream) = 0;

 private:
  HttpResponse with_common_headers(HttpResponse response) const {
    response.headers.insert(response.headers.end(), common_headers_.begin(), common_headers_.end());
    return response;
  }

  HttpRequest request_;
  std::vector<HttpHeader> common_headers_;
};

/// The path of a request's target, its query cut off and %XX decoded; "" for what is no path (a bad escape, a
/// control character, no leading slash).
std::string path_of_target(std::string_view target);

using HttpHandler = std::function<void(const std::shared_ptr<HttpExchange>&)>;

}  // namespace cadre::server
