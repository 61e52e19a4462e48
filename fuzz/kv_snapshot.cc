// Any bytes: the parser reports an error or returns a snapshot that is written as the same bytes again.
#include <algorithm>
#include <cstdlib>

#include "cadre/runtime/snapshot_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  const auto snapshot = cadre::parse_snapshot(file, "fuzz");
  if (!snapshot) return 0;
  std::vector<std::byte> again = cadre::snapshot_header(*snapshot);
  again.insert(again.end(), snapshot->page.begin(), snapshot->page.end());
  if (!std::ranges::equal(again, file)) std::abort();
  return 0;
}
