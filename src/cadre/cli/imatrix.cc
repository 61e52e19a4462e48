// `cadre imatrix`: how much each column of the weights counts, found on a text, for `cadre quantize
// --imatrix`.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cadre/base/file.h"
#include "cadre/cli/commands.h"
#include "cadre/cli/io.h"
#include "cadre/cli/progress.h"
#include "cadre/quant/importance.h"
#include "cadre/runtime/text_assets.h"

namespace cadre::cli {
namespace {

struct ImatrixFlags {
  std::vector<std::string> arguments;  ///< [MODEL] TEXT
  std::string model;
  std::string out;
  CalibrationLimits limits;
  CpuOptions cpu;
  bool json = false;
};

/// Experts that no token of the text was routed to.
struct Unmet {
  int64_t experts = 0;
  int64_t layers = 0;
};

Unmet count_unmet(const ImportanceData& data) {
  Unmet unmet;
  for (const SiteImportance& site : data.sites) {
    if (!site.name.ends_with(".experts.in")) continue;
    const int64_t experts = std::ranges::count(site.inputs, 0);
    unmet.experts += experts;
    unmet.layers += experts > 0 ? 1 : 0;
  }
  return unmet;
}

Status run(const ImatrixFlags& flags) {
  const ModelFlags model_flags{.positional = flags.arguments.size() == 2 ? flags.arguments.front() : "",
                               .named = flags.model};
  const std::string& file = flags.arguments.back();
  CADRE_TRY(const std::filesystem::path path, model_flags.path());
  CADRE_TRY(const Model model, Model::load(path));
  CADRE_TRY(const TextAssets assets, load_text_assets(path));
  CADRE_TRY(const std::string input, file == "-" ? read_stdin() : read_text_file(file));
  CADRE_TRY(const CalibrationText text,
            calibration_text(assets.tokenizer, model.config(), input, file, flags.limits));
  ImportanceData data;
  double seconds = 0;
  {
    Progress progress("calibrating", Progress::Unit::kTokens);
    CADRE_TRY(data, collect_importance(model, text, flags.cpu,
                                       [&](int64_t done, int64_t total) { progress.update(done, total); }));
    seconds = progress.seconds();
  }
  CADRE_CHECK_OK(write_importance(flags.out, data));
  const Unmet unmet = count_unmet(data);
  if (flags.json)
    return write_stdout(dump_json(Json{{"out", flags.out},
                                       {"tokens", text.tokens.size()},
                                       {"window", text.window},
                                       {"sites", data.sites.size()},
                                       {"unmet_experts", unmet.experts},
                                       {"seconds", seconds}},
                                  2) +
                        "\n");
  fmt::print(stderr, "{}: {} tokens in {} windows, {} sites, {:.1f} s\n", flags.out, text.tokens.size(),
             text.windows(), data.sites.size(), seconds);
  if (unmet.experts > 0)
    fmt::print(stderr,
               "{} experts of {} layers met no token: they will count their columns as their layer's mean\n",
               unmet.experts, unmet.layers);
  return {};
}

}  // namespace

Action set_up_imatrix(CLI::App& app) {
  auto flags = std::make_shared<ImatrixFlags>();
  app.add_option(
         "ARGUMENTS", flags->arguments,
         "[MODEL] TEXT: the model (default: $CADRE_MODEL, else the bundled one) and a text file, or - for "
         "standard input")
      ->required()
      ->expected(1, 2);
  add_flag(app, "-m,--model", flags->model, "the model as a flag");
  add_flag(app, "-o,--output", flags->out, "file to write")->required();
  add_flag(app, "-c,--ctx,--ctx-size", flags->limits.window, "tokens of a window")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 20));
  add_flag(app, "--calibration-tokens", flags->limits.max_tokens, "take as many tokens of the text; 0: all")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40));
  add_flag(app, "-t,--threads", flags->cpu.threads, "threads; 0: one per core")->check(CLI::Range(0, 1024));
  add_flag(app, "--isa", flags->cpu.isa, "CPU code path: auto, generic, avx2 or avx512")
      ->capture_default_str();
  add_json_flag(app, flags->json);
  return [flags] { return run(*flags); };
}

}  // namespace cadre::cli
