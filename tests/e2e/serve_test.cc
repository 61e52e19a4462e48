// `cadre serve` as a process: started, asked, interrupted.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <regex>
#include <thread>

#include "cadre/base/fixtures.h"
#include "cadre/base/json.h"
#include "cadre/server/http_client_testing.h"
#include "program.h"

namespace cadre {
namespace {

using fixtures::run_cadre;
using server::HttpTestClient;
using std::chrono::milliseconds;

/// A server of the bundled model, or of what `arguments` say.
class ServeProcess {
 public:
  explicit ServeProcess(const std::string& arguments = {}) {
    const std::string log = (scratch_ / "log").string();
    child_ = ::fork();
    if (child_ == 0) {
      const int file = ::open(log.c_str(), O_CREAT | O_WRONLY, 0600);
      ::dup2(file, STDERR_FILENO);
      const std::string command = std::string("exec ") + CADRE_PROGRAM + " serve --port 0 -t 2 " + arguments;
      ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      ::_exit(127);
    }
    const std::regex listening("listening on http://[^:]+:(\\d+)");
    wait_until([&] {
      std::smatch found;
      const std::string text = this->log();
      if (std::regex_search(text, found, listening)) port_ = static_cast<uint16_t>(std::stoi(found[1]));
      return port_ != 0 || ended();
    });
    wait_until([&] { return ended() || get("/health").find("200 OK") != std::string::npos; });
  }
  ~ServeProcess() {
    if (ended()) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }

  uint16_t port() const { return port_; }
  std::string log() const { return fixtures::read_file(scratch_ / "log"); }
  void signal(int number) const { ::kill(child_, number); }
  /// The exit code, once it has ended; -1: it has not within a while.
  int wait() {
    wait_until([&] { return ended(); });
    return exit_code_;
  }

