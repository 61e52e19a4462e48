#include "cadre/server/http.h"

namespace cadre::server {

std::string_view HttpRequest::header(std::string_view name) const {
  for (const HttpHeader& header : headers)
    if (header.name == name) return header.value;
  return {};
}

HttpResponse json_response(const Json& document, int status) {
  return text_response(dump_json(document), "application/json", status);
}

HttpResponse text_response(std::string text, std::string content_type, int status) {
  return {.status = status, .headers = {{"Content-Type", std::move(content_type)}}, .body = std::move(text)};
}

std::string path_of_target(std::string_view target) {
  const std::string_view raw = target.substr(0, target.find_first_of("?#"));
  if (!raw.starts_with('/')) return {};
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string path;
  for (size_t i = 0; i < raw.size(); ++i) {
    char c = raw[i];
    if (c == '%') {
      if (i + 2 >= raw.size() || digit(raw[i + 1]) < 0 || digit(raw[i + 2]) < 0) return {};
      c = static_cast<char>(digit(raw[i + 1]) * 16 + digit(raw[i + 2]));
      i += 2;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return {};
    path += c;
  }
  return path;
}

}  // namespace cadre::server
