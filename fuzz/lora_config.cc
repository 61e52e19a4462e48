// Any bytes as adapter_config.json: an error that names the origin, or an adapter that can be applied.
#include <cmath>
#include <string_view>

#include "cadre/base/check.h"
#include "cadre/runtime/lora.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto json = cadre::parse_json(input, "fuzz");
  if (!json) return 0;
  const auto config = cadre::parse_lora_config(*json, "fuzz");
  if (!config) {
    CADRE_CHECK(config.error().message.starts_with("fuzz"), "{}", config.error().message);
    return 0;
  }
  CADRE_CHECK(config->rank > 0 && std::isfinite(config->scale()));
  return 0;
}
