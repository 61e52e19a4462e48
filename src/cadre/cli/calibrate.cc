// `cadre calibrate`: thresholds of a model's fallback from a text.
#include <fmt/format.h>

#include <memory>

#include "cadre/base/file.h"
#include "cadre/cli/commands.h"
#include "cadre/cli/io.h"
#include "cadre/cli/progress.h"
#include "cadre/eval/fallback_calibration.h"
#include "cadre/runtime/find_model.h"
#include "cadre/runtime/text_assets.h"

namespace cadre::cli {
namespace {

struct CalibrateFlags {
  std::string model;
  std::string text;
  std::string out;
  bool in_place = false;
  int64_t tokens = 50'000;
  EngineFlags engine;
  FallbackCalibrationOptions options;
  bool json = false;
};

Json to_json(const FallbackCalibration& calibration) {
  Json layers = Json::array();
  for (const FallbackLayer& layer : calibration.layers)
    layers.push_back({{"layer", layer.layer},
                      {"temperature", layer.temperature},
                      {"threshold", layer.threshold},
                      {"rate", layer.rate},
                      {"mean_confidence",
                       {{"max", layer.mean.top},
                        {"mass", layer.mean.mass},
                        {"entropy", layer.mean.entropy},
                        {"margin", layer.mean.margin}}}});
  Json json = {{"tokens", calibration.tokens},
               {"rate", calibration.rate},
               {"nats_per_token", calibration.nats},
               {"nats_per_token_with_fallback", calibration.fallback_nats}};
  if (calibration.random_nats) json["nats_per_token_with_random_fallback"] = *calibration.random_nats;
  json["layers"] = std::move(layers);
  return json;
}

std::string to_text(const FallbackCalibration& calibration) {
  std::string text = "layer  temperature  threshold  rate %  mean mass  max  1-entropy  margin\n";
  for (const FallbackLayer& layer : calibration.layers)
    text += fmt::format("{:5}  {:11.4g}  {:9.4f}  {:6.2f}  {:9.3f}  {:.3f}  {:9.3f}  {:6.3f}\n", layer.layer,
                        layer.temperature, layer.threshold, 100 * layer.rate, layer.mean.mass, layer.mean.top,
                        layer.mean.entropy, layer.mean.margin);
  text +=
      fmt::format("{} tokens: {:.2f} % of token-layers fall back, {:.5f} nats/token become {:.5f}\n",
                  calibration.tokens, 100 * calibration.rate, calibration.nats, calibration.fallback_nats);
  if (calibration.random_nats)
    text += fmt::format("as many chosen at random: {:.5f}\n", *calibration.random_nats);
  return text;
}

Status run(CalibrateFlags& flags) {
  if (flags.in_place == !flags.out.empty())
    return fail(ErrorKind::kUsage, "expected either --out DIR, for a new model directory, or --in-place");
  CADRE_TRY(const std::filesystem::path path, find_model(flags.model));
  if (!std::filesystem::is_directory(path))
    return fail(ErrorKind::kUsage, "{}: a model directory expected: a GGUF file has no place for thresholds",
                path.string());
  CADRE_TRY(const Json config, read_json_file((path / "config.json").string()));
  CADRE_CHECK_OK(with_thresholds(config, {}));  // another family is refused before the work
  CADRE_TRY(const EngineOptions engine, flags.engine.options());
  CADRE_TRY(const Model model, Model::load(path));
  CADRE_TRY(const TextAssets assets, load_text_assets(path));
  CADRE_TRY(const std::string input, read_text_file(flags.text));
  CADRE_TRY(PerplexityText text, tokenize_for_perplexity(assets.tokenizer, input));
  if (static_cast<int64_t>(text.tokens.size()) > flags.tokens) {
    text.tokens.resize(static_cast<size_t>(flags.tokens));
    text.byte_count.resize(static_cast<size_t>(flags.tokens));
  }
  flags.options.ctx = std::min(flags.options.ctx, model.config().max_position_embeddings);
  FallbackCalibration calibration;
  {
    Progress progress("calibrating", Progress::Unit::kTokens);
    CADRE_TRY(calibration, calibrate_fallback(model, engine, text, flags.options,
                                              [&](int64_t done, int64_t total, double) {
                                                progress.update(done, total, "");
                                              }));
  }
  CADRE_TRY(const Json written, with_thresholds(config, calibration));
  CADRE_CHECK_OK(write_with_config(path, flags.in_place ? "" : flags.out, written));
  return write_stdout(flags.json ? dump_json(to_json(calibration), 2) + "\n" : to_text(calibration));
}

}  // namespace

Action set_up_calibrate(CLI::App& app) {
  auto flags = std::make_shared<CalibrateFlags>();
  app.add_option("MODEL", flags->model, "model directory or name")->required();
  app.add_option("TEXT", flags->text, "text file that is like what the model will read")->required();
  app.add_option("-o,--out", flags->out, "model directory to write, with the thresholds in its config.json");
  add_switch(app, "--in-place", flags->in_place, "put the thresholds into the model's own config.json");
  add_flag(app, "--rate", flags->options.rate, "share of each layer's tokens that shall fall back")
      ->check(CLI::Range(1e-6, 0.999999))
      ->capture_default_str();
  add_switch(app, "--greedy", flags->options.greedy,
             "share the rate out among the layers by what it costs: more where it costs less; many runs");
  add_switch(app, "--random", flags->options.random,
             "also measure what as many token-layers cost that fall back at random");
  add_flag(app, "--tokens", flags->tokens, "tokens of the text to use at most")
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 40))
      ->capture_default_str();
  flags->engine.add_to(app, /*with_context=*/false);
  add_flag(app, "-c,--ctx,--ctx-size", flags->options.ctx, "tokens of a window")
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 30))
      ->capture_default_str();
  add_json_flag(app, flags->json);
  return [flags] { return run(*flags); };
}

}  // namespace cadre::cli
