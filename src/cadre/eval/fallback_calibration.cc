#include "cadre/eval/fallback_calibration.h"

#include <algorithm>
#include <cmath>
#include <system_error>

#include "cadre/base/anonymous_memory.h"
#include "cadre/base/file.h"
#include "cadre/base/units.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;

constexpr double kMeanMass = 0.7;
constexpr int64_t kTemperatureTokens = 4096;  // a mean over more moves the temperature by less than 1 %

/// Router logits of all MoE layers, in the order the layers run.
struct RecordedLogits {
  std::vector<int> layers;
  std::vector<std::vector<float>> logits;  ///< of each, [tokens, experts]

  RoutingPolicy policy() {
    return [this](RoutingPlan plan) {
      auto found = std::ranges::find(layers, plan.layer);
      if (found == layers.end()) {
        found = layers.insert(layers.end(), plan.layer);
        logits.emplace_back();
      }
      std::vector<float>& rows = logits[static_cast<size_t>(found - layers.begin())];
      for (int64_t t = 0; t < plan.tokens(); ++t) {
        const float* row = plan.router_logits.row(t);
        rows.insert(rows.end(), row, row + plan.router_logits.width);
      }
      return plan;
    };
  }
};

/// Token-layers, and those without routed experts, of each MoE layer.
struct FallbackCounts {
  std::vector<int64_t> fallen;
  std::vector<int64_t> all;

  explicit FallbackCounts(int64_t model_layers)
      : fallen(static_cast<size_t>(model_layers)), all(static_cast<size_t>(model_layers)) {}
  RoutingPolicy policy() {
    return [this](RoutingPlan plan) {
      const auto layer = static_cast<size_t>(plan.layer);
      for (int64_t t = 0; t < plan.tokens(); ++t) fallen[layer] += plan.experts_of(t).empty() ? 1 : 0;
      all[layer] += plan.tokens();
      return plan;
    };
  }
};

std::span<const float> row_of(std::span<const float> logits, int64_t experts, int64_t t) {
  return logits.subspan(static_cast<size_t>(t * experts), static_cast<size_t>(experts));
}

FallbackLayer calibrate_layer(int layer, std::span<const float> logits, const MoeConfig& moe, double rate) {
  const int64_t experts = moe.n_routed_experts;
  const int64_t k = moe.num_experts_per_tok;
  const auto tokens = static_cast<int64_t>(logits.size()) / experts;
  FallbackLayer result{.layer = layer, .temperature = fit_temperature(logits, experts, k, kMeanMass)};
  std::vector<float> masses;
  for (int64_t t = 0; t < tokens; ++t) {
    const Confidence c = router_confidence(row_of(logits, experts, t), k, result.temperature);
    const auto share = 1 / static_cast<double>(tokens);
    result.mean.top += share * c.top;
    result.mean.mass += share * c.mass;
    result.mean.entropy += share * c.entropy;
    result.mean.margin += share * c.margin;
    masses.push_back(static_cast<float>(c.mass));
  }
  // So many lie strictly below it, and thresholds are f32.
  const auto below = static_cast<int64_t>(rate * static_cast<double>(tokens));
  std::nth_element(masses.begin(), masses.begin() + below, masses.end());
  result.threshold = static_cast<double>(masses[static_cast<size_t>(below)]);
  return result;
}

Status check_model(const ModelConfig& config) {
  if (!config.moe)
    return fail(ErrorKind::kUsage, "the model is dense: it has no routed experts to go without");
  const bool expert = config.moe->fallback && config.moe->fallback->hidden > 0;
  if (!expert && config.moe->n_shared_experts == 0)
    return fail(
        ErrorKind::kUsage,
        "the model has neither shared experts nor a fallback expert: nothing would serve a token that "
        "falls back");
  return {};
}

}  // namespace

double fit_temperature(std::span<const float> logits, int64_t experts, int64_t k, double mean) {
  const auto tokens = static_cast<int64_t>(logits.size()) / experts;
  const int64_t stride = std::max<int64_t>(1, tokens / kTemperatureTokens);
  const auto mass_at = [&](double temperature) {
    double sum = 0;
    int64_t count = 0;
    for (int64_t t = 0; t < tokens; t += stride, ++count)
      sum += router_confidence(row_of(logits, experts, t), k, temperature).mass;
    return sum / static_cast<double>(count);
  };
  double low = -3, high = 3;  // of log10
  for (int i = 0; i < 40; ++i) {
    const double middle = (low + high) / 2;
    (mass_at(std::pow(10, middle)) > mean ? low : high) = middle;
  }
  return std::pow(10, (low + high) / 2);
}

