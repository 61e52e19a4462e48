#include "cadre/server/web_page.h"

#include <cstdint>

#include <fmt/format.h>

namespace cadre::server {
namespace {

constexpr unsigned char kPage[] = {
#include "web_page_bytes.inc"
};

/// FNV-1a, to tell versions of the page apart.
std::string page_tag() {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (const unsigned char byte : kPage) hash = (hash ^ byte) * 0x100000001B3ull;
  return fmt::format("\"{:016x}\"", hash);
}

}  // namespace

HttpResponse web_page(const HttpRequest& request) {
  static const std::string tag = page_tag();
  HttpResponse response;
  // What a model writes is shown on this page, so nothing of it may run or be loaded from elsewhere.
  response.headers = {{"ETag", tag},
                      {"Cache-Control", "no-cache"},
                      {"X-Content-Type-Options", "nosniff"},
                      {"Referrer-Policy", "no-referrer"},
                      {"X-Frame-Options", "DENY"},
                      {"Content-Security-Policy",
                       "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
                       "img-src data: blob:; font-src data:; connect-src 'self'; base-uri 'none'; "
                       "form-action 'none'; frame-ancestors 'none'"}};
  if (request.header("if-none-match") == tag) {
    response.status = 304;
    return response;
  }
  response.headers.push_back({"Content-Type", "text/html; charset=utf-8"});
  response.body.assign(reinterpret_cast<const char*>(kPage), sizeof kPage);
  return response;
}

}  // namespace cadre::server
