#pragma once
/// A service for fuzz targets: a vocabulary of bytes, and a scheduler that answers within submit().

#include <optional>

#include "cadre/base/check.h"
#include "cadre/runtime/byte_tokenizer.h"
#include "cadre/server/service.h"
#include "cadre/text/utf8.h"

namespace cadre::server {

/// Answers "ok{" and stops, whatever it is asked.
class InstantScheduler final : public Scheduler {
 public:
  Result<RequestId> submit(Request request, std::shared_ptr<RequestListener> listener) override {
    CADRE_CHECK(!request.prompt.empty(), "an empty prompt");
    for (const int32_t token : request.prompt)
      CADRE_CHECK(token >= 0 && token < kVocabulary, "token {}", token);
    CADRE_CHECK(validate(request.sampling, kVocabulary).has_value(), "sampling out of range");
    RequestStats stats{.prompt_tokens = static_cast<int64_t>(request.prompt.size())};
    if (request.kind == RequestKind::kEmbed) {
      const float vector[] = {0.5f, -0.5f, 1e-30f};
      listener->on_embedding(vector);
    } else {
      constexpr int32_t kAnswer[] = {'o', 'k', '{', 0xE2};
      for (const int32_t token : kAnswer) {
        const TokenLogprob top[] = {{token, -1.0}};
        const ExpertChoice choice[] = {{0, 1, 0.5f}};
        ++stats.generated_tokens;
        if (!listener->on_token({.token = token, .logprob = -1, .top = top, .routing = choice})) break;
      }
    }
    listener->on_finish(FinishReason::kStopToken, stats);
    return RequestId{0};
  }
  void cancel(RequestId) override {}
  bool drain(std::chrono::milliseconds) override { return true; }
  SchedulerStats stats() const override { return {}; }

  static constexpr int32_t kVocabulary = 300;
};

/// Holds the one answer that it gets, and checks what every answer must be.
class CheckedExchange final : public HttpExchange {
 public:
  using HttpExchange::HttpExchange;
  ~CheckedExchange() override { check(); }
  void write(std::string piece) override { pieces_ += piece; }
  void finish() override { finished_ = true; }
  void on_ready(std::function<void()> callback) override { callback(); }
  bool gone() const override { return false; }
  void on_gone(std::function<void()>) override {}

 protected:
  void send(HttpResponse response, bool stream) override {
    CADRE_CHECK(!response_, "answered twice");
    response_ = std::move(response);
    stream_ = stream;
  }

 private:
  void check() const {
    CADRE_CHECK(response_.has_value(), "no answer");
    CADRE_CHECK(response_->status >= 200 && response_->status < 600, "status {}", response_->status);
    CADRE_CHECK(response_->status != 500, "{}", response_->body);
    CADRE_CHECK(is_valid_utf8(response_->body) && is_valid_utf8(pieces_), "not UTF-8");
    for (const HttpHeader& header : response_->headers)
      CADRE_CHECK(header.value.find_first_of("\r\n") == header.value.npos, "{}", header.name);
    if (stream_) {
      CADRE_CHECK(finished_ && pieces_.ends_with("\n\n"), "a stream that does not end");
    } else if (response_->status >= 400) {
      const auto body = parse_json(response_->body, "answer");
      CADRE_CHECK(body && (body->contains("error") || body->contains("status")), "{}", response_->body);
    }
  }

  std::optional<HttpResponse> response_;
  std::string pieces_;
  bool stream_ = false;
  bool finished_ = false;
};

/// Lets the service answer one request.
inline void answer_instantly(HttpRequest request) {
  static const TextAssets assets = [] {
    ModelConfig config;
    config.vocab_size = InstantScheduler::kVocabulary;
    config.bos_token_id = 298;
    config.eos_token_ids = {299};
    const auto bytes = make_byte_tokenizer(config);
    auto tokenizer = Tokenizer::from_json(dump_json(bytes->tokenizer), "bytes");
    CADRE_CHECK(tokenizer.has_value(), "{}", tokenizer.error().message);
    return TextAssets{.tokenizer = std::move(*tokenizer),
                      .chat_template = ChatTemplate::built_in(ChatFormat::kDeepseekV4),
                      .bos_token = "<s>",
                      .eos_token = "</s>"};
  }();
  static const ServedModel model = [] {
    ServedModel served{.names = {"m"}, .context_tokens = 64};
    served.set_assets(assets);
    served.config.vocab_size = InstantScheduler::kVocabulary;
    served.config.moe = MoeConfig{.n_routed_experts = 4, .num_experts_per_tok = 2};
    return served;
  }();
  static InstantScheduler scheduler;
  static Service service(model, scheduler, {.api_keys = {}, .cors_origins = {"https://a.example"}});
  request.id = "fuzz";
  service.handle(std::make_shared<CheckedExchange>(std::move(request)));
}

}  // namespace cadre::server
