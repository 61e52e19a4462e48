// Our own models: DeepSeek-V3's shape and field names, plus `gate` and `fallback`.
#include "cadre/model/families/deepseek.h"
#include "cadre/model/families/families.h"

namespace cadre::cadre_family {

Result<ModelConfig> read_config(const JsonFields& config) {
  std::string scoring_func = "sigmoid";
  CADRE_TRY(const std::optional<JsonFields> gate, config.object("gate"));
  if (gate) {
    CADRE_TRY(const std::string type, gate->string_or("type", "linear"));
    if (type != "linear")
      return gate->error(
          "type", fmt::format("expected \"linear\", the only gate that runs so far, found \"{}\"", type));
    CADRE_TRY(scoring_func, gate->string_or("score", scoring_func));
    if (config.has("scoring_func")) {
      CADRE_TRY(const std::string named, config.string("scoring_func"));
      if (named != scoring_func)
        return gate->error("score",
                           fmt::format("contradicts scoring_func: \"{}\" and \"{}\"", scoring_func, named));
    }
  }
  if (config.has("fallback")) return config.error("fallback", "fallback experts do not run so far");
  return deepseek::read_config(config, {.topk_method = "noaux_tc",
                                        .scoring_func = scoring_func,
                                        .norm_topk_prob = true,
                                        .scales_normalised_weights = true});
}

}  // namespace cadre::cadre_family
