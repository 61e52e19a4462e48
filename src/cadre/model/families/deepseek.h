#pragma once
/// What DeepSeek V2, V3 and our own models have in common: MLA and DeepSeekMoE, with the same field names.

#include "cadre/base/json.h"
#include "cadre/model/config.h"

namespace cadre::deepseek {

/// How a generation treats what its config.json leaves out.
struct Generation {
  std::string_view topk_method;
  std::string_view scoring_func;
  bool norm_topk_prob;
  /// V2 either normalises or scales the weights of the chosen; V3 normalises and scales.
  bool scales_normalised_weights;
};

/// The whole configuration. Errors name the field.
Result<ModelConfig> read_config(const JsonFields& fields, const Generation& generation);

}  // namespace cadre::deepseek
