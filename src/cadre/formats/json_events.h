#pragma once
/// Internal to formats/: reading large JSON event by event. A document tree of 100,000 tensors would take
/// longer to build than everything else that opening a model does.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "cadre/base/result.h"
#include "cadre/formats/layout.h"

namespace cadre {

/// Base of the handlers, which return stop(...) at what they refuse.
class JsonEvents : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool binary(binary_t&) override { return stop("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    const std::string text = e.what();  // "[json.exception.parse_error.101] parse error at ...: reason"
    const size_t start = text.find("] ");
    return stop(fmt::format("not valid JSON (byte {}): {}", position,
                            shown(std::string_view(text).substr(start == text.npos ? 0 : start + 2), 240)));
  }

  /// Errors: kInvalid, "`origin`: why".
  Status read(std::string_view text, std::string_view origin) {
    // nlohmann takes a zero byte for the end of the text and would accept anything after it.
    if (const size_t zero = text.find('\0'); zero != text.npos)
      return invalid("{}: not valid JSON (byte {}): a zero byte", origin, zero + 1);
    if (!nlohmann::json::sax_parse(text, this)) return invalid("{}: {}", origin, message_);
    return {};
  }

 protected:
  bool stop(std::string message) {
    message_ = std::move(message);
    return false;
  }

 private:
  std::string message_;
};

}  // namespace cadre