  std::string get(const std::string& path) const {
    HttpTestClient client(port_);
    client.send("GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    return client.receive();
  }
  static std::string message(const std::string& path, const std::string& body) {
    return "POST " + path +
           " HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
  }
  std::string post(const std::string& path, const std::string& body) const {
    HttpTestClient client(port_);
    client.send(message(path, body));
    return client.receive({}, milliseconds(60'000));
  }
  Json post_json(const std::string& path, const std::string& body) const {
    const std::string answer = post(path, body);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
    return parse_json(answer.substr(answer.find("\r\n\r\n") + 4), "answer").value_or(Json());
  }
  template <typename Condition>
  static bool wait_until(Condition condition) {
    for (int i = 0; i < 1200; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(milliseconds(50));
    }
    return false;
  }

 private:
  bool ended() {
    int status = 0;
    if (exit_code_ < 0 && ::waitpid(child_, &status, WNOHANG) == child_)
      exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return exit_code_ >= 0;
  }

  fixtures::ScratchFolder scratch_;
  pid_t child_ = -1;
  uint16_t port_ = 0;
  int exit_code_ = -1;
};

TEST(Serve, AnswersWhatRunAnswers) {
  const std::string whole = run_cadre("run -q --temp 0 -n 16 --raw -p 'Once upon a time'").out;
  ServeProcess server;
  const Json answer = server.post_json(
      "/v1/completions", R"({"prompt": "Once upon a time", "temperature": 0, "max_tokens": 16})");
  EXPECT_EQ(answer["choices"][0]["text"].get<std::string>() + "\n", whole);
  const Json chat = server.post_json(
      "/v1/chat/completions",
      R"({"messages": [{"role": "user", "content": "Hello"}], "temperature": 0, "max_tokens": 12})");
  EXPECT_EQ(chat["choices"][0]["message"]["content"].get<std::string>() + "\n",
            run_cadre("run -q --temp 0 -n 12 -p Hello").out);
}

TEST(Serve, ManyAtOnceAnswerAsEachAlone) {
  ServeProcess server;
  const std::vector<std::string> prompts = {"Once upon a time", "The cat", "One plus one is", "A red ball"};
  const auto ask = [&](const std::string& prompt) {
    return server
        .post_json("/v1/completions",
                   R"({"prompt": ")" + prompt +
                       R"(", "seed": 7, "temperature": 1, "max_tokens": 20})")["choices"][0]["text"]
        .get<std::string>();
  };
  std::vector<std::string> alone(prompts.size()), together(prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) alone[i] = ask(prompts[i]);
  std::vector<std::jthread> threads;
  for (size_t i = 0; i < prompts.size(); ++i) threads.emplace_back([&, i] { together[i] = ask(prompts[i]); });
  threads.clear();
  EXPECT_EQ(alone, together);
}

TEST(Serve, AnInterruptLetsAnswersEndAndTheProgramWell) {
  ServeProcess server;
  HttpTestClient client(server.port());
  client.send(ServeProcess::message(
      "/v1/completions",
      R"({"prompt": "Once upon a time", "max_tokens": 200, "stream": true, "temperature": 0})"));
  client.receive("data: ");
  server.signal(SIGTERM);
  const std::string rest = client.receive({}, milliseconds(60'000));
  EXPECT_NE(rest.find("data: [DONE]"), std::string::npos) << rest;
  EXPECT_EQ(server.wait(), 0) << server.log();
}

TEST(Serve, ASecondInterruptEndsAtOnce) {
  ServeProcess server("--drain-time 600");
  std::vector<std::unique_ptr<HttpTestClient>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<HttpTestClient>(server.port()));
    clients.back()->send(ServeProcess::message(
        "/v1/completions", R"({"prompt": "Once upon a time", "max_tokens": 240, "n": 8, "stream": true})"));
  }
  clients.back()->receive("data: ");
  server.signal(SIGINT);
  ServeProcess::wait_until([&] { return server.log().find("shutting down") != std::string::npos; });
  server.signal(SIGINT);
  EXPECT_EQ(server.wait(), 130) << server.log();
}

TEST(Serve, LogsALineForEachRequestAndNoText) {
  ServeProcess server("--log-format json");
  server.post_json("/v1/completions",
                   R"({"prompt": "extraordinary", "max_tokens": 4, "logit_bias": {"1": -100}})");
  server.get("/nowhere");
  const std::string log = server.log();
  EXPECT_EQ(log.find("extraordinary"), std::string::npos);
  EXPECT_NE(log.find("\"generated_tokens\": 4"), std::string::npos) << log;
  EXPECT_NE(log.find("\"status\": 404"), std::string::npos) << log;
}

TEST(Serve, StatsAndMetricsShowTheExperts) {
  ServeProcess server;
  server.post_json("/v1/completions", R"({"prompt": "Once", "max_tokens": 4, "logit_bias": {"1": -100}})");
  // A step's counts are published when it is over, which may be after its last answer has arrived.
  std::string metrics;
  EXPECT_TRUE(ServeProcess::wait_until([&] {
    metrics = server.get("/metrics");
    return metrics.find("cadre_generated_tokens_total 4\n") != std::string::npos;
  })) << metrics;
  EXPECT_NE(metrics.find("cadre_expert_tokens_total{layer=\"1\""), std::string::npos) << metrics;
}

TEST(Serve, WhatCannotWorkIsAClearError) {
  ServeProcess server;
  auto result = run_cadre("serve --port " + std::to_string(server.port()));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("is taken"), std::string::npos) << result.err;
  EXPECT_EQ(run_cadre("serve --log-format xml").exit_code, 2);
  EXPECT_EQ(run_cadre("serve --port 70000").exit_code, 2);
  EXPECT_EQ(run_cadre("serve --port 0 --host no.such.host.invalid").exit_code, 2);
  EXPECT_EQ(run_cadre("serve --port 0 --api-key-file /does/not/exist").exit_code, 1);
  EXPECT_EQ(run_cadre("serve --port 0 /does/not/exist").exit_code, 1);
}

}  // namespace
}  // namespace cadre
