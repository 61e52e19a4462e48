// `cadre quantize`: a model with packed weights out of any that we read.
#include <fmt/format.h>

#include <cstdio>
#include <map>
#include <memory>
#include <optional>

#include "cadre/base/file.h"
#include "cadre/base/json.h"
#include "cadre/base/units.h"
#include "cadre/cli/commands.h"
#include "cadre/cli/io.h"
#include "cadre/cli/progress.h"
#include "cadre/quant/importance.h"
#include "cadre/quant/quantize.h"
#include "cadre/runtime/text_assets.h"

namespace cadre::cli {
namespace {

/// Tokens of a text that GPTQ looks at: an expert of 64, of which a token takes 6, meets 1536 of them.
constexpr int64_t kGptqTokens = 16384;

struct QuantizeFlags {
  std::string in;
  std::string out;
  std::string type = "q4";
  std::vector<std::string> rules;
  std::string imatrix;
  std::string gptq;
  CalibrationLimits calibration{.max_tokens = kGptqTokens};
  std::string isa = "auto";
  bool pure = false;
  bool requantize = false;
  bool force = false;
  bool restart = false;
  bool dry_run = false;
  bool json = false;
  int64_t shard_megabytes = 8192;
  int threads = 0;
};

Result<std::optional<CalibrationText>> read_gptq_text(const QuantizeFlags& flags) {
  if (flags.gptq.empty()) return std::nullopt;
  CADRE_TRY(const TextAssets assets, load_text_assets(flags.in));
  CADRE_TRY(const QuantSource source, QuantSource::open(flags.in));
  CADRE_TRY(const std::string text, flags.gptq == "-" ? read_stdin() : read_text_file(flags.gptq));
  return calibration_text(assets.tokenizer, source.target(), text, flags.gptq, flags.calibration);
}

/// The importances of --imatrix for the weights of the model that is made.
Result<std::optional<Importance>> read_imatrix(const QuantizeFlags& flags) {
  if (flags.imatrix.empty()) return std::nullopt;
  CADRE_TRY(const ImportanceData data, read_importance(flags.imatrix));
  CADRE_TRY(const QuantSource source, QuantSource::open(flags.in));
  return Importance::bind(data, source.family(), source.target(), flags.imatrix);
}

Result<QuantizeOptions> options_of(const QuantizeFlags& flags) {
  QuantizeOptions options;
  const auto preset = parse_weight_type(flags.type);
  if (!preset || !is_packed(*preset))
    return fail(ErrorKind::kUsage, "--type: q8, q6, q4, mxfp4, q3 or q2 expected, '{}' found", flags.type);
  options.plan = {.preset = *preset, .pure = flags.pure};
  for (const std::string& text : flags.rules) {
    CADRE_TRY(QuantRule rule, parse_quant_rule(text));
    options.plan.rules.push_back(std::move(rule));
  }
  options.threads = flags.threads;
  options.isa = flags.isa;
  options.shard_bytes = flags.shard_megabytes << 20;
  options.requantize = flags.requantize;
  options.force = flags.force;
  options.restart = flags.restart;
  return options;
}

/// Weights of one role and type.
struct PlanLine {
  int64_t tensors = 0;
  int64_t parameters = 0;
  int64_t bytes = 0;
};

std::map<std::pair<WeightRole, std::string>, PlanLine> plan_lines(const QuantPlan& plan) {
  std::map<std::pair<WeightRole, std::string>, PlanLine> lines;
  for (const PlannedWeight& weight : plan.weights) {
    PlanLine& line = lines[{weight.role, weight_type_name(weight.type)}];
    ++line.tensors;
    line.parameters += element_count(weight.shape);
    line.bytes += weight.bytes();
  }
  return lines;
}

Json plan_json(const QuantPlan& plan, const std::vector<std::string>& notes) {
  Json weights = Json::array();
  for (const PlannedWeight& weight : plan.weights)
    weights.push_back({{"name", weight.name},
                       {"short_name", weight.short_name},
                       {"shape", weight.shape},
                       {"type", weight_type_name(weight.type)},
                       {"wanted", weight_type_name(weight.wanted)},
                       {"bytes", weight.bytes()}});
  return {{"parameters", plan.parameters()},
          {"bytes", plan.bytes()},
          {"bits_per_weight", plan.bits_per_weight()},
          {"notes", notes},
          {"weights", std::move(weights)}};
}

std::string plan_text(const QuantPlan& plan, const std::vector<std::string>& notes) {
  std::string text =
      fmt::format("  {:<16}{:<8}{:>9}{:>14}{:>11}\n", "weights", "type", "tensors", "parameters", "bytes");
  for (const auto& [key, line] : plan_lines(plan))
    text += fmt::format("  {:<16}{:<8}{:>9}{:>14}{:>11}\n", name(key.first), key.second, line.tensors,
                        format_count(line.parameters), format_bytes(static_cast<double>(line.bytes)));
  text += fmt::format("\n{} parameters, {}, {:.3f} bits per weight\n", format_count(plan.parameters()),
                      format_bytes(static_cast<double>(plan.bytes())), plan.bits_per_weight());
  for (const std::string& note : notes) text += note + "\n";
  return text;
}

Status show_plan(const QuantizeFlags& flags, const QuantizeOptions& options) {
  CADRE_TRY(const QuantSource source, QuantSource::open(flags.in));
  if (!options.requantize) CADRE_CHECK_OK(source.check_not_quantised());
  CADRE_TRY(const QuantPlan plan, plan_quantisation(source.family(), source.target(), options.plan));
  const std::vector<std::string> notes = quantize_notes(source, plan, options.importance);
  return write_stdout(flags.json ? dump_json(plan_json(plan, notes), 2) + "\n" : plan_text(plan, notes));
}

Status report(const QuantizeFlags& flags, const QuantizeReport& report, double seconds) {
  const double bits = 8 * static_cast<double>(report.bytes) / static_cast<double>(report.parameters);
  if (flags.json)
    return write_stdout(dump_json(Json{{"out", flags.out},
                                       {"tensors", report.tensors},
                                       {"resumed_tensors", report.resumed_tensors},
                                       {"parameters", report.parameters},
                                       {"bytes", report.bytes},
                                       {"source_bytes", report.source_bytes},
                                       {"bits_per_weight", bits},
                                       {"files", report.files},
                                       {"seconds", seconds},
                                       {"notes", report.notes}},
                                  2) +
                        "\n");
  fmt::print(stderr, "{}: {} parameters, {} to {}, {:.3f} bits per weight, {:.1f} s\n", flags.out,
             format_count(report.parameters), format_bytes(static_cast<double>(report.source_bytes)),
             format_bytes(static_cast<double>(report.bytes)), bits, seconds);
  if (report.resumed_tensors > 0)
    fmt::print(stderr, "{} of {} tensors were there from an interrupted run\n", report.resumed_tensors,
               report.tensors);
  for (const std::string& note : report.notes) fmt::print(stderr, "{}\n", note);
  return {};
}

Status run(const QuantizeFlags& flags) {
  CADRE_TRY(QuantizeOptions options, options_of(flags));
  CADRE_TRY(const std::optional<Importance> importance, read_imatrix(flags));
  if (importance) options.importance = &*importance;
  CADRE_TRY(const std::optional<CalibrationText> gptq, read_gptq_text(flags));
  if (gptq) options.gptq = &*gptq;
  if (flags.dry_run) return show_plan(flags, options);
  QuantizeReport made;
  double seconds = 0;
  {
    Progress progress("quantising", Progress::Unit::kBytes);
    auto result = quantize_model(flags.in, flags.out, options,
                                 [&](int64_t done, int64_t total) { progress.update(done, total); });
    if (!result && result.error().kind == ErrorKind::kInterrupt)
      result.error().message += "; the same command goes on from here";
    CADRE_TRY(made, std::move(result));
    seconds = progress.seconds();
  }
  return report(flags, made, seconds);
}

}  // namespace

Action set_up_quantize(CLI::App& app) {
  auto flags = std::make_shared<QuantizeFlags>();
  app.add_option("IN", flags->in, "model directory or GGUF file")->required();
  app.add_option("OUT", flags->out, "model directory to make")->required();
  add_flag(app, "--type", flags->type, "preset: q8, q6, q4, mxfp4, q3 or q2")->capture_default_str();
  app.add_option("--rule", flags->rules,
                 "GLOB=TYPE for matrices such as layers.3.experts.17.down, layers.3.attention.o, embedding, "
                 "head; the first that matches decides; also bf16 and f32; may be repeated")
      ->allow_extra_args(false);
  add_flag(app, "--imatrix", flags->imatrix,
           "file of `cadre imatrix`: how much each column counts when scales are chosen");
  add_flag(app, "--gptq", flags->gptq,
           "text file, or - for standard input: make rounding errors good for the inputs that it has");
  add_flag(app, "--calibration-tokens", flags->calibration.max_tokens,
           "take as many tokens of --gptq's text; 0: all")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40));
  add_flag(app, "--isa", flags->isa, "CPU code path of --gptq: auto, generic, avx2 or avx512")
      ->capture_default_str();
  app.add_flag("--pure", flags->pure, "the preset's type for every matrix but the router");
  add_flag(app, "--shard-size", flags->shard_megabytes, "MiB of a file above which the next begins")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  add_flag(app, "-t,--threads", flags->threads, "threads; 0: one per core")->check(CLI::Range(0, 1024));
  app.add_flag("--requantize", flags->requantize, "accept a source that is quantised already");
  app.add_flag("--force", flags->force, "replace the model at OUT when the new one is complete");
  app.add_flag("--restart", flags->restart, "discard what an interrupted run left");
  app.add_flag("--dry-run", flags->dry_run, "show the types and sizes and write nothing");
  add_json_flag(app, flags->json);
  return [flags] { return run(*flags); };
}

}  // namespace cadre::cli
