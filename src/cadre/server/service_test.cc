// Routes, access, what is counted and logged.
#include "cadre/server/api_error.h"
#include "cadre/server/server_testing.h"

namespace cadre::server {
namespace {

constexpr const char* kChatBody = R"({"messages": [{"role": "user", "content": "Hi"}]})";

std::string header_of(const HttpResponse& response, std::string_view name) {
  for (const HttpHeader& header : response.headers)
    if (header.name == name) return header.value;
  return {};
}

using ServiceRoutes = ServiceTest;

TEST_F(ServiceRoutes, UnknownPathsAndMethodsAreSaidSo) {
  EXPECT_EQ(ask("GET", "/nowhere").status, 404);
  EXPECT_EQ(ask("GET", "").status, 404);
  EXPECT_EQ(ask("GET", "/v1/models/").status, 404);
  EXPECT_EQ(ask("GET", "/v1/chat/completions/").status, 404);
  const HttpResponse wrong = ask("GET", "/v1/chat/completions");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(header_of(wrong, "Allow"), "POST");
  EXPECT_EQ(ask("DELETE", "/health").status, 405);
  EXPECT_EQ(ask("HEAD", "/health").status, 200);
}

TEST_F(ServiceRoutes, EveryAnswerHasItsRequestsId) {
  EXPECT_EQ(header_of(ask("GET", "/health"), "x-request-id"), "test");
  EXPECT_EQ(header_of(ask("GET", "/nowhere"), "x-request-id"), "test");
  EXPECT_EQ(header_of(post("/v1/chat/completions", kChatBody), "x-request-id"), "test");
}

TEST_F(ServiceRoutes, ThePageIsServedAndNotSentTwice) {
  const HttpResponse page = ask("GET", "/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(header_of(page, "Content-Type"), "text/html; charset=utf-8");
  EXPECT_NE(page.body.find("<html"), std::string::npos);
  EXPECT_FALSE(header_of(page, "Content-Security-Policy").empty());
  const HttpResponse again = ask("GET", "/", "", {{"if-none-match", header_of(page, "ETag")}});
  EXPECT_EQ(again.status, 304);
  EXPECT_TRUE(again.body.empty());
}

TEST_F(ServiceRoutes, KeysAreAskedForWhereTheyAreSet) {
  options.api_keys = {"secret-1", "secret-2"};
  const auto status = [&](std::vector<HttpHeader> headers) {
    return ask("POST", "/v1/chat/completions", kChatBody, std::move(headers)).status;
  };
  EXPECT_EQ(status({}), 401);
  EXPECT_EQ(status({{"authorization", "Bearer secret"}}), 401);
  EXPECT_EQ(status({{"authorization", "Bearer secret-11"}}), 401);
  EXPECT_EQ(status({{"authorization", "secret-1"}}), 401);
  EXPECT_EQ(status({{"authorization", "Bearer "}}), 401);
  EXPECT_EQ(status({{"authorization", "Bearer secret-1"}}), 200);
  EXPECT_EQ(status({{"x-api-key", "secret-2"}}), 200);
  EXPECT_EQ(scheduler.take_requests()[0].client, "secret-1");
  EXPECT_EQ(ask("GET", "/metrics").status, 401);
  EXPECT_EQ(ask("GET", "/v1/models").status, 401);
  for (const char* path : {"/health", "/live", "/version", "/"})
    EXPECT_EQ(ask("GET", path).status, 200) << path;
  const HttpResponse anthropic = post("/v1/messages", "{}");
  EXPECT_EQ(anthropic.status, 401);
  EXPECT_EQ(json(anthropic.body)["error"]["type"], "authentication_error");
}

TEST_F(ServiceRoutes, WithoutKeysTheAddressIsTheClient) {
  ask("POST", "/v1/chat/completions", kChatBody, {{"authorization", "Bearer whatever"}});
  EXPECT_EQ(scheduler.take_requests()[0].client, "127.0.0.1");
}

TEST_F(ServiceRoutes, PagesOfOtherOriginsAreRefusedUnlessAllowed) {
  const std::vector<HttpHeader> stranger = {{"origin", "https://evil.example"}, {"host", "127.0.0.1:8000"}};
  EXPECT_EQ(ask("POST", "/v1/chat/completions", kChatBody, stranger).status, 403);
  EXPECT_EQ(ask("OPTIONS", "/v1/chat/completions", "", stranger).status, 403);
  EXPECT_TRUE(scheduler.take_requests().empty());
  const HttpResponse own = ask("POST", "/v1/chat/completions", kChatBody,
                               {{"origin", "http://127.0.0.1:8000"}, {"host", "127.0.0.1:8000"}});
  EXPECT_EQ(own.status, 200);
  EXPECT_EQ(header_of(own, "Access-Control-Allow-Origin"), "");
}

TEST_F(ServiceRoutes, AllowedOriginsGetTheHeadersTheyNeed) {
  options.cors_origins = {"https://app.example"};
  const std::vector<HttpHeader> headers = {{"origin", "https://app.example"}, {"host", "api.example"}};
  const HttpResponse before = ask("OPTIONS", "/v1/chat/completions", "", headers);
  EXPECT_EQ(before.status, 204);
  EXPECT_EQ(header_of(before, "Access-Control-Allow-Origin"), "https://app.example");
  EXPECT_NE(header_of(before, "Access-Control-Allow-Methods").find("POST"), std::string::npos);
  EXPECT_NE(header_of(before, "Access-Control-Allow-Headers").find("authorization"), std::string::npos);
  const HttpResponse answer = ask("POST", "/v1/chat/completions", kChatBody, headers);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(header_of(answer, "Access-Control-Allow-Origin"), "https://app.example");
  EXPECT_EQ(ask("GET", "/health", "", {{"origin", "https://other.example"}}).status, 403);
}

TEST_F(ServiceRoutes, DrainingRefusesNewAnswersAndIsSeen) {
  EXPECT_EQ(ask("GET", "/health").status, 200);
  service().start_draining();
  EXPECT_EQ(ask("GET", "/health").status, 503);
  EXPECT_EQ(ask("GET", "/live").status, 200);
  EXPECT_EQ(post("/v1/chat/completions", kChatBody).status, 503);
  EXPECT_EQ(json(post("/v1/messages", "{}").body)["error"]["type"], "overloaded_error");
  EXPECT_TRUE(scheduler.take_requests().empty());
}

TEST_F(ServiceRoutes, WhileTheModelLoadsOnlyLifeIsReported) {
  EXPECT_EQ(loading_response({.path = "/live"}).status, 200);
  EXPECT_EQ(loading_response({.path = "/health"}).status, 503);
  EXPECT_EQ(loading_response({.path = "/v1/models"}).status, 503);
}

TEST_F(ServiceRoutes, RequestsAreLoggedWithoutTheirText) {
  post("/v1/chat/completions", R"({"messages": [{"role": "user", "content": "my secret"}]})");
  ask("GET", "/health");  // probes are no news
  ASSERT_EQ(records().size(), 1u);
  const RequestRecord record = records()[0];
  EXPECT_EQ(record.status, 200);
  EXPECT_EQ(record.generated_tokens, static_cast<int64_t>(scheduler.answer.size()));
  EXPECT_EQ(record.finish_reason, "stop");
  for (const std::string& line : {to_text(record), to_json_line(record)}) {
    EXPECT_NE(line.find("test"), std::string::npos);
    EXPECT_EQ(line.find("secret"), std::string::npos);
    EXPECT_EQ(line.find("Hello"), std::string::npos);
    EXPECT_EQ(line.find('\n'), std::string::npos);
  }
  EXPECT_EQ(json(to_json_line(record))["path"], "/v1/chat/completions");
}

TEST_F(ServiceRoutes, MetricsCountWhatHappened) {
  post("/v1/chat/completions", kChatBody);
  post("/v1/chat/completions", "{");
  ask("GET", "/secret-path-of-someone");
  const std::string text = ask("GET", "/metrics").body;
  const auto has = [&](const std::string& line) { return text.find(line) != std::string::npos; };
  EXPECT_TRUE(has("cadre_http_requests_total{path=\"/v1/chat/completions\",status=\"200\"} 1\n")) << text;
  EXPECT_TRUE(has("cadre_http_requests_total{path=\"/v1/chat/completions\",status=\"400\"} 1\n")) << text;
  EXPECT_TRUE(has("cadre_time_to_first_token_seconds_count 1\n")) << text;
  EXPECT_TRUE(has(fmt::format("cadre_inter_token_seconds_count {}\n", scheduler.answer.size() - 1))) << text;
  EXPECT_TRUE(has("cadre_expert_tokens_total{layer=\"1\",expert=\"1\"} 4\n")) << text;
  EXPECT_FALSE(has("secret-path"));
  // Every line is a comment or "name{labels} value", and every name has a type.
  std::string typed;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    ASSERT_NE(end, std::string::npos);
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line.starts_with("# TYPE ")) typed = line.substr(7, line.find(' ', 7) - 7);
    if (line.starts_with("#")) continue;
    EXPECT_TRUE(line.starts_with(typed)) << line;
    EXPECT_NO_THROW(static_cast<void>(std::stod(line.substr(line.rfind(' ') + 1)))) << line;
  }
}

TEST_F(ServiceRoutes, StatsAreTheSameAsJson) {
  post("/v1/chat/completions", kChatBody);
  const Json stats = json(ask("GET", "/cadre/stats").body);
  EXPECT_EQ(stats["model"]["name"], "cadre-xs");
  EXPECT_EQ(stats["model"]["context_tokens"], 256);
  EXPECT_EQ(stats["seconds"]["first_token"]["count"], 1);
  EXPECT_TRUE(stats["seconds"]["first_token"]["p50"].is_number());
  EXPECT_EQ(stats["expert_tokens"], json("[[], [3, 4]]"));
}

TEST(DurationHistogram, CountsInBucketsAndKnowsPercentiles) {
  DurationHistogram histogram;
  EXPECT_TRUE(histogram.summary()["p50"].is_null());
  for (int i = 1; i <= 100; ++i) histogram.observe(i / 1000.0);
  histogram.observe(1000);
  const std::string text = histogram.exposition("x", "help");
  EXPECT_NE(text.find("x_bucket{le=\"0.001\"} 1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("x_bucket{le=\"0.05\"} 50\n"), std::string::npos) << text;
  EXPECT_NE(text.find("x_bucket{le=\"60\"} 100\n"), std::string::npos) << text;
  EXPECT_NE(text.find("x_bucket{le=\"+Inf\"} 101\n"), std::string::npos) << text;
  EXPECT_NEAR(histogram.summary()["p50"].get<double>(), 0.051, 0.002);
}

TEST(ApiKeys, AreComparedWhole) {
  const std::vector<std::string> keys = {"abc", "defg"};
  EXPECT_TRUE(is_api_key("abc", keys));
  EXPECT_TRUE(is_api_key("defg", keys));
  for (const char* wrong : {"", "a", "ab", "abcd", "abd", "def", "defh", "abcdefg"})
    EXPECT_FALSE(is_api_key(wrong, keys)) << wrong;
  EXPECT_FALSE(is_api_key("", {}));
}

TEST(ApiErrors, NameTheFieldThatIsWrong) {
  const auto field = [](const std::string& message) { return field_of({ErrorKind::kInvalid, message}); };
  EXPECT_EQ(field("request: field 'a.b': expected"), "a.b");
  EXPECT_EQ(field("request: messages[2].role: expected a string"), "messages[2].role");
  EXPECT_EQ(field("request: not valid JSON (byte 3): x"), "");
  EXPECT_EQ(field("request: expected an object, found 5"), "");
  EXPECT_EQ(field("the queue is full"), "");
}

TEST(HttpTargets, ArePathsOrNothing) {
  EXPECT_EQ(path_of_target("/a/b?c=d"), "/a/b");
  EXPECT_EQ(path_of_target("/a%20b%2Fc"), "/a b/c");
  for (const char* wrong : {"", "a", "*", "/%", "/%2", "/%zz", "/%00", "/a%0d%0ab", "http://host/a"})
    EXPECT_EQ(path_of_target(wrong), "") << wrong;
}

}  // namespace
}  // namespace cadre::server
