// The server over real sockets: what is answered to bytes that are wrong, slow or too many.
#include "cadre/server/http_server.h"

#include <atomic>
#include <future>
#include <optional>
#include <thread>

#include "cadre/server/http_client_testing.h"
#include "cadre/server/server_testing.h"

namespace cadre::server {
namespace {

using std::chrono::milliseconds;
using Client = HttpTestClient;

class HttpServerTest : public ServiceTest {
 protected:
  uint16_t start(HttpServerOptions limits = {}) {
    limits.port = 0;
    Service& answering = service();
    auto started =
        HttpServer::start(limits, [&answering](const auto& exchange) { answering.handle(exchange); });
    EXPECT_TRUE(started.has_value()) << started.error().message;
    server = std::move(*started);
    return server->port();
  }
  static std::string request(const std::string& path, const std::string& body, const std::string& more = {}) {
    return fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{}\r\n{}", path,
                       body.size(), more, body);
  }
  static std::string chat(bool stream) {
    return request(
        "/v1/chat/completions",
        fmt::format(R"({{"messages": [{{"role": "user", "content": "Hi"}}], "stream": {}}})", stream));
  }
  template <typename Condition>
  static bool eventually(Condition condition) {
    for (int i = 0; i < 3000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return condition();
  }

  std::unique_ptr<HttpServer> server;
};

constexpr const char* kGetHealth = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";

TEST_F(HttpServerTest, AnswersManyRequestsOnOneConnection) {
  Client client(start());
  for (int i = 0; i < 3; ++i) {
    client.send(kGetHealth);
    const std::string answer = client.receive("}");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_NE(answer.find("x-request-id: req_"), std::string::npos) << answer;
  }
  client.send(chat(false));
  EXPECT_NE(client.receive(kAnswer).find("200 OK"), std::string::npos);
}

TEST_F(HttpServerTest, ManyConnectionsAtOnceAllGetTheirAnswers) {
  // What arrives while a thread is reading wakes the watch over the connection afterwards, for nothing.
  const uint16_t port = start();
  constexpr int kClients = 16, kRequests = 300;
  std::atomic<int> answered{0};
  std::vector<std::jthread> clients;
  for (int i = 0; i < kClients; ++i)
    clients.emplace_back([&] {
      Client client(port);
      for (int k = 0; k < kRequests; ++k) {
        client.send(chat(false));
        if (client.receive(kAnswer).empty()) return;
        ++answered;
      }
    });
  clients.clear();
  EXPECT_EQ(answered, kClients * kRequests);
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInTurn) {
  Client client(start());
  client.send(std::string(kGetHealth) + "GET /version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const std::string answers = client.receive();
  EXPECT_LT(answers.find("\"status\""), answers.find("\"version\"")) << answers;
  EXPECT_TRUE(client.closed());
}

TEST_F(HttpServerTest, StreamsAreChunkedAndEnd) {
  Client client(start());
  client.send(chat(true));
  const std::string answer = client.receive("0\r\n\r\n");
  EXPECT_NE(answer.find("Transfer-Encoding: chunked"), std::string::npos) << answer;
  EXPECT_NE(answer.find("Content-Type: text/event-stream"), std::string::npos);
  EXPECT_NE(answer.find("data: [DONE]"), std::string::npos);
  client.send(kGetHealth);  // the connection goes on
  EXPECT_NE(client.receive("}").find("200 OK"), std::string::npos);
}

TEST_F(HttpServerTest, OldClientsGetAStreamThatEndsWithTheConnection) {
  Client client(start());
  const std::string body = R"({"messages": [{"role": "user", "content": "Hi"}], "stream": true})";
  client.send(
      fmt::format("POST /v1/chat/completions HTTP/1.0\r\nContent-Length: {}\r\n\r\n{}", body.size(), body));
  const std::string answer = client.receive();
  EXPECT_EQ(answer.find("chunked"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("data: [DONE]\n\n")) << answer;
  EXPECT_TRUE(client.closed());
}

TEST_F(HttpServerTest, HeadHasNoBody) {
  Client client(start());
  client.send("HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string answer = client.receive("\r\n\r\n");
  EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
  client.send(kGetHealth);
  EXPECT_TRUE(client.receive("}").starts_with("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, SilenceInAStreamIsFilledWithComments) {
  scheduler.endless = true;
  scheduler.pause = milliseconds(300);
  Client client(start({.ping_time = milliseconds(30)}));
  client.send(chat(true));
  EXPECT_NE(client.receive(": ping\n\n").find(": ping\n\n"), std::string::npos);
}

/// A stream whose pieces the test writes.
class PiecesTest : public ::testing::Test {
 protected:
  void start(milliseconds piece_gap) {
    std::promise<std::shared_ptr<HttpExchange>> promise;
    auto started = HttpServer::start({.port = 0, .piece_gap = piece_gap}, [&](const auto& asked) {
      asked->start_stream({.headers = {{"Content-Type", "text/event-stream"}}});
      promise.set_value(asked);
    });
    ASSERT_TRUE(started.has_value()) << started.error().message;
    server = std::move(*started);
    client.emplace(server->port());
    client->send(kGetHealth);
    exchange = promise.get_future().get();
    EXPECT_NE(client->receive("\r\n\r\n").find("200 OK"), std::string::npos);
  }

  std::unique_ptr<HttpServer> server;
  std::optional<Client> client;
  std::shared_ptr<HttpExchange> exchange;
};

TEST_F(PiecesTest, WhatComesSoonAfterAPieceGoesTogether) {
  start(milliseconds(500));
  exchange->write("first");
  EXPECT_EQ(client->receive("first\r\n"), "5\r\nfirst\r\n");  // at once
  exchange->write("a");
  exchange->write("bc");
  exchange->write("d");
  EXPECT_EQ(client->receive("d\r\n"), "4\r\nabcd\r\n");
}

TEST_F(HttpServerTest, TokensThatComeSoonGoInOneEvent) {
  Client client(start({.piece_gap = std::chrono::hours(1)}));
  client.send(chat(true));
  const std::string answer = client.receive("0\r\n\r\n");
  size_t events = 0;
  std::string text;
  for (size_t at = 0; (at = answer.find("data: {", at)) != std::string::npos; ++at) {
    const Json event = Json::parse(answer.substr(at + 6, answer.find("\n\n", at) - at - 6));
    const std::string content = event["choices"][0]["delta"].value("content", std::string());
    events += content.empty() ? 0 : 1;
    text += content;
  }
  EXPECT_EQ(text, kAnswer);
  ASSERT_GT(scheduler.answer.size(), 3u);
  EXPECT_LE(events, 2u) << answer;  // the first token, if it was sent before the second came, and the rest
}

TEST_F(PiecesTest, TheEndDoesNotWait) {
  start(std::chrono::hours(1));
  exchange->write("first");
  EXPECT_EQ(client->receive("first\r\n"), "5\r\nfirst\r\n");
  exchange->write("last");
  exchange->finish();
  EXPECT_EQ(client->receive("0\r\n\r\n"), "4\r\nlast\r\n0\r\n\r\n");
}

struct RawCase {
  const char* bytes;
  int status;  ///< 0: the connection just closes
};

// Each is a whole message, after which the client sends nothing more.
constexpr RawCase kRawCases[] = {
    {"nonsense\r\n\r\n", 400},
    {"GET\r\n\r\n", 400},
    {"GET / HTTP/1.1 x\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n\r\n", 400},                        // no Host
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},  // two of them
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\nHost: a\n\n", 400},  // bare line feeds
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nA\x01: b\r\n\r\n", 400},
    {"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400},
    {"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400},
    {"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400},
    {"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400},
    {"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     400},
    {"POST /tokenize HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
    {"POST /tokenize HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}xx\r\n0\r\n\r\n", 400},
    {"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n", 413},
    {"PUT /tokenize HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405},
    {"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 404},
    {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 404},
    {"GET http://a/health HTTP/1.1\r\nHost: a\r\n\r\n", 404},
    {"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 400},
};

TEST_F(HttpServerTest, MalformedMessagesGetAnAnswer) {
  const uint16_t port = start({.max_body_bytes = 4096});
  for (const RawCase& test : kRawCases) {
    Client client(port);
    client.send(test.bytes);
    const std::string answer = client.receive("}}");
    EXPECT_TRUE(answer.starts_with(fmt::format("HTTP/1.1 {} ", test.status))) << test.bytes << "\n->\n"
                                                                              << answer;
    EXPECT_NE(answer.find("{\"error\": {\"message\": "), std::string::npos) << test.bytes << "\n->\n"
                                                                            << answer;
  }
  Client client(port);  // and the server is well
  client.send(kGetHealth);
  EXPECT_NE(client.receive("}").find("200 OK"), std::string::npos);
}

TEST_F(HttpServerTest, HeadersAndBodiesHaveLimits) {
  const uint16_t port = start({.max_header_bytes = 2048, .max_body_bytes = 1000});
  Client long_header(port);
  long_header.send("GET / HTTP/1.1\r\nHost: a\r\nA: " + std::string(4000, 'a') + "\r\n\r\n");
  EXPECT_TRUE(long_header.receive().starts_with("HTTP/1.1 431 "));
  Client chunked(port);
  chunked.send("POST /tokenize HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 5; ++i) chunked.send("fa\r\n" + std::string(250, ' ') + "\r\n");
  EXPECT_TRUE(chunked.receive().starts_with("HTTP/1.1 413 "));
}

TEST_F(HttpServerTest, AHeaderOfManyLinesHasTheSameLimit) {
  // Above what is read at once (4096 bytes), so that the parser sees it piece by piece.
  Client client(start({.max_header_bytes = 8192}));
  std::string lines;
  for (int i = 0; i < 2000; ++i) lines += "A: b\r\n";
  client.send("GET /health HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n");
  EXPECT_TRUE(client.receive().starts_with("HTTP/1.1 431 "));
}

TEST_F(HttpServerTest, AskedFirstItSaysContinueOrTooLarge) {
  const uint16_t port = start({.max_body_bytes = 1000});
  Client small(port);
  small.send("POST /tokenize HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 15\r\n\r\n");
  EXPECT_EQ(small.receive("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  small.send(R"({"prompt": "a"})");
  EXPECT_TRUE(small.receive("}").starts_with("HTTP/1.1 200 "));
  Client large(port);
  large.send("POST /tokenize HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 15000\r\n\r\n");
  EXPECT_TRUE(large.receive().starts_with("HTTP/1.1 413 "));
}

TEST_F(HttpServerTest, SlowClientsAreCutOff) {
  const uint16_t port = start(
      {.header_time = milliseconds(100), .body_time = milliseconds(100), .idle_time = milliseconds(100)});
  for (const char* beginning :
       {"", "GET / HT", "POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"}) {
    Client client(port);
    client.send(beginning);
    client.receive();
    EXPECT_TRUE(client.closed()) << beginning;
  }
  EXPECT_TRUE(eventually([&] { return server->connections() == 0; }));
}

TEST_F(HttpServerTest, TooManyConnectionsAreRefused) {
  const uint16_t port = start({.max_connections = 2});
  Client first(port), second(port);
  first.send(kGetHealth);
  second.send(kGetHealth);
  first.receive("}");
  second.receive("}");
  Client third(port);
  EXPECT_TRUE(third.receive().starts_with("HTTP/1.1 503 "));
  first.close();
  EXPECT_TRUE(eventually([&] {
    Client next(port);
    next.send(kGetHealth);
    return next.receive("}").starts_with("HTTP/1.1 200 ");
  }));
}

TEST_F(HttpServerTest, AClientThatLeavesIsNoticedInSilence) {
  scheduler.endless = true;
  scheduler.pause = milliseconds(20);
  const uint16_t port = start();
  for (const bool stream : {true, false}) {
    const int64_t before = scheduler.cancelled();
    Client client(port);
    client.send(chat(stream));
    ASSERT_TRUE(eventually([&] { return !scheduler.take_requests().empty(); }));
    client.close();
    EXPECT_TRUE(eventually([&] { return scheduler.cancelled() == before + 1; })) << stream;
  }
  EXPECT_TRUE(eventually([&] { return server->connections() == 0; }));
}

TEST_F(HttpServerTest, AClientThatDoesNotReadIsGivenUp) {
  scheduler.endless = true;
  const uint16_t port = start({.max_queued_bytes = 100'000, .write_time = milliseconds(200)});
  Client client(port);
  client.send(
      request("/v1/chat/completions", R"({"messages": [{"role": "user", "content": "Hi"}], "stream": true,
                                                  "logprobs": true, "top_logprobs": 20})"));
  EXPECT_TRUE(eventually([&] { return scheduler.cancelled() == 1; }));
}

TEST_F(HttpServerTest, StoppingClosesIdleConnectionsAndLetsAnswersEnd) {
  scheduler.pause = milliseconds(30);
  const uint16_t port = start();
  Client idle(port), busy(port);
  idle.send(kGetHealth);
  idle.receive("}");
  busy.send(chat(true));
  std::string answer = busy.receive("data: ");
  server->stop(milliseconds(10'000));
  answer += busy.receive();
  EXPECT_NE(answer.find("data: [DONE]"), std::string::npos);
  idle.receive();
  EXPECT_TRUE(idle.closed());
  EXPECT_FALSE(Client(port).connected());
}

TEST_F(HttpServerTest, StoppingCutsWhatTakesTooLong) {
  scheduler.endless = true;
  scheduler.pause = milliseconds(5);
  Client client(start());
  client.send(chat(true));
  client.receive("data: ");
  server->stop(milliseconds(50));
  client.receive();
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(eventually([&] { return scheduler.cancelled() == 1; }));
}

TEST_F(HttpServerTest, ATakenPortIsAClearError) {
  HttpServerOptions again;
  again.port = start();
  const auto second = HttpServer::start(again, [](const auto&) {});
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().kind, ErrorKind::kBusy);
  EXPECT_NE(second.error().message.find(std::to_string(again.port)), std::string::npos);
  again.host = "no.such.host.invalid";
  EXPECT_EQ(HttpServer::start(again, [](const auto&) {}).error().kind, ErrorKind::kUsage);
}

}  // namespace
}  // namespace cadre::server
