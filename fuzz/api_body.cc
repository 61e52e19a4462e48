// Any body for each endpoint that takes one; the first byte chooses which. The scheduler gets only requests
// that it may be given, and the client exactly one answer.
#include "instant_service.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr const char* kPaths[] = {
      "/v1/chat/completions",      "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/messages",
      "/v1/messages/count_tokens", "/tokenize",       "/detokenize",   "/apply-template"};
  if (size == 0) return 0;
  cadre::server::HttpRequest request;
  request.method = "POST";
  request.path = kPaths[data[0] % std::size(kPaths)];
  request.body.assign(reinterpret_cast<const char*>(data) + 1, size - 1);
  cadre::server::answer_instantly(std::move(request));
  return 0;
}
