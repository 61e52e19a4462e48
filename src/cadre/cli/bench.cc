// `cadre bench`: tokens/s of prefill and decode, and how near they are to what the machine can do.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "cadre/bench/report.h"
#include "cadre/cli/commands.h"
#include "cadre/cli/io.h"
#include "cadre/cli/progress.h"
#include "cadre/model/shapes.h"
#include "cadre/runtime/memory_model.h"

namespace cadre::cli {
namespace {

struct BenchFlags {
  ModelFlags model;
  EngineFlags engine;
  BenchmarkOptions bench;
  bool json = false;
  bool markdown = false;
  bool kernels = false;
  std::string shape;
  std::string type = "q4";
  int64_t layers = 0;  ///< 0: all
  bool default_prompts = false;
  bool default_predicts = false;
};

/// Default lengths, unlike lengths asked for, give way to a small context.
void fit_defaults(BenchFlags& flags, int64_t context) {
  if (flags.default_prompts) flags.bench.prompts = {std::min(flags.bench.prompts[0], context / 2)};
  if (flags.default_predicts) flags.bench.predicts = {std::min(flags.bench.predicts[0], context / 2)};
}

/// The table of inner loops that the flags give.
Status print_kernels(const BenchFlags& flags) {
  CADRE_TRY(const std::vector<KernelSource> kernels, cpu_kernel_sources(flags.bench.engine.cpu));
  if (flags.json) {
    Json json = Json::object();
    for (const KernelSource& kernel : kernels) json[std::string(kernel.kernel)] = kernel.source;
    return write_stdout(dump_json(json, 2) + "\n");
  }
  std::string text;
  for (const KernelSource& kernel : kernels) text += fmt::format("{:<24}{}\n", kernel.kernel, kernel.source);
  return write_stdout(text);
}

/// A random model of --shape.
Result<Model> make_model(const BenchFlags& flags) {
  CADRE_TRY(const DType type, parse_random_type(flags.type));
  CADRE_TRY(Json config, find_shape(flags.shape));
  if (flags.layers != 0) CADRE_CHECK_OK(cut_layers(config, flags.layers));
  const std::string layers = flags.layers == 0 ? "" : fmt::format(" of {} layers", flags.layers);
  Progress progress("making weights", Progress::Unit::kBytes);
  return make_random_model(std::move(config), fmt::format("{}{}, random {}", flags.shape, layers, flags.type),
                           {.type = type, .seed = flags.bench.seed},
                           [&](int64_t done, int64_t total) { progress.update(done, total); });
}

Result<Model> load_model(const BenchFlags& flags) {
  CADRE_TRY(const std::filesystem::path path, flags.model.path());
  CADRE_TRY(const LoadOptions options, flags.engine.load_options());
  return Model::load(path, options);
}

Status run(BenchFlags& flags) {
  if (flags.json && flags.markdown)
    return fail(ErrorKind::kUsage, "--json and --markdown: one of them expected, both found");
  CADRE_TRY(flags.bench.engine, flags.engine.options());
  if (flags.kernels) return print_kernels(flags);
  if (!flags.shape.empty() && !flags.model.positional.empty())
    return fail(ErrorKind::kUsage, "--shape '{}' and the model '{}': one of them expected", flags.shape,
                flags.model.positional);
  const auto start = std::chrono::steady_clock::now();
  CADRE_TRY(Model model, flags.shape.empty() ? load_model(flags) : make_model(flags));
  const std::chrono::duration<double> load_time = std::chrono::steady_clock::now() - start;
  CADRE_CHECK_OK(flags.engine.apply_experts(model));
  fit_defaults(flags, model.config().max_position_embeddings);
  BenchmarkReport report;
  {
    Progress progress("benchmark", Progress::Unit::kSteps);
    CADRE_TRY(report,
              run_benchmark(model, flags.bench, [&](const std::string& what, int64_t done, int64_t total) {
                progress.update(done, total, what);
              }));
  }
  report.ready_seconds += load_time.count();
  if (flags.json) return write_stdout(dump_json(to_json(report), 2) + "\n");
  return write_stdout(flags.markdown ? to_markdown(report) : to_text(report));
}

/// A list of numbers separated by commas.
template <typename T>
CLI::Option* add_list(CLI::App& app, const std::string& names, std::vector<T>& values,
                      const std::string& help, T lowest) {
  return app.add_option(names, values, help)
      ->delimiter(',')
      ->envname(environment_name(names))
      ->check(CLI::Range(lowest, T{1} << 30))
      ->capture_default_str();
}

}  // namespace

Action set_up_bench(CLI::App& app) {
  auto flags = std::make_shared<BenchFlags>();
  BenchmarkOptions& bench = flags->bench;
  flags->model.add_to(app);
  flags->engine.add_to(app, /*with_context=*/false);
  app.remove_option(app.get_option("--threads"));  // a list here
  const CLI::Option* prompts =
      add_list(app, "-p,--n-prompt,--prompt", bench.prompts,
               "tokens of a prefill, 0 for none; several values separated by commas", int64_t{0});
  const CLI::Option* predicts =
      add_list(app, "-n,--predict", bench.predicts, "tokens of a decode, 0 for none", int64_t{0});
  add_list(app, "-d,--depth", bench.depths, "tokens in the KV cache before", int64_t{0});
  add_list(app, "-b,--batch", bench.batches, "sequences side by side", int64_t{1});
  add_list(app, "-t,--threads", bench.threads, "threads; 0: one per core", 0);
  add_flag(app, "-r,--repeat", bench.repeat, "repeats of each measurement, after a warm-up")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  add_flag(app, "-s,--seed", bench.seed, "seed of the token ids")->capture_default_str();
  add_flag(app, "--shape", flags->shape,
           "bench a random model of a shape (as cadre init) made in memory, instead of MODEL");
  add_flag(app, "--type", flags->type,
           "type of its weights: bf16, f32, or a packed one (q8, q6, q4, mxfp4, ...)")
      ->capture_default_str();
  add_flag(app, "--layers", flags->layers, "keep only its first N layers")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}));
  add_switch(app, "--kernels", flags->kernels,
             "print which instruction set each inner loop comes from, and nothing else");
  add_switch(app, "--profile", bench.profile, "also show where the time of the steps goes, by operation");
  add_json_flag(app, flags->json);
  add_switch(app, "--markdown", flags->markdown, "print the result as a Markdown table");
  return [flags, prompts, predicts] {
    flags->default_prompts = prompts->count() == 0;
    flags->default_predicts = predicts->count() == 0;
    return run(*flags);
  };
}

}  // namespace cadre::cli
