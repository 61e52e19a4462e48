// Any bytes: the parser reports an error or returns tensors that lie inside them.
#include <cstdlib>

#include "cadre/formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  const auto header = cadre::parse_safetensors(file, "fuzz");
  if (!header) return 0;
  for (const cadre::NamedTensor& tensor : header->tensors) {
    const auto bytes = tensor.tensor.bytes;
    if (bytes.data() < file.data() || bytes.data() + bytes.size() > file.data() + file.size()) std::abort();
    if (cadre::row_bytes(tensor.tensor.dtype, cadre::element_count(tensor.tensor.shape)) !=
        static_cast<int64_t>(bytes.size()))
      std::abort();
  }
  return 0;
}
