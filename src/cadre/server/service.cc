#include "cadre/server/service.h"

#include <algorithm>
#include <array>

#include "cadre/server/api_error.h"
#include "cadre/server/endpoints.h"

namespace cadre::server {
namespace {

using AnswerNow = Result<HttpResponse> (*)(Service&, const HttpRequest&);
using AnswerLater = Status (*)(Service&, const std::shared_ptr<HttpExchange>&);

/// Whether an endpoint asks for an API key.
enum class Access : uint8_t { kKey, kOpen };
/// Whether a request is worth a line of the log: what is asked every few seconds is not.
enum class Log : uint8_t { kYes, kNo };

struct Route {
  std::string_view method;
  std::string_view path;  ///< one that ends in '/' has a name after it
  ApiStyle style;
  Access access;
  Log log;
  AnswerNow now = nullptr;
  AnswerLater later = nullptr;
};

constexpr auto kOpenAi = ApiStyle::kOpenAi;
constexpr auto kAnthropic = ApiStyle::kAnthropic;

constexpr Route kRoutes[] = {
    {"GET", "/", kOpenAi, Access::kOpen, Log::kYes, get_page},
    {"GET", "/index.html", kOpenAi, Access::kOpen, Log::kYes, get_page},
    {"GET", "/live", kOpenAi, Access::kOpen, Log::kNo, get_live},
    {"GET", "/health", kOpenAi, Access::kOpen, Log::kNo, get_health},
    {"GET", "/version", kOpenAi, Access::kOpen, Log::kYes, get_version},
    {"GET", "/metrics", kOpenAi, Access::kKey, Log::kNo, get_metrics},
    {"GET", "/cadre/stats", kOpenAi, Access::kKey, Log::kNo, get_stats},
    {"GET", "/v1/models", kOpenAi, Access::kKey, Log::kYes, get_models},
    {"GET", "/v1/models/", kOpenAi, Access::kKey, Log::kYes, get_model},
    {"POST", "/tokenize", kOpenAi, Access::kKey, Log::kYes, post_tokenize},
    {"POST", "/detokenize", kOpenAi, Access::kKey, Log::kYes, post_detokenize},
    {"POST", "/apply-template", kOpenAi, Access::kKey, Log::kYes, post_apply_template},
    {"POST", "/v1/messages/count_tokens", kAnthropic, Access::kKey, Log::kYes, post_count_tokens},
    {"POST", "/v1/chat/completions", kOpenAi, Access::kKey, Log::kYes, nullptr, post_chat_completions},
    {"POST", "/v1/completions", kOpenAi, Access::kKey, Log::kYes, nullptr, post_completions},
    {"POST", "/v1/responses", kOpenAi, Access::kKey, Log::kYes, nullptr, post_responses},
    {"POST", "/v1/embeddings", kOpenAi, Access::kKey, Log::kYes, nullptr, post_embeddings},
    {"POST", "/v1/messages", kAnthropic, Access::kKey, Log::kYes, nullptr, post_messages},
};

bool fits(const Route& route, std::string_view path) {
  if (route.path.size() > 1 && route.path.ends_with('/'))
    return path.starts_with(route.path) && path.size() > route.path.size();
  return route.path == path;
}

/// The routes of a path, one for each method.
struct Found {
  const Route* route = nullptr;         ///< for the request's method
  std::string_view path = "(unknown)";  ///< as the table has it
  std::string methods;                  ///< that the path knows: "GET, HEAD"; empty: no such path
  ApiStyle style = kOpenAi;
};

Found find_route(const HttpRequest& request) {
  Found found;
  const std::string_view method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
  for (const Route& route : kRoutes) {
    if (!fits(route, request.path)) continue;
    found.style = route.style;
    found.path = route.path;
    found.methods += fmt::format("{}{}", found.methods.empty() ? "" : ", ", route.method);
    if (route.method == "GET") found.methods += ", HEAD";
    if (route.method == method) found.route = &route;
  }
  return found;
}

/// The key that a request shows, in OpenAI's or Anthropic's way.
std::string_view shown_key(const HttpRequest& request) {
  constexpr std::string_view kBearer = "Bearer ";
  std::string_view key = request.header("authorization");
  if (key.starts_with(kBearer)) return key.substr(kBearer.size());
  return request.header("x-api-key");
}

/// A page may ask from its own server, and from the origins that were allowed. Without this check any page of
/// the web could make a browser on this machine send requests here.
bool origin_allowed(const HttpRequest& request, const std::vector<std::string>& allowed) {
  const std::string_view origin = request.header("origin");
  if (origin.empty()) return true;
  for (const std::string& one : allowed)
    if (one == "*" || one == origin) return true;
  const size_t host = origin.find("://");
  return host != origin.npos && origin.substr(host + 3) == request.header("host");
}

void add_cors_headers(HttpExchange& exchange, const std::vector<std::string>& allowed) {
  const std::string_view origin = exchange.request().header("origin");
  if (origin.empty() || allowed.empty()) return;
  exchange.add_header({"Access-Control-Allow-Origin", std::string(origin)});
  exchange.add_header({"Vary", "Origin"});
  exchange.add_header({"Access-Control-Expose-Headers", "x-request-id, retry-after"});
}

HttpResponse preflight(const std::string& methods) {
  return {.status = 204,
          .headers = {{"Access-Control-Allow-Methods", methods},
                      {"Access-Control-Allow-Headers",
                       "authorization, content-type, x-api-key, x-request-id, anthropic-version, "
                       "anthropic-beta, anthropic-dangerous-direct-browser-access"},
                      {"Access-Control-Max-Age", "600"}}};
}

/// What keeps a request from its handler; nullopt: nothing.
std::optional<HttpResponse> refusal(const Found& found, const HttpRequest& request,
                                    const ServiceOptions& options) {
  const ApiStyle style = found.style;
  if (found.methods.empty())
    return error_response(style, 404, fmt::format("there is no '{}' here", request.path));
  if (!origin_allowed(request, options.cors_origins))
    return error_response(
        style, 403,
        fmt::format("pages of {} may not ask here; --cors-origin allows it", request.header("origin")));
  if (request.method == "OPTIONS") return preflight(found.methods + ", OPTIONS");
  if (found.route == nullptr) {
    HttpResponse response = error_response(
        style, 405, fmt::format("'{}' takes {}, not {}", request.path, found.methods, request.method));
    response.headers.push_back({"Allow", found.methods});
    return response;
  }
  if (found.route->access == Access::kKey && !options.api_keys.empty() &&
      !is_api_key(shown_key(request), options.api_keys))
    return error_response(style, 401,
                          "an API key is needed: 'Authorization: Bearer KEY' or 'x-api-key: KEY'");
  return std::nullopt;
}

}  // namespace

void Service::handle(const std::shared_ptr<HttpExchange>& exchange) {
  const auto start = std::chrono::steady_clock::now();
  const HttpRequest& request = exchange->request();
  exchange->add_header({"x-request-id", request.id});
  const Found found = find_route(request);
  if (origin_allowed(request, options_.cors_origins)) add_cors_headers(*exchange, options_.cors_origins);

  std::optional<HttpResponse> response = refusal(found, request, options_);
  if (!response && found.route->later != nullptr) {
    if (draining_) {
      response = error_response(found.style, 503, "the server is shutting down");
    } else {
      const Status started = found.route->later(*this, exchange);
      if (started) return;  // whoever answers records it
      response = error_response(found.style, started.error());
    }
  } else if (!response) {
    Result<HttpResponse> answer = found.route->now(*this, request);
    response = answer ? std::move(*answer) : error_response(found.style, answer.error());
  }
  RequestRecord record{.id = request.id,
                       .method = request.method,
                       .path = std::string(found.path),
                       .status = response->status};
  record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (found.route == nullptr || found.route->log == Log::kYes) this->record(record);
  exchange->respond(std::move(*response));
}

void Service::record(const RequestRecord& record) {
  metrics_.count_request(record.path, record.status);
  if (record.generated) metrics_.observe_request(record.seconds);
  options_.log(record);
}

std::string Service::client_of(const HttpRequest& request) const {
  return options_.api_keys.empty() ? request.peer : std::string(shown_key(request));
}

void ServedModel::set_assets(const TextAssets& text) {
  assets = &text;
  token_trie = TokenTrie::create(text.tokenizer);
  if (text.chat_template) answer_format = cadre::answer_format(*text.chat_template);
}

HttpResponse loading_response(const HttpRequest& request) {
  if (request.path == "/live") return json_response({{"status", "ok"}});
  if (request.path != "/health") return error_response(kOpenAi, 503, "the model is being loaded");
  HttpResponse response = json_response({{"status", "loading"}}, 503);
  response.headers.push_back({"Retry-After", "1"});
  return response;
}

bool is_api_key(std::string_view given, const std::vector<std::string>& keys) {
  bool found = false;
  for (const std::string& key : keys) {
    size_t differences = given.size() ^ key.size();
    for (size_t i = 0; i < key.size(); ++i)
      differences |=
          static_cast<unsigned char>(key[i]) ^ static_cast<unsigned char>(i < given.size() ? given[i] : '\0');
    found |= differences == 0;
  }
  return found;
}

std::string to_text(const RequestRecord& record) {
  std::string text = fmt::format("{} {} {} {} {:.3f} s", record.id, record.method, record.path, record.status,
                                 record.seconds);
  if (record.generated)
    text += fmt::format("; {} in ({} cached), {} out; first token {:.3f} s, {:.1f} tokens/s; {}",
                        record.prompt_tokens, record.cached_tokens, record.generated_tokens,
                        record.first_token_seconds, record.tokens_per_second, record.finish_reason);
  return text;
}

std::string to_json_line(const RequestRecord& record) {
  Json line = {{"id", record.id},
               {"method", record.method},
               {"path", record.path},
               {"status", record.status},
               {"seconds", record.seconds}};
  if (record.generated) {
    line["prompt_tokens"] = record.prompt_tokens;
    line["cached_tokens"] = record.cached_tokens;
    line["generated_tokens"] = record.generated_tokens;
    line["first_token_seconds"] = record.first_token_seconds;
    line["tokens_per_second"] = record.tokens_per_second;
    line["finish_reason"] = record.finish_reason;
  }
  return dump_json(line);
}

}  // namespace cadre::server
