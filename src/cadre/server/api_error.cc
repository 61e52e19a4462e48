#include "cadre/server/api_error.h"

#include <algorithm>

namespace cadre::server {
namespace {

const char* openai_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

const char* anthropic_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

/// The machine-readable reason that OpenAI's clients look at; null for the general ones.
Json openai_code(int status, bool too_large) {
  if (too_large) return "context_length_exceeded";
  if (status == 401) return "invalid_api_key";
  if (status == 404) return "not_found";
  if (status == 429) return "rate_limit_exceeded";
  return nullptr;
}

Json body(ApiStyle style, int status, const std::string& message, const std::string& field, bool too_large) {
  if (style == ApiStyle::kAnthropic)
    return {{"type", "error"}, {"error", {{"type", anthropic_type(status)}, {"message", message}}}};
  return {{"error",
           {{"message", message},
            {"type", openai_type(status)},
            {"param", field.empty() ? Json() : Json(field)},
            {"code", openai_code(status, too_large)}}}};
}

HttpResponse response(Json document, int status) {
  HttpResponse answer = json_response(document, status);
  if (status == 429 || status == 503) answer.headers.push_back({"Retry-After", "1"});
  if (status == 401) answer.headers.push_back({"WWW-Authenticate", "Bearer"});
  return answer;
}

}  // namespace

int http_status(const Error& error) {
  switch (error.kind) {
    case ErrorKind::kInvalid:
    case ErrorKind::kUsage:
    case ErrorKind::kTooLarge:
      return 400;
    case ErrorKind::kNotFound:
      return 404;
    case ErrorKind::kBusy:
      return 429;
    case ErrorKind::kInterrupt:
      return 503;
    case ErrorKind::kIo:
      return 500;
  }
  return 500;
}

std::string field_of(const Error& error) {
  std::string_view text = error.message;
  if (!text.starts_with(kRequestOrigin)) return {};
  text.remove_prefix(kRequestOrigin.size());
  constexpr std::string_view kField = ": field '";
  if (text.starts_with(kField)) {
    text.remove_prefix(kField.size());
    return std::string(text.substr(0, text.find("': ")));
  }
  if (!text.starts_with(": ")) return {};
  text = text.substr(2);
  const std::string_view path = text.substr(0, text.find(": "));
  const auto is_path = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '[' || c == ']';
  };
  return path.size() < text.size() && std::all_of(path.begin(), path.end(), is_path) ? std::string(path)
                                                                                     : std::string();
}

Json error_body(ApiStyle style, const Error& error) {
  return body(style, http_status(error), error.message, field_of(error), error.kind == ErrorKind::kTooLarge);
}

HttpResponse error_response(ApiStyle style, int status, const std::string& message) {
  return response(body(style, status, message, {}, false), status);
}

HttpResponse error_response(ApiStyle style, const Error& error) {
  return response(error_body(style, error), http_status(error));
}

}  // namespace cadre::server
