// Any bytes: the parser reports an error or returns values and tensors that lie inside them.
#include <cstdlib>

#include "cadre/formats/gguf.h"

namespace {

void check_inside(std::span<const std::byte> part, std::span<const std::byte> file) {
  if (part.empty()) return;
  if (part.data() < file.data() || part.data() + part.size() > file.data() + file.size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  const auto header = cadre::parse_gguf(file, "fuzz");
  if (!header) return 0;
  for (const cadre::GgufEntry& entry : header->metadata) {
    check_inside(entry.value.bytes, file);
    if (cadre::describe(entry.value).empty()) std::abort();
  }
  for (const cadre::GgufTensor& tensor : header->tensors) check_inside(tensor.bytes, file);
  return 0;
}
