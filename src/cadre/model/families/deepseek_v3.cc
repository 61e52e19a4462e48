// DeepSeek-V3, R1 and V3.1 (arXiv:2412.19437).
#include "cadre/model/families/deepseek.h"
#include "cadre/model/families/families.h"

namespace cadre::deepseek_v3 {

Result<ModelConfig> read_config(const JsonFields& config) {
  return deepseek::read_config(config, {.topk_method = "noaux_tc",
                                        .scoring_func = "sigmoid",
                                        .norm_topk_prob = true,
                                        .scales_normalised_weights = true});
}

}  // namespace cadre::deepseek_v3
