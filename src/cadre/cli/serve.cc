// `cadre serve`: one model over HTTP.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include "cadre/base/file.h"
#include "cadre/base/interrupt.h"
#include "cadre/cli/commands.h"
#include "cadre/runtime/samplable_tokens.h"
#include "cadre/runtime/scheduler.h"
#include "cadre/runtime/text_assets.h"
#include "cadre/server/http_server.h"
#include "cadre/server/service.h"

namespace cadre::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct ServeFlags {
  ModelFlags model;
  EngineFlags engine;
  std::string host = "127.0.0.1";
  uint16_t port = 8000;
  std::vector<std::string> names;
  std::vector<std::string> api_keys;
  std::string api_key_file;
  std::vector<std::string> cors_origins;
  std::string log_format = "text";
  int64_t max_running = 64;
  int64_t max_queued = 512;
  int64_t prefill_rows = 256;
  bool no_prefix_cache = false;
  std::string kv_disk_folder;
  int64_t kv_disk_mb = 1024;
  int64_t max_connections = 1024;
  int64_t max_body_mb = 32;
  int64_t request_time = 0;
  int64_t drain_time = 30;
};

/// The cache is shared: by default there is room for a few conversations of the model's own length, within
/// what any machine holds.
int64_t context_tokens(const ServeFlags& flags, const ModelConfig& config) {
  constexpr int64_t kConversations = 4, kLongest = 8192;
  if (flags.engine.context != 0) return flags.engine.context;
  return kConversations * std::min(config.max_position_embeddings, kLongest);
}

/// One key a line; blanks around it, empty lines and lines that begin with # do not count.
Result<std::vector<std::string>> read_keys(const ServeFlags& flags) {
  std::vector<std::string> keys = flags.api_keys;
  if (!flags.api_key_file.empty()) {
    CADRE_TRY(const std::string text, read_text_file(flags.api_key_file, size_t{1} << 20));
    size_t begin = 0;
    while (begin < text.size()) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      std::string line = text.substr(begin, end - begin);
      begin = end + 1;
      line.erase(0, line.find_first_not_of(" \t\r"));
      line.erase(line.find_last_not_of(" \t\r") + 1);
      if (!line.empty() && line.front() != '#') keys.push_back(std::move(line));
    }
    if (keys.empty()) return invalid("{}: expected an API key a line, found none", flags.api_key_file);
  }
  for (const std::string& key : keys)
    if (key.empty()) return fail(ErrorKind::kUsage, "--api-key: a key must not be empty");
  return keys;
}

Result<server::ServiceOptions> service_options(const ServeFlags& flags) {
  server::ServiceOptions options;
  CADRE_TRY(options.api_keys, read_keys(flags));
  options.cors_origins = flags.cors_origins;
  options.max_choices = flags.max_running;
  options.request_time = seconds(flags.request_time);
  if (flags.log_format == "text") {
    options.log = [](const server::RequestRecord& record) {
      std::fprintf(stderr, "%s\n", server::to_text(record).c_str());
    };
  } else if (flags.log_format == "json") {
    options.log = [](const server::RequestRecord& record) {
      std::fprintf(stderr, "%s\n", server::to_json_line(record).c_str());
    };
  } else if (flags.log_format != "none") {
    return fail(ErrorKind::kUsage, "--log-format: expected text, json or none, found '{}'", flags.log_format);
  }
  return options;
}

server::HttpServerOptions http_options(const ServeFlags& flags) {
  server::HttpServerOptions options;
  options.host = flags.host;
  options.port = flags.port;
  options.max_connections = flags.max_connections;
  options.max_body_bytes = static_cast<uint64_t>(flags.max_body_mb) << 20;
  return options;
}

std::string default_name(const std::filesystem::path& path) {
  std::filesystem::path name = path.filename();
  if (name.empty()) name = path.parent_path().filename();
  return name.extension() == ".gguf" ? name.stem().string() : name.string();
}

/// Waits for Ctrl-C, and then for the answers that are being written.
void serve_until_interrupted(server::HttpServer& http, server::Service& service, Scheduler& scheduler,
                             const ServeFlags& flags) {
  while (!interrupted()) std::this_thread::sleep_for(milliseconds(50));
  std::fprintf(stderr, "shutting down: answers have %lld s to end; a second signal ends at once\n",
               static_cast<long long>(flags.drain_time));
  service.start_draining();
  if (!scheduler.drain(seconds(flags.drain_time))) std::fputs("some answers were cut short\n", stderr);
  http.stop(seconds(2));
}

