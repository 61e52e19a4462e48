// `cadre perplexity`: how well a model predicts a text, and how far its predictions are from another model's.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "cadre/base/file.h"
#include "cadre/cli/commands.h"
#include "cadre/cli/io.h"
#include "cadre/cli/progress.h"
#include "cadre/eval/perplexity.h"
#include "cadre/runtime/text_assets.h"

namespace cadre::cli {
namespace {

constexpr int64_t kPerplexityContext = 512;

struct PerplexityFlags {
  std::vector<std::string> arguments;  ///< [MODEL] FILE
  std::string model;
  EngineFlags engine;
  PerplexityOptions options;
  bool json = false;
};

Result<std::string> read_input(const std::string& file) {
  return file == "-" ? read_stdin() : read_text_file(file);
}

Json estimate_json(const Estimate& estimate) {
  return {{"mean", estimate.mean}, {"standard_error", estimate.standard_error}};
}

Json to_json(const PerplexityReport& report, const PerplexityFlags& flags) {
  Json json = {{"perplexity", report.perplexity},
               {"perplexity_standard_error", report.perplexity_error},
               {"nats_per_token", estimate_json(report.nats)},
               {"bits_per_byte", report.bits_per_byte},
               {"tokens", report.tokens},
               {"bytes", report.bytes},
               {"windows", report.windows},
               {"ctx", flags.options.ctx},
               {"evaluated_tokens", report.evaluated},
               {"seconds", report.seconds},
               {"tokens_per_second", static_cast<double>(report.evaluated) / report.seconds}};
  if (report.divergence) {
    const Divergence& divergence = *report.divergence;
    json["kl"] = {{"mean", divergence.kl.mean},
                  {"standard_error", divergence.kl.standard_error},
                  {"p99", divergence.kl_99},
                  {"max", divergence.kl_max},
                  {"top1_agreement", divergence.top_agreement},
                  {"base_nats_per_token", divergence.base_nats},
                  {"base_perplexity", std::exp(divergence.base_nats)}};
  }
  return json;
}

std::string to_text(const PerplexityReport& report, const PerplexityFlags& flags) {
  std::string text = fmt::format(
      "perplexity      {:.4f} +- {:.4f}\n"
      "nats/token      {:.5f} +- {:.5f}\n"
      "bits/byte       {:.5f}\n"
      "tokens counted  {} in {} windows of {} ({} bytes)\n"
      "speed           {:.1f} tokens/s ({} in {:.1f} s)\n",
      report.perplexity, report.perplexity_error, report.nats.mean, report.nats.standard_error,
      report.bits_per_byte, report.tokens, report.windows, flags.options.ctx, report.bytes,
      static_cast<double>(report.evaluated) / report.seconds, report.evaluated, report.seconds);
  if (report.divergence) {
    const Divergence& divergence = *report.divergence;
    text += fmt::format(
        "base            {:.4f} perplexity, ratio {:.5f}\n"
        "KL divergence   {:.6f} +- {:.6f} nats, 99 % below {:.6f}, largest {:.6f}\n"
        "same top-1      {:.3f} %\n",
        std::exp(divergence.base_nats), std::exp(report.nats.mean - divergence.base_nats), divergence.kl.mean,
        divergence.kl.standard_error, divergence.kl_99, divergence.kl_max, 100 * divergence.top_agreement);
  }
  return text;
}

Status run(PerplexityFlags& flags) {
  const std::string& file = flags.arguments.back();
  ModelFlags model_flags{.positional = flags.arguments.size() == 2 ? flags.arguments.front() : "",
                         .named = flags.model};
  CADRE_TRY(const std::filesystem::path path, model_flags.path());
  CADRE_TRY(EngineOptions options, flags.engine.options());
  CADRE_TRY(const LoadOptions load_options, flags.engine.load_options());
  CADRE_TRY(Model model, Model::load(path, load_options));
  CADRE_CHECK_OK(flags.engine.apply_experts(model));
  CADRE_TRY(const TextAssets assets, load_text_assets(path));
  CADRE_TRY(const std::string input, read_input(file));
  CADRE_TRY(const PerplexityText text, tokenize_for_perplexity(assets.tokenizer, input));

  int64_t& ctx = flags.options.ctx;
  if (ctx == 0) ctx = std::min(kPerplexityContext, model.config().max_position_embeddings);
  options.context_tokens = ctx;
  options.max_step_rows = perplexity_step_rows(model.config().vocab_size, ctx);
  options.max_logit_rows = options.max_step_rows;
  CADRE_TRY(Engine engine, Engine::create(model, options));
  PerplexityReport report;
  {
    Progress progress("perplexity", Progress::Unit::kTokens);
    CADRE_TRY(report, measure_perplexity(engine, text, flags.options,
                                         [&](int64_t done, int64_t total, double so_far) {
                                           progress.update(done, total, fmt::format("{:.4f} so far", so_far));
                                         }));
  }
  return write_stdout(flags.json ? dump_json(to_json(report, flags), 2) + "\n" : to_text(report, flags));
}

}  // namespace

Action set_up_perplexity(CLI::App& app) {
  auto flags = std::make_shared<PerplexityFlags>();
  flags->options.ctx = 0;
  app.add_option("ARGUMENTS", flags->arguments,
                 "[MODEL] FILE: the model (default: $CADRE_MODEL, else the bundled one) "
                 "and a text file, or - for standard input")
      ->required()
      ->expected(1, 2);
  add_flag(app, "-m,--model", flags->model, "the model as a flag");
  flags->engine.add_to(app, /*with_context=*/false);
  add_flag(app, "-c,--ctx,--ctx-size", flags->options.ctx,
           "tokens of a window; 0: 512, or the model's if less")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30));
  add_flag(app, "--stride", flags->options.stride,
           "start a window every N tokens and count only new ones; 0: windows do not overlap")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30));
  add_flag(app, "--save-logits", flags->options.save_logits,
           "write every prediction's log-probabilities to this file (f32, tokens x vocabulary)");
  add_flag(app, "--kl-base", flags->options.kl_base,
           "compare with the predictions that --save-logits wrote: KL divergence and top-1 agreement");
  add_json_flag(app, flags->json);
  return [flags] { return run(*flags); };
}

}  // namespace cadre::cli
