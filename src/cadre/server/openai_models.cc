// GET /v1/models, GET /v1/models/NAME
#include <algorithm>

#include "cadre/server/api_error.h"
#include "cadre/server/endpoints.h"

namespace cadre::server {
namespace {

Json model_json(const ServedModel& model, const std::string& name) {
  Json ours = {{"model_type", model.config.model_type},
               {"layers", model.config.num_hidden_layers},
               {"vocab_size", model.config.vocab_size},
               {"embedding_size", model.config.hidden_size}};
  if (model.config.moe) {
    ours["experts"] = model.config.moe->n_routed_experts;
    ours["experts_per_token"] = model.config.moe->num_experts_per_tok;
  }
  return {{"id", name},
          {"object", "model"},
          {"created", model.created},
          {"owned_by", "cadre"},
          {"max_model_len", model.context_tokens},
          {"cadre", std::move(ours)}};
}

}  // namespace

Result<HttpResponse> get_models(Service& service, const HttpRequest&) {
  Json list = Json::array();
  for (const std::string& name : service.model().names) list.push_back(model_json(service.model(), name));
  // `has_more` and its neighbours are what Anthropic's clients read of the same list.
  return json_response({{"object", "list"},
                        {"data", std::move(list)},
                        {"has_more", false},
                        {"first_id", service.model().names.front()},
                        {"last_id", service.model().names.back()}});
}

Result<HttpResponse> get_model(Service& service, const HttpRequest& request) {
  const std::string name = request.path.substr(std::string_view("/v1/models/").size());
  const std::vector<std::string>& names = service.model().names;
  if (std::find(names.begin(), names.end(), name) == names.end())
    return fail(ErrorKind::kNotFound, "'{}' is not served here; '{}' is", name.substr(0, 100), names.front());
  return json_response(model_json(service.model(), name));
}

}  // namespace cadre::server
