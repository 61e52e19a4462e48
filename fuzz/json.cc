// Any text: the parser reports an error, or returns a document that survives being printed and parsed again.
#include "cadre/base/json.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto json = cadre::parse_json({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (!json) return 0;
  const std::string text = cadre::dump_json(*json);
  const auto again = cadre::parse_json(text, "dump");
  if (!again || cadre::dump_json(*again) != text) std::abort();
  return 0;
}
