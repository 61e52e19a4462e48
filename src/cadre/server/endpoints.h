#pragma once
/// The handlers of all endpoints; service.cc has the table that says which path is whose. Errors become
/// answers of the endpoint's style there.

#include "cadre/server/service.h"

namespace cadre::server {

// Answered at once.
Result<HttpResponse> get_page(Service& service, const HttpRequest& request);
Result<HttpResponse> get_live(Service& service, const HttpRequest& request);
Result<HttpResponse> get_health(Service& service, const HttpRequest& request);
Result<HttpResponse> get_version(Service& service, const HttpRequest& request);
Result<HttpResponse> get_metrics(Service& service, const HttpRequest& request);
Result<HttpResponse> get_stats(Service& service, const HttpRequest& request);
Result<HttpResponse> get_models(Service& service, const HttpRequest& request);
Result<HttpResponse> get_model(Service& service, const HttpRequest& request);
Result<HttpResponse> post_tokenize(Service& service, const HttpRequest& request);
Result<HttpResponse> post_detokenize(Service& service, const HttpRequest& request);
Result<HttpResponse> post_apply_template(Service& service, const HttpRequest& request);
Result<HttpResponse> post_count_tokens(Service& service, const HttpRequest& request);

// Answered when the scheduler has an answer.
Status post_chat_completions(Service& service, const std::shared_ptr<HttpExchange>& exchange);
Status post_completions(Service& service, const std::shared_ptr<HttpExchange>& exchange);
Status post_responses(Service& service, const std::shared_ptr<HttpExchange>& exchange);
Status post_embeddings(Service& service, const std::shared_ptr<HttpExchange>& exchange);
Status post_messages(Service& service, const std::shared_ptr<HttpExchange>& exchange);

}  // namespace cadre::server
