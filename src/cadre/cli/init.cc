// `cadre init`: a random-weight model of a real shape.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "cadre/base/units.h"
#include "cadre/cli/commands.h"
#include "cadre/cli/progress.h"
#include "cadre/model/shapes.h"
#include "cadre/runtime/random_model.h"

namespace cadre::cli {
namespace {

struct InitFlags {
  std::string shape;
  std::string out;
  int64_t layers = 0;  ///< 0: all
  std::string type = "bf16";
  std::optional<uint64_t> seed;
  int threads = 0;
};

Status run(const InitFlags& flags) {
  CADRE_TRY(const DType type, parse_random_type(flags.type));
  CADRE_TRY(Json config, find_shape(flags.shape));
  if (flags.layers != 0) CADRE_CHECK_OK(cut_layers(config, flags.layers));

  RandomModelReport report;
  double seconds = 0;
  {
    Progress progress("writing weights", Progress::Unit::kBytes);
    CADRE_TRY(report,
              write_random_model(std::move(config), flags.out,
                                 {.type = type, .seed = flags.seed.value_or(0), .threads = flags.threads},
                                 [&](int64_t done, int64_t total) { progress.update(done, total); }));
    seconds = progress.seconds();
  }
  fmt::print(stderr, "{}: {} parameters in {} tensors, {} in {:.1f} s ({}/s)\n", flags.out,
             format_count(report.parameters), report.tensors, format_bytes(static_cast<double>(report.bytes)),
             seconds, format_bytes(static_cast<double>(report.bytes) / seconds));
  if (!report.has_tokenizer)
    fmt::print(stderr, "no tokenizer was written: the vocabulary has no room for the 256 bytes\n");
  return {};
}

}  // namespace

Action set_up_init(CLI::App& app) {
  auto flags = std::make_shared<InitFlags>();
  std::string names;
  for (const std::string_view name : shape_names())
    names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
  app.add_option("SHAPE", flags->shape, fmt::format("{}, or the path of a config.json", names))->required();
  app.add_option("OUT", flags->out, "model directory to make; must not exist, or be empty")->required();
  add_flag(app, "--layers", flags->layers, "keep only the first N layers")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}));
  add_flag(app, "--type", flags->type, "type of the matrices: f32, bf16, q8, q6, q4, mxfp4, q3 or q2")
      ->capture_default_str();
  add_seed_flag(app, flags->seed, "seed of the weights; default: 0");
  add_flag(app, "-t,--threads", flags->threads, "threads; 0: one per core")->check(CLI::Range(0, 1024));
  return [flags] { return run(*flags); };
}

}  // namespace cadre::cli
