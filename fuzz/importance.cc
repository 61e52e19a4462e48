// Any bytes: the parser reports an error or returns sites whose values are as many as they should be.
#include <cmath>
#include <cstdlib>

#include "cadre/quant/importance_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto parsed = cadre::parse_importance(std::as_bytes(std::span(data, size)), "fuzz");
  if (!parsed) return 0;
  for (const cadre::SiteImportance& site : parsed->sites) {
    if (static_cast<int64_t>(site.inputs.size()) != site.parts) std::abort();
    if (static_cast<int64_t>(site.mean_squares.size()) != site.parts * site.cols) std::abort();
    for (const float value : site.mean_squares)
      if (!(value >= 0) || !std::isfinite(value)) std::abort();
  }
  return 0;
}
