#pragma once
/// An Error as the clients of each API expect it: a status, and a body in the API's own shape.

#include <cstdint>
#include <string>
#include <string_view>

#include "cadre/base/result.h"
#include "cadre/server/http.h"

namespace cadre::server {

/// Whose shapes an endpoint speaks.
enum class ApiStyle : uint8_t { kOpenAi, kAnthropic };

/// What errors about a request's body begin with: the `origin` of JsonFields and of parse_chat_request.
inline constexpr std::string_view kRequestOrigin = "request";

/// The status of an error by its kind: kInvalid and kUsage 400, kTooLarge 400 (a prompt that exceeds the
/// context), kNotFound 404, kBusy 429, kInterrupt 503 (shutting down), kIo 500.
int http_status(const Error& error);

/// The field that an error about a request names, as messages[2].role; "" when it names none. Errors of
/// JsonFields ("request: field 'x': ...") and of parse_chat_request ("request: x: ...") do.
std::string field_of(const Error& error);

/// {"error": {message, type, param, code}}, or Anthropic's {"type": "error", "error": {type, message}}.
Json error_body(ApiStyle style, const Error& error);

/// The same with its status; says Retry-After where trying again helps.
HttpResponse error_response(ApiStyle style, int status, const std::string& message);
HttpResponse error_response(ApiStyle style, const Error& error);

}  // namespace cadre::server
