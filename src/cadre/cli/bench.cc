// `cadre bench`: tokens/s of prefill and decode, and how near they are to what the machine can do.
#include <fmt/format.h>

#include <map>
#include <memory>

#include "cadre/base/cpu_features.h"
#include "cadre/base/interrupt.h"
#include "cadre/base/units.h"
#include "cadre/bench/benchmark.h"
#include "cadre/bench/machine_limits.h"
#include "cadre/cli/commands.h"
#include "cadre/cli/io.h"
#include "cadre/cli/progress.h"

namespace cadre::cli {
namespace {

struct Flags {
  ModelFlags model;
  EngineFlags engine;
  BenchmarkOptions bench;
  bool json = false;
};

const char* phase_name(BenchmarkResult::Phase phase) {
  return phase == BenchmarkResult::Phase::kPrefill ? "prefill" : "decode";
}

/// By number of threads.
using Limits = std::map<int, MachineLimits>;

double read_fraction(const Limits& limits, const BenchmarkResult& result) {
  return result.bytes_per_second / limits.at(result.threads).read_bytes_per_second;
}

double compute_fraction(const Limits& limits, const BenchmarkResult& result) {
  return result.flops_per_second / limits.at(result.threads).f32_flops;
}

Json spread_json(const Spread& spread) {
  return {{"median", spread.median}, {"min", spread.lowest}, {"max", spread.highest}};
}

Json to_json(const BenchmarkReport& report, const Limits& limits, const Model& model,
             const BenchmarkOptions& options) {
  Json limit_list = Json::array();
  for (const auto& [threads, limit] : limits)
    limit_list.push_back({{"threads", threads},
                          {"read_bytes_per_second", limit.read_bytes_per_second},
                          {"f32_flops", limit.f32_flops}});
  Json results = Json::array();
  for (const BenchmarkResult& result : report.results)
    results.push_back({{"phase", phase_name(result.phase)},
                       {"tokens", result.tokens},
                       {"depth", result.depth},
                       {"batch", result.batch},
                       {"threads", result.threads},
                       {"tokens_per_second", spread_json(result.tokens_per_second)},
                       {"weight_bytes_per_token", result.weight_bytes_per_token},
                       {"kv_bytes_per_token", result.kv_bytes_per_token},
                       {"bytes_per_second", result.bytes_per_second},
                       {"fraction_of_read_limit", read_fraction(limits, result)},
                       {"flops_per_token", result.flops_per_token},
                       {"flops_per_second", result.flops_per_second},
                       {"fraction_of_f32_limit", compute_fraction(limits, result)},
                       {"experts_per_step", result.experts_per_step}});
  return {{"model", model.checkpoint().path().string()},
          {"family", model.config().model_type},
          {"parameters", model.size().parameters},
          {"active_parameters", model.size().active_parameters},
          {"bytes", model.size().bytes},
          {"active_bytes", model.size().active_bytes},
          {"backend", report.backend},
          {"kv_type", name(options.engine.kv_type)},
          {"repeat", options.repeat},
          {"seed", options.seed},
          {"limits", limit_list},
          {"results", results}};
}

std::string to_text(const BenchmarkReport& report, const Limits& limits, const Model& model) {
  std::string text = fmt::format("{}: {}, {} parameters, {} active, {}\n", model.checkpoint().path().string(),
                                 model.config().model_type, format_count(model.size().parameters),
                                 format_count(model.size().active_parameters),
                                 format_bytes(static_cast<double>(model.size().bytes)));
  text += fmt::format("{}\n", report.backend);
  for (const auto& [threads, limit] : limits)
    text += fmt::format("limits with {} thread{}: memory read {}/s, f32 {:.0f} GFLOP/s\n", threads,
                        threads == 1 ? "" : "s", format_bytes(limit.read_bytes_per_second),
                        limit.f32_flops / 1e9);
  text += fmt::format("\n{:<9}{:>7}{:>7}{:>9}{:>10}{:>20}{:>9}{:>10}{:>8}{:>8}{:>9}{:>8}\n", "test", "depth",
                      "batch", "threads", "tokens/s", "lowest - highest", "experts", "MB/token", "GB/s",
                      "of max", "GFLOP/s", "of max");
  for (const BenchmarkResult& r : report.results) {
    const Spread& speed = r.tokens_per_second;
    text += fmt::format(
        "{:<9}{:>7}{:>7}{:>9}{:>10.2f}{:>20}{:>9.1f}{:>10.1f}{:>8.2f}{:>6.0f} %{:>9.1f}{:>6.0f} %\n",
        fmt::format("{}{}", r.phase == BenchmarkResult::Phase::kPrefill ? "pp" : "tg", r.tokens), r.depth,
        r.batch, r.threads, speed.median, fmt::format("{:.2f} - {:.2f}", speed.lowest, speed.highest),
        r.experts_per_step, (r.weight_bytes_per_token + r.kv_bytes_per_token) / 1e6, r.bytes_per_second / 1e9,
        100 * read_fraction(limits, r), r.flops_per_second / 1e9, 100 * compute_fraction(limits, r));
  }
  text +=
      "\npp: prefill, tg: decode; median, lowest and highest of the repeats. experts: different ones used by "
      "a step,\n"
      "mean of the MoE layers. MB/token: weights and KV cache that a step must read, by its tokens. A model "
      "that\n"
      "fits the caches can exceed the memory's limit.\n";
  return text;
}

Status run(Flags& flags) {
  CADRE_TRY(const std::filesystem::path path, flags.model.path());
  CADRE_TRY(flags.bench.engine, flags.engine.options());
  CADRE_TRY(const LoadOptions load_options, flags.engine.load_options());
  CADRE_TRY(Model model, Model::load(path, load_options));
  CADRE_CHECK_OK(flags.engine.apply_experts(model));
  const Isa isa = isa_from_name(flags.bench.engine.cpu.isa).value_or(best_isa());
  Limits limits;
  for (int& threads : flags.bench.threads) {
    CADRE_CHECK_OK(check_interrupt());
    if (threads == 0) threads = available_cores();
    limits[threads] = measure_machine_limits(threads, isa);
  }
  BenchmarkReport report;
  {
    Progress progress("benchmark", Progress::Unit::kSteps);
    CADRE_TRY(report,
              run_benchmark(model, flags.bench, [&](const std::string& what, int64_t done, int64_t total) {
                progress.update(done, total, what);
              }));
  }
  return write_stdout(flags.json ? dump_json(to_json(report, limits, model, flags.bench), 2) + "\n"
                                 : to_text(report, limits, model));
}

/// A list of numbers separated by commas.
template <typename T>
void add_list(CLI::App& app, const std::string& names, std::vector<T>& values, const std::string& help,
              T lowest) {
  app.add_option(names, values, help)
      ->delimiter(',')
      ->envname(environment_name(names))
      ->check(CLI::Range(lowest, T{1} << 30))
      ->capture_default_str();
}

}  // namespace

Action set_up_bench(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  BenchmarkOptions& bench = flags->bench;
  flags->model.add_to(app);
  flags->engine.add_to(app, /*with_context=*/false);
  app.remove_option(app.get_option("--threads"));  // a list here
  add_list(app, "-p,--n-prompt,--prompt", bench.prompts,
           "tokens of a prefill, 0 for none; several values separated by commas", int64_t{0});
  add_list(app, "-n,--predict", bench.predicts, "tokens of a decode, 0 for none", int64_t{0});
  add_list(app, "-d,--depth", bench.depths, "tokens in the KV cache before", int64_t{0});
  add_list(app, "-b,--batch", bench.batches, "sequences side by side", int64_t{1});
  add_list(app, "-t,--threads", bench.threads, "threads; 0: one per core", 0);
  add_flag(app, "-r,--repeat", bench.repeat, "repeats of each measurement, after a warm-up")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  add_flag(app, "-s,--seed", bench.seed, "seed of the token ids")->capture_default_str();
  add_json_flag(app, flags->json);
  return [flags] { return run(*flags); };
}

}  // namespace cadre::cli
