// How the server is: /live, /health, /version, /metrics, /cadre/stats; and its page.
#include "cadre/server/endpoints.h"
#include "cadre/server/web_page.h"

namespace cadre::server {

Result<HttpResponse> get_page(Service&, const HttpRequest& request) { return web_page(request); }

Result<HttpResponse> get_live(Service&, const HttpRequest&) { return json_response({{"status", "ok"}}); }

Result<HttpResponse> get_health(Service& service, const HttpRequest&) {
  if (service.draining()) return json_response({{"status", "draining"}}, 503);
  return json_response({{"status", "ok"}, {"model", service.model().name()}});
}

Result<HttpResponse> get_version(Service& service, const HttpRequest&) {
  return json_response({{"version", service.model().version}});
}

Result<HttpResponse> get_metrics(Service& service, const HttpRequest&) {
  return text_response(service.metrics().exposition(service.scheduler().stats(), service.model().name(),
                                                    service.options().connections()),
                       "text/plain; version=0.0.4; charset=utf-8");
}

Result<HttpResponse> get_stats(Service& service, const HttpRequest&) {
  const SchedulerStats stats = service.scheduler().stats();
  const ServedModel& model = service.model();
  Json experts = Json::array();
  for (const std::vector<int64_t>& layer : stats.expert_tokens) experts.push_back(layer);
  Json about = {{"name", model.name()},
                {"model_type", model.config.model_type},
                {"context_tokens", model.context_tokens},
                {"layers", model.config.num_hidden_layers},
                {"experts", model.config.moe ? model.config.moe->n_routed_experts : 0},
                {"experts_per_token", model.config.moe ? model.config.moe->num_experts_per_tok : 0},
                {"backend", model.backend}};
  return json_response(
      {{"version", model.version},
       {"uptime_seconds", service.metrics().uptime_seconds()},
       {"connections", service.options().connections()},
       {"draining", service.draining()},
       {"model", std::move(about)},
       {"requests",
        {{"running", stats.running},
         {"queued", stats.queued},
         {"finished", stats.finished},
         {"cancelled", stats.cancelled},
         {"failed", stats.failed},
         {"refused", stats.refused},
         {"preempted", stats.preempted}}},
       {"tokens",
        {{"prompt", stats.prompt_tokens},
         {"cached", stats.cached_tokens},
         {"generated", stats.generated_tokens}}},
       {"steps", {{"count", stats.steps}, {"rows", stats.step_rows}, {"busy_seconds", stats.busy_seconds}}},
       {"kv_cache",
        {{"page_tokens", kPageTokens},
         {"pages", stats.pages},
         {"free", stats.free_pages},
         {"cached", stats.cached_pages}}},
       {"disk",
        {{"snapshots", stats.disk_snapshots},
         {"bytes", stats.disk_bytes},
         {"hits", stats.disk_hits},
         {"damaged", stats.disk_damaged},
         {"failures", stats.disk_failures}}},
       {"seconds", service.metrics().summaries()},
       {"expert_tokens", std::move(experts)}});
}

}  // namespace cadre::server
