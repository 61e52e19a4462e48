// Any bytes as the configuration of a training run: an error that names the origin, or values in their
// ranges.
#include <string_view>

#include "cadre/base/check.h"
#include "cadre/train/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto json = cadre::parse_json(input, "fuzz");
  if (!json) return 0;
  const auto config = cadre::train::parse_train_config(*json, "fuzz", "/nowhere");
  if (!config) return 0;
  CADRE_CHECK(config->steps > 0 && config->length > 1 && !config->data.empty());
  // Rows of a pass are given, or follow from a budget.
  const int64_t rows = config->micro_sequences;
  CADRE_CHECK(rows > 0 ? config->sequences % rows == 0 : config->memory_gb > 0);
  CADRE_CHECK(!config->lora || (config->lora->rank > 0 && !config->lora->targets.empty()));
  CADRE_CHECK(config->learning_rate >= 0 && config->clip >= 0 && config->optimiser.beta2 < 1);
  return 0;
}
