// POST /tokenize, /detokenize, /apply-template: the model's tokenizer and template over HTTP.
#include "cadre/server/endpoints.h"
#include "cadre/server/request_fields.h"
#include "cadre/text/utf8.h"

namespace cadre::server {
namespace {

/// The text of each token, as far as it is text.
Json token_texts(const std::vector<int32_t>& ids, const Tokenizer& tokenizer) {
  Json texts = Json::array();
  for (const int32_t id : ids)
    texts.push_back(replace_invalid_utf8(tokenizer.token_bytes(id).value_or(std::string_view())));
  return texts;
}

}  // namespace

Result<HttpResponse> post_tokenize(Service& service, const HttpRequest& request) {
  CADRE_TRY(const Json body, parse_body(request));
  const JsonFields fields = request_fields(body);
  CADRE_CHECK_OK(check_model(fields, service.model()));
  const Tokenizer& tokenizer = service.model().assets->tokenizer;
  CADRE_TRY(const bool add_special, fields.boolean_or("add_special_tokens", tokenizer.adds_bos()));
  CADRE_TRY(const bool parse_special, fields.boolean_or("parse_special", true));
  CADRE_TRY(const bool with_texts, fields.boolean_or("return_token_strs", false));
  std::vector<int32_t> ids;
  if (fields.has("messages")) {
    CADRE_TRY(ids, chat_prompt(body, service.model()));
  } else {
    CADRE_TRY(const std::string text, fields.string(fields.has("content") ? "content" : "prompt"));
    CADRE_TRY(ids, tokenizer.encode(text, {.add_bos = add_special && tokenizer.bos().has_value(),
                                           .parse_special = parse_special}));
  }
  Json answer = {{"tokens", ids}, {"count", ids.size()}, {"max_model_len", service.model().context_tokens}};
  if (with_texts) answer["token_strs"] = token_texts(ids, tokenizer);
  return json_response(answer);
}

Result<HttpResponse> post_detokenize(Service& service, const HttpRequest& request) {
  CADRE_TRY(const Json body, parse_body(request));
  const JsonFields fields = request_fields(body);
  CADRE_CHECK_OK(check_model(fields, service.model()));
  const Json* tokens = fields.find("tokens");
  if (tokens == nullptr || !tokens->is_array())
    return fields.error("tokens", "expected a list of token ids, found " +
                                      (tokens == nullptr ? std::string("nothing") : describe_json(*tokens)));
  const Tokenizer& tokenizer = service.model().assets->tokenizer;
  std::vector<int32_t> ids;
  for (const Json& id : *tokens) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= tokenizer.vocab_size() ||
        !tokenizer.contains(id.get<int32_t>()))
      return fields.error("tokens", fmt::format("expected ids of the vocabulary, below {}, found {}",
                                                tokenizer.vocab_size(), describe_json(id)));
    ids.push_back(id.get<int32_t>());
  }
  CADRE_TRY(const bool skip_special, fields.boolean_or("skip_special_tokens", false));
  CADRE_TRY(const std::string bytes, tokenizer.decode(ids, {.skip_special = skip_special}));
  const std::string text = replace_invalid_utf8(bytes);
  return json_response({{"prompt", text}, {"content", text}});
}

Result<HttpResponse> post_apply_template(Service& service, const HttpRequest& request) {
  CADRE_TRY(const Json body, parse_body(request));
  CADRE_CHECK_OK(check_model(request_fields(body), service.model()));
  CADRE_TRY(const std::string text, render_chat(body, service.model()));
  return json_response({{"prompt", text}});
}

}  // namespace cadre::server