Status serve(const ServeFlags& flags) {
  CADRE_TRY(server::ServiceOptions options, service_options(flags));
  CADRE_TRY(const std::filesystem::path path, flags.model.path());
  CADRE_TRY(EngineOptions engine_options, flags.engine.options());
  CADRE_TRY(const LoadOptions load_options, flags.engine.load_options());

  // The port is taken first: loading a model for nothing would be a waste, and /health can say that it goes
  // on.
  std::atomic<server::Service*> service{nullptr};
  CADRE_TRY(const std::unique_ptr<server::HttpServer> http,
            server::HttpServer::start(http_options(flags), [&service](const auto& exchange) {
              if (server::Service* ready = service.load())
                ready->handle(exchange);
              else
                exchange->respond(server::loading_response(exchange->request()));
            }));
  const bool is_v6 = flags.host.find(':') != std::string::npos;
  std::fprintf(stderr, is_v6 ? "listening on http://[%s]:%d\n" : "listening on http://%s:%d\n",
               flags.host.c_str(), http->port());

  CADRE_TRY(const TextAssets assets, load_text_assets(path));
  CADRE_TRY(Model model, Model::load(path, load_options));
  CADRE_CHECK_OK(flags.engine.apply_experts(model));
  engine_options.context_tokens = context_tokens(flags, model.config());
  engine_options.max_logit_rows = flags.max_running;
  CADRE_TRY(Engine engine, Engine::create(model, engine_options));
  const SchedulerOptions scheduler_options{.max_running = flags.max_running,
                                           .max_queued = flags.max_queued,
                                           .prefill_rows = flags.prefill_rows,
                                           .prefix_cache = !flags.no_prefix_cache,
                                           .kv_disk_folder = flags.kv_disk_folder,
                                           .kv_disk_bytes = flags.kv_disk_mb << 20};
  server::ServedModel served{
      .names = flags.names,
      .config = model.config(),
      .context_tokens = engine.max_sequence_tokens(),
      .created =
          std::chrono::duration_cast<seconds>(std::chrono::system_clock::now().time_since_epoch()).count(),
      .version = CADRE_VERSION,
      .backend = engine.backend().description()};
  served.set_assets(assets);
  if (served.names.empty()) served.names.push_back(default_name(path));
  CADRE_TRY(const std::unique_ptr<Scheduler> scheduler,
            Scheduler::create(engine, samplable_tokens(assets.tokenizer, model.config().vocab_size),
                              scheduler_options));
  options.connections = [&http] { return http->connections(); };
  server::Service ready(served, *scheduler, std::move(options));
  service = &ready;
  std::fprintf(stderr, "%s is ready: %s; %s\n", served.name().c_str(), describe(engine.plan()).c_str(),
               served.backend.c_str());
  serve_until_interrupted(*http, ready, *scheduler, flags);
  return {};
}

}  // namespace

Action set_up_serve(CLI::App& app) {
  auto flags = std::make_shared<ServeFlags>();
  flags->model.add_to(app);
  add_flag(app, "--host", flags->host, "address to listen on")->capture_default_str();
  add_flag(app, "-p,--port", flags->port, "port to listen on; 0: any free one")->capture_default_str();
  add_flag(app, "-a,--alias,--served-model-name", flags->names,
           "name of the model in the API (may be given several times; default: that of its folder or file)");
  add_flag(app, "--api-key", flags->api_keys, "ask clients for this key (may be given several times)");
  add_flag(app, "--api-key-file", flags->api_key_file, "the same from a file, one key a line");
  add_flag(app, "--cors-origin", flags->cors_origins,
           "let pages of this origin ask (https://example.org, or *; may be given several times)");
  add_flag(app, "--log-format", flags->log_format,
           "a line for each request on standard error: text, json or none")
      ->capture_default_str();
  add_flag(app, "--max-running,--max-num-seqs,--parallel", flags->max_running,
           "answers written at the same time")
      ->check(CLI::Range(int64_t{1}, int64_t{4096}))
      ->capture_default_str();
  add_flag(app, "--max-queued", flags->max_queued, "requests that may wait; more are refused")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  add_flag(
      app, "--prefill-rows", flags->prefill_rows,
      "most prompt tokens in a step while answers are being written: more is faster for prompts, less is "
      "smoother for answers")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 16))
      ->capture_default_str();
  add_switch(app, "--no-prefix-cache", flags->no_prefix_cache, "compute every prompt from its first token");
  add_flag(app, "--kv-disk-dir", flags->kv_disk_folder, "keep prefixes in this folder, over restarts too");
  add_flag(app, "--kv-disk-space-mb", flags->kv_disk_mb, "most MiB of that folder")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
      ->capture_default_str();
  add_flag(app, "--max-connections", flags->max_connections, "connections at the same time; more are refused")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  add_flag(app, "--max-body-mb", flags->max_body_mb, "most MiB of a request")
      ->check(CLI::Range(int64_t{1}, int64_t{1024}))
      ->capture_default_str();
  add_flag(app, "--request-time", flags->request_time, "most seconds for one answer; 0: no limit")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30))
      ->capture_default_str();
  add_flag(app, "--drain-time", flags->drain_time, "seconds that answers have to end when the server stops")
      ->check(CLI::Range(int64_t{0}, int64_t{86400}))
      ->capture_default_str();
  add_flag(app, "-c,--ctx,--ctx-size", flags->engine.context,
           "tokens that the KV cache holds, of all requests together; 0: four times the model's context, at "
           "most 32768")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30));
  flags->engine.add_to(app, /*with_context=*/false);
  return [flags] { return serve(*flags); };
}

}  // namespace cadre::cli
