// Any bytes: the parser reports an error that names its origin, or gives a manifest that survives being
// written and read.
#include <string_view>

#include "cadre/base/check.h"
#include "cadre/data/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto manifest =
      cadre::parse_manifest(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
  if (!manifest) {
    CADRE_CHECK(manifest.error().message.starts_with("fuzz: "), "{}", manifest.error().message);
    return 0;
  }
  for (const cadre::Split split : cadre::kSplits) {
    int64_t tokens = 0;
    for (const cadre::ShardEntry& shard : manifest->split(split).shards) {
      CADRE_CHECK(shard.file.find('/') == std::string::npos);
      tokens += shard.tokens;
    }
    CADRE_CHECK(tokens == manifest->split(split).tokens);
  }
  const cadre::Json json = cadre::manifest_json(*manifest);
  const auto back = cadre::parse_manifest(cadre::dump_json(json), "fuzz");
  CADRE_CHECK(back.has_value(), "{}", back.error().message);
  CADRE_CHECK(cadre::manifest_json(*back) == json);
  return 0;
}
