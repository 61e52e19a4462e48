#pragma once
/// Thresholds of the fallback (model/fallback.h), from a text that is like what the model will read.
///
/// Of each MoE layer: the temperature at which the mean confidence is 0.7 (or as near as it comes), and the
/// `rate`-quantile of the confidence. Both are of a run without fallback; what falls back with them, and what
/// it costs, is measured by a second run. With `greedy` the layers share the same total unequally: from none,
/// `rate` of a layer's tokens at a time goes where it costs least, which takes as many runs of the text's
/// beginning as there are MoE layers, squared. `random` measures whether low confidence finds the
/// token-layers that can best go without experts: what as many chosen at random cost.

#include <filesystem>
#include <optional>
#include <vector>

#include "cadre/base/json.h"
#include "cadre/eval/perplexity.h"
#include "cadre/model/fallback.h"

namespace cadre {

struct FallbackCalibrationOptions {
  double rate = 0.05;  ///< share of token-layers to fall back, above 0 and below 1
  int64_t ctx = 512;   ///< tokens of a window
  bool greedy = false;
  int64_t greedy_tokens = 8192;  ///< of the text, that greedy runs
  bool random = false;           ///< also measure what falling back at random costs
};

/// One MoE layer.
struct FallbackLayer {
  int layer = 0;
  double temperature = 1;
  double threshold = 0;
  double rate = 0;  ///< of the second run
  Confidence mean;  ///< over the tokens of the first run
};

struct FallbackCalibration {
  std::vector<FallbackLayer> layers;
  int64_t tokens = 0;                 ///< that each layer routed
  double rate = 0;                    ///< of all token-layers of the second run
  double nats = 0;                    ///< negative log-likelihood of a token, without fallback
  double fallback_nats = 0;           ///< with it
  std::optional<double> random_nats;  ///< with as many token-layers of each layer, chosen at random
};

/// The temperature at which the mean mass of the k largest of softmax(z / T) over rows of logits is `mean`,
/// in [1e-3, 1e3]: the mass falls with T.   logits: [tokens, experts]
double fit_temperature(std::span<const float> logits, int64_t experts, int64_t k, double mean);

/// Shares out a total of `layers` times `rate`, below 1 for each: every part of `rate` goes to the layer
/// where it costs least, the first of equals. `nats(shares)` is what a choice costs; its errors are returned.
Result<std::vector<double>> share_out(size_t layers, double rate,
                                      FunctionRef<Result<double>(std::span<const double> shares)> nats);

/// `engine` describes the back end; its sizes and its fallback are set here. Errors: kUsage for a model that
/// has no routed experts, or nothing to fall back on; kTooLarge when the router logits of the text do not fit
/// this machine, with the numbers; those of measure_perplexity.
Result<FallbackCalibration> calibrate_fallback(const Model& model, EngineOptions engine,
                                               const PerplexityText& text,
                                               const FallbackCalibrationOptions& options,
                                               PerplexityProgress progress);

/// `config` (a config.json of our own family) with the thresholds. Errors: kInvalid for another family.
Result<Json> with_thresholds(Json config, const FallbackCalibration& calibration);

/// Writes the model directory `in` with another config.json to `out`, which must not exist; or, where `out`
/// is empty, replaces config.json in place. Errors: kIo, kInvalid; nothing half-written stays.
Status write_with_config(const std::filesystem::path& in, const std::filesystem::path& out,
                         const Json& config);

}  // namespace cadre
