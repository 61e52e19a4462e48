#include "cadre/eval/fallback_calibration.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <system_error>

#include "cadre/base/anonymous_memory.h"
#include "cadre/base/file.h"
#include "cadre/base/random.h"
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

/// So large a share of each model layer's tokens, chosen at random and the same in every run, falls back.
RoutingPolicy random_fallback(const std::vector<double>& shares) {
  return [shares, seen = std::vector<uint64_t>(shares.size(), 0)](RoutingPlan plan) mutable {
    const auto layer = static_cast<size_t>(plan.layer);
    const RandomStream random(0, layer);
    return without_experts(std::move(plan),
                           [&](int64_t) { return random.uniform(seen[layer]++) < shares[layer]; });
  };
}

std::span<const float> row_of(std::span<const float> logits, int64_t experts, int64_t t) {
  return logits.subspan(static_cast<size_t>(t * experts), static_cast<size_t>(experts));
}

/// A layer's temperature, and how sure its router was of each token at it.
struct LayerConfidence {
  FallbackLayer found;
  std::vector<float> masses;  ///< ascending

  /// The threshold below which so large a share lies. Thresholds are f32.
  float threshold(double share) const {
    if (share <= 0) return 0;
    const auto below = static_cast<size_t>(share * static_cast<double>(masses.size()));
    return masses[std::min(below, masses.size() - 1)];
  }
};

LayerConfidence layer_confidence(int layer, std::span<const float> logits, const MoeConfig& moe) {
  const int64_t experts = moe.n_routed_experts;
  const int64_t k = moe.num_experts_per_tok;
  const auto tokens = static_cast<int64_t>(logits.size()) / experts;
  LayerConfidence result{
      .found = {.layer = layer, .temperature = fit_temperature(logits, experts, k, kMeanMass)}, .masses = {}};
  Confidence& mean = result.found.mean;
  for (int64_t t = 0; t < tokens; ++t) {
    const Confidence c = router_confidence(row_of(logits, experts, t), k, result.found.temperature);
    const auto share = 1 / static_cast<double>(tokens);
    mean.top += share * c.top;
    mean.mass += share * c.mass;
    mean.entropy += share * c.entropy;
    mean.margin += share * c.margin;
    result.masses.push_back(static_cast<float>(c.mass));
  }
  std::sort(result.masses.begin(), result.masses.end());
  return result;
}

/// `config` with the thresholds at which layer i lets `shares[i]` of its tokens fall back.
ModelConfig calibrated(ModelConfig config, std::span<const LayerConfidence> layers,
                       std::span<const double> shares) {
  FallbackConfig fallback{.confidence_experts = config.moe->num_experts_per_tok};
  for (size_t i = 0; i < layers.size(); ++i) {
    fallback.threshold.push_back(layers[i].threshold(shares[i]));
    fallback.temperature.push_back(static_cast<float>(layers[i].found.temperature));
  }
  config.moe->fallback = std::move(fallback);
  return config;
}

/// The first tokens of a text.
PerplexityText beginning(const PerplexityText& text, int64_t tokens) {
  const auto count = std::min(text.tokens.size(), static_cast<size_t>(tokens));
  return {.tokens = {text.tokens.begin(), text.tokens.begin() + static_cast<int64_t>(count)},
          .byte_count = {text.byte_count.begin(), text.byte_count.begin() + static_cast<int64_t>(count)},
          .bos = text.bos};
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

Result<std::vector<double>> share_out(size_t layers, double rate,
                                      FunctionRef<Result<double>(std::span<const double>)> nats) {
  std::vector<double> shares(layers, 0);
  for (size_t part = 0; part < layers; ++part) {
    size_t best = 0;
    double lowest = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < layers; ++i) {
      if (shares[i] + rate >= 1) continue;
      shares[i] += rate;
      CADRE_TRY(const double cost, nats(shares));
      shares[i] -= rate;
      if (cost >= lowest) continue;
      lowest = cost;
      best = i;
    }
    shares[best] += rate;
  }
  return shares;
}

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
  const auto measure = [&](const PerplexityText& read, RoutingPolicy first,
                           RoutingPolicy watch) -> Result<PerplexityReport> {
    CADRE_TRY(Engine engine, Engine::create(model, engine_options));
    for (RoutingPolicy* policy : {&first, &watch})
      if (*policy) engine.add_policy(std::move(*policy));
    return measure_perplexity(engine, read, {.ctx = options.ctx}, progress);
  };

  FallbackCalibration result;
  RecordedLogits recorded;
  CADRE_TRY(const PerplexityReport without, measure(text, RoutingPolicy(), recorded.policy()));
  result.nats = without.nats.mean;
  result.tokens = static_cast<int64_t>(recorded.logits.front().size()) / config.moe->n_routed_experts;
  std::vector<LayerConfidence> layers;
  for (size_t i = 0; i < recorded.layers.size(); ++i)
    layers.push_back(layer_confidence(recorded.layers[i], recorded.logits[i], *config.moe));

  std::vector<double> shares(layers.size(), options.rate);
  if (options.greedy) {
    const PerplexityText part = beginning(text, options.greedy_tokens);
    CADRE_TRY(
        shares, share_out(layers.size(), options.rate, [&](std::span<const double> tried) -> Result<double> {
          CADRE_TRY(RoutingPolicy rule, fallback_policy(calibrated(config, layers, tried), FallbackUse::kOn));
          CADRE_TRY(const PerplexityReport report, measure(part, std::move(rule), {}));
          return report.nats.mean;
        }));
  }
  CADRE_TRY(RoutingPolicy rule, fallback_policy(calibrated(config, layers, shares), FallbackUse::kOn));
  FallbackCounts counts(config.num_hidden_layers);
  CADRE_TRY(const PerplexityReport with, measure(text, std::move(rule), counts.policy()));
  result.fallback_nats = with.nats.mean;
  for (size_t i = 0; i < layers.size(); ++i) {
    FallbackLayer& layer = result.layers.emplace_back(layers[i].found);
    const auto at = static_cast<size_t>(layer.layer);
    layer.threshold = static_cast<double>(layers[i].threshold(shares[i]));
    layer.rate = static_cast<double>(counts.fallen[at]) / static_cast<double>(counts.all[at]);
    result.rate += layer.rate / static_cast<double>(layers.size());
  }
  if (options.random) {
    std::vector<double> rates(static_cast<size_t>(config.num_hidden_layers), 0);
    for (const FallbackLayer& layer : result.layers) rates[static_cast<size_t>(layer.layer)] = layer.rate;
    CADRE_TRY(const PerplexityReport random, measure(text, random_fallback(rates), {}));
    result.random_nats = random.nats.mean;
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
