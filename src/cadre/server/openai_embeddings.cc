// POST /v1/embeddings
#include <bit>
#include <mutex>

#include "cadre/server/endpoints.h"
#include "cadre/server/openai.h"

namespace cadre::server {
namespace {

/// RFC 4648, of the little-endian bytes of the floats.
std::string base64_floats(const std::vector<float>& values) {
  static_assert(std::endian::native == std::endian::little);
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
  const size_t size = values.size() * sizeof(float);
  std::string text;
  text.reserve((size + 2) / 3 * 4);
  for (size_t i = 0; i < size; i += 3) {
    const size_t count = std::min<size_t>(3, size - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) group = group << 8 | (j < count ? bytes[i + j] : 0u);
    for (size_t j = 0; j < 4; ++j) text += j <= count ? kDigits[group >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

/// The inputs of one request, as their embeddings come. Kept alive by the listeners.
class Embedding : public std::enable_shared_from_this<Embedding> {
 public:
  Embedding(Service& service, std::shared_ptr<HttpExchange> exchange, size_t inputs, bool base64)
      : service_(service), exchange_(std::move(exchange)), base64_(base64), vectors_(inputs) {}

  Status start(const std::vector<TextInput>& inputs, const GenerationSettings& settings);

 private:
  class Listener;
  void finish(const RequestStats& stats, bool cancelled);
  void fail_all(const Error& error);
  void cancel();
  void answer(int status, HttpResponse response);
  Json body() const;

  Service& service_;
  const std::shared_ptr<HttpExchange> exchange_;
  const bool base64_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();

  std::mutex mutex_;  ///< of all that follows
  bool over_ = false;
  std::vector<RequestId> ids_;
  std::vector<std::vector<float>> vectors_;
  size_t finished_ = 0;
  Usage usage_;
};

class Embedding::Listener final : public RequestListener {
 public:
  Listener(std::shared_ptr<Embedding> embedding, size_t input)
      : embedding_(std::move(embedding)), input_(input) {}
  bool on_token(const TokenEvent&) override { return true; }
  void on_embedding(std::span<const float> vector) override {
    const std::lock_guard lock(embedding_->mutex_);
    embedding_->vectors_[input_].assign(vector.begin(), vector.end());
  }
  void on_finish(FinishReason reason, const RequestStats& stats) override {
    embedding_->finish(stats, reason == FinishReason::kCancelled);
  }
  void on_error(const Error& error, const RequestStats&) override { embedding_->fail_all(error); }

 private:
  std::shared_ptr<Embedding> embedding_;
  size_t input_;
};

Status Embedding::start(const std::vector<TextInput>& inputs, const GenerationSettings& settings) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    Request request;
    request.kind = RequestKind::kEmbed;
    request.prompt = inputs[i].ids;
    request.client = service_.client_of(exchange_->request());
    request.priority = settings.priority;
    request.experts = settings.experts;
    request.use_prefix_cache = settings.use_prefix_cache;
    const auto id =
        service_.scheduler().submit(std::move(request), std::make_shared<Listener>(shared_from_this(), i));
    if (!id) {
      {
        const std::lock_guard lock(mutex_);
        over_ = true;
      }
      cancel();
      return tl::unexpected(id.error());
    }
    const std::lock_guard lock(mutex_);
    ids_.push_back(*id);
  }
  exchange_->on_gone([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->cancel();
  });
  return {};
}

void Embedding::cancel() {
  std::vector<RequestId> ids;
  {
    const std::lock_guard lock(mutex_);
    ids = ids_;
  }
  for (const RequestId id : ids) service_.scheduler().cancel(id);
}

void Embedding::finish(const RequestStats& stats, bool cancelled) {
  const std::lock_guard lock(mutex_);
  if (over_) return;
  usage_.prompt_tokens += stats.prompt_tokens;
  usage_.cached_tokens += stats.cached_tokens;
  ++finished_;
  if (cancelled) {
    constexpr int kClientLeft = 499;
    answer(kClientLeft, {});
  } else if (finished_ == vectors_.size()) {
    answer(200, json_response(body()));
  }
}

void Embedding::fail_all(const Error& error) {
  {
    const std::lock_guard lock(mutex_);
    if (over_) return;
    answer(http_status(error), error_response(ApiStyle::kOpenAi, error));
  }
  cancel();
}

void Embedding::answer(int status, HttpResponse response) {
  over_ = true;
  RequestRecord record{.id = exchange_->request().id,
                       .method = exchange_->request().method,
                       .path = exchange_->request().path,
                       .status = status,
                       .generated = true,
                       .prompt_tokens = usage_.prompt_tokens,
                       .cached_tokens = usage_.cached_tokens,
                       .finish_reason = status == 200 ? "stop" : "error"};
  record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  service_.record(record);
  exchange_->respond(std::move(response));
}

Json Embedding::body() const {
  Json data = Json::array();
  for (size_t i = 0; i < vectors_.size(); ++i) {
    Json vector = base64_ ? Json(base64_floats(vectors_[i])) : Json(vectors_[i]);
    data.push_back({{"object", "embedding"}, {"index", i}, {"embedding", std::move(vector)}});
  }
  return {{"object", "list"},
          {"data", std::move(data)},
          {"model", service_.model().name()},
          {"usage", {{"prompt_tokens", usage_.prompt_tokens}, {"total_tokens", usage_.prompt_tokens}}}};
}

}  // namespace

Status post_embeddings(Service& service, const std::shared_ptr<HttpExchange>& exchange) {
  CADRE_TRY(const Json body, parse_body(exchange->request()));
  const JsonFields fields = request_fields(body);
  CADRE_CHECK_OK(check_model(fields, service.model()));
  CADRE_CHECK_OK(refuse_field(fields, "dimensions", service.model().config.hidden_size));
  CADRE_TRY(const std::string format, fields.string_or("encoding_format", "float"));
  if (format != "float" && format != "base64")
    return fields.error("encoding_format", "expected float or base64, found " + describe_json(Json(format)));
  CADRE_TRY(const GenerationSettings settings, read_settings(fields, service));
  CADRE_TRY(const std::vector<TextInput> inputs, read_inputs(fields, "input", service.model()));
  return std::make_shared<Embedding>(service, exchange, inputs.size(), format == "base64")
      ->start(inputs, settings);
}

}  // namespace cadre::server
