// DeepSeek-V2, V2-Lite and their chat and coder models (arXiv:2405.04434).
#include "cadre/model/families/deepseek.h"
#include "cadre/model/families/families.h"

namespace cadre::deepseek_v2 {

Result<ModelConfig> read_config(const JsonFields& config) {
  return deepseek::read_config(config, {.topk_method = "greedy",
                                        .scoring_func = "softmax",
                                        .norm_topk_prob = false,
                                        .scales_normalised_weights = false});
}

}  // namespace cadre::deepseek_v2
