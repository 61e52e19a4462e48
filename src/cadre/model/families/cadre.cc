// Our own models: DeepSeek-V3's shape and field names, plus `gate` and `fallback` (docs/models.md).
#include <cmath>

#include "cadre/model/families/deepseek.h"
#include "cadre/model/families/families.h"
#include "cadre/model/families/hf_config.h"

namespace cadre::cadre_family {
namespace {

/// An integer of at least 1, `fallback` where it is absent.
Result<int64_t> size_or(const JsonFields& fields, std::string_view key, int64_t fallback) {
  return fields.integer_or(key, fallback, 1, hf::kMaxCount);
}

Result<GateConfig> read_gate(const JsonFields& gate) {
  CADRE_TRY(const std::string type, gate.string_or("type", "linear"));
  if (type == "linear") return LinearGateConfig{};
  if (type == "mlp") {
    MlpGateConfig mlp;
    CADRE_TRY(mlp.hidden, size_or(gate, "hidden", mlp.hidden));
    return mlp;
  }
  if (type == "transformer") {
    TransformerGateConfig transformer;
    CADRE_TRY(transformer.width, size_or(gate, "width", transformer.width));
    CADRE_TRY(transformer.heads, size_or(gate, "heads", transformer.heads));
    CADRE_TRY(transformer.head_dim, size_or(gate, "head_dim", transformer.head_dim));
    CADRE_TRY(transformer.hidden, size_or(gate, "hidden", transformer.hidden));
    CADRE_TRY(transformer.linear, gate.boolean_or("linear", transformer.linear));
    return transformer;
  }
  if (type == "hash") {
    HashGateConfig hash;
    CADRE_TRY(hash.layers, size_or(gate, "layers", hash.layers));
    return hash;
  }
  return gate.error(
      "type", fmt::format("expected \"linear\", \"mlp\", \"transformer\" or \"hash\", found \"{}\"", type));
}

/// A list of `count` finite numbers; empty when the field is absent.
Result<std::vector<float>> read_layer_values(const JsonFields& fields, std::string_view key, int64_t count) {
  std::vector<float> values;
  const Json* list = fields.find(key);
  if (list == nullptr) return values;
  const auto is_value = [](const Json& item) { return item.is_number() && std::isfinite(item.get<float>()); };
  if (!list->is_array() || static_cast<int64_t>(list->size()) != count ||
      !std::all_of(list->begin(), list->end(), is_value))
    return fields.error(key, fmt::format("expected {} numbers, one for each MoE layer, found {}", count,
                                         describe_json(*list)));
  for (const Json& item : *list) values.push_back(item.get<float>());
  return values;
}

Result<FallbackConfig> read_fallback(const JsonFields& fields, const ModelConfig& config) {
  const MoeConfig& moe = *config.moe;
  FallbackConfig fallback{.confidence_experts = moe.num_experts_per_tok};
  const int64_t half = std::max<int64_t>(1, moe.num_experts_per_tok * moe.moe_intermediate_size / 2);
  CADRE_TRY(fallback.hidden, fields.integer_or("hidden", half, 0, hf::kMaxWidth));
  CADRE_TRY(fallback.threshold, read_layer_values(fields, "threshold", config.moe_layers()));
  CADRE_TRY(fallback.temperature, read_layer_values(fields, "temperature", config.moe_layers()));
  if (fallback.temperature.empty()) fallback.temperature.resize(fallback.threshold.size(), 1.0f);
  if (!std::ranges::all_of(fallback.temperature, [](float value) { return value > 0; }))
    return fields.error("temperature", "expected numbers above 0");
  CADRE_TRY(fallback.calibrated_rate, fields.number_or("calibrated_rate", 0));
  return fallback;
}

}  // namespace

Result<ModelConfig> read_config(const JsonFields& fields) {
  std::string scoring_func = "sigmoid";
  GateConfig gate_config;
  CADRE_TRY(const std::optional<JsonFields> gate, fields.object("gate"));
  if (gate) {
    CADRE_TRY(gate_config, read_gate(*gate));
    CADRE_TRY(scoring_func, gate->string_or("score", scoring_func));
    if (fields.has("scoring_func")) {
      CADRE_TRY(const std::string named, fields.string("scoring_func"));
      if (named != scoring_func)
        return gate->error("score",
                           fmt::format("contradicts scoring_func: \"{}\" and \"{}\"", scoring_func, named));
    }
  }
  CADRE_TRY(ModelConfig config, deepseek::read_config(fields, {.topk_method = "noaux_tc",
                                                               .scoring_func = scoring_func,
                                                               .norm_topk_prob = true,
                                                               .scales_normalised_weights = true}));
  if (config.moe) {
    if (auto* hash = std::get_if<HashGateConfig>(&gate_config)) hash->width = config.moe->num_experts_per_tok;
    config.moe->gate = gate_config;
  }
  CADRE_TRY(const std::optional<JsonFields> fallback, fields.object("fallback"));
  if (!fallback) return config;
  if (!config.moe) return fields.error("fallback", "expected routed experts beside it (n_routed_experts)");
  CADRE_TRY(config.moe->fallback, read_fallback(*fallback, config));
  return config;
}

}  // namespace cadre::cadre_family