Result<FallbackCalibration> calibrate_fallback(const Model& model, EngineOptions engine_options,
                                               const PerplexityText& text,
                                               const FallbackCalibrationOptions& options,
                                               PerplexityProgress progress) {
  const ModelConfig& config = model.config();
  CADRE_CHECK_OK(check_model(config));
  const int64_t floats =
      static_cast<int64_t>(text.tokens.size()) * config.moe->n_routed_experts * config.moe_layers();
  const int64_t bytes = floats * static_cast<int64_t>(sizeof(float));
  if (bytes > physical_memory_bytes())
    return fail(ErrorKind::kTooLarge,
                "router logits of {} tokens take {}, this machine has {}; fewer --tokens would fit",
                text.tokens.size(), format_bytes(static_cast<double>(bytes)),
                format_bytes(static_cast<double>(physical_memory_bytes())));
  engine_options.context_tokens = options.ctx;
  engine_options.max_step_rows = perplexity_step_rows(config.vocab_size, options.ctx);
  engine_options.max_logit_rows = engine_options.max_step_rows;
  engine_options.fallback = FallbackUse::kOff;
  const auto measure = [&](RoutingPolicy first, const RoutingPolicy& watch) -> Result<PerplexityReport> {
    CADRE_TRY(Engine engine, Engine::create(model, engine_options));
    if (first) engine.add_policy(std::move(first));
    engine.add_policy(watch);
    return measure_perplexity(engine, text, {.ctx = options.ctx}, progress);
  };

  FallbackCalibration result;
  RecordedLogits recorded;
  CADRE_TRY(const PerplexityReport without, measure(RoutingPolicy(), recorded.policy()));
  result.nats = without.nats.mean;
  result.tokens = static_cast<int64_t>(recorded.logits.front().size()) / config.moe->n_routed_experts;
  ModelConfig calibrated = config;
  calibrated.moe->fallback = FallbackConfig{.confidence_experts = config.moe->num_experts_per_tok};
  for (size_t i = 0; i < recorded.layers.size(); ++i) {
    result.layers.push_back(
        calibrate_layer(recorded.layers[i], recorded.logits[i], *config.moe, options.rate));
    calibrated.moe->fallback->threshold.push_back(static_cast<float>(result.layers.back().threshold));
    calibrated.moe->fallback->temperature.push_back(static_cast<float>(result.layers.back().temperature));
  }
  CADRE_TRY(RoutingPolicy rule, fallback_policy(calibrated, FallbackUse::kOn));
  FallbackCounts counts(config.num_hidden_layers);
  CADRE_TRY(const PerplexityReport with, measure(std::move(rule), counts.policy()));
  result.fallback_nats = with.nats.mean;
  for (FallbackLayer& layer : result.layers) {
    const auto at = static_cast<size_t>(layer.layer);
    layer.rate = static_cast<double>(counts.fallen[at]) / static_cast<double>(counts.all[at]);
    result.rate += layer.rate / static_cast<double>(result.layers.size());
  }
  return result;
}

Result<Json> with_thresholds(Json config, const FallbackCalibration& calibration) {
  if (config.value("model_type", "") != "cadre")
    return invalid(
        "config.json: field 'model_type': expected \"cadre\", whose models have a place for thresholds, "
        "found {}",
        config.contains("model_type") ? dump_json(config["model_type"]) : "nothing");
  if (!config.contains("fallback") || !config["fallback"].is_object()) config["fallback"] = {{"hidden", 0}};
  Json thresholds = Json::array(), temperatures = Json::array();
  for (const FallbackLayer& layer : calibration.layers) {
    thresholds.push_back(layer.threshold);
    temperatures.push_back(layer.temperature);
  }
  config["fallback"]["threshold"] = std::move(thresholds);
  config["fallback"]["temperature"] = std::move(temperatures);
  config["fallback"]["calibrated_rate"] = calibration.rate;
  return config;
}

Status write_with_config(const fs::path& in, const fs::path& out, const Json& config) {
  const std::string text = dump_json(config, 2) + "\n";
  if (out.empty()) return write_text_file(in / "config.json", text);
  CADRE_TRY(AtomicFolder folder, AtomicFolder::create(out));
  std::error_code error;
  for (fs::directory_iterator entry(in, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    const fs::path name = entry->path().filename();
    if (!entry->is_regular_file() || name == "config.json") continue;
    fs::copy_file(entry->path(), folder.temporary() / name, error);
    if (error) break;
  }
  if (error) return fail(ErrorKind::kIo, "{}: cannot be copied: {}", in.string(), error.message());
  CADRE_CHECK_OK(write_text_file(folder.temporary() / "config.json", text));
  return folder.commit();
}

}  // namespace cadre
