#include "cadre/formats/layout.h"

#include <algorithm>

#include "cadre/tensor/packed.h"

namespace cadre {

std::string shown(std::string_view name, size_t limit) {
  std::string out;
  for (const char c : name.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  if (name.size() > limit) out += fmt::format("... ({} bytes)", name.size());
  return out;
}

Result<int64_t> stored_bytes(const Shape& shape, int64_t block_elements, int64_t block_bytes) {
  int64_t elements = 1;
  bool empty = false;
  for (const int64_t size : shape) {
    if (size < 0) return invalid("shape {} has a negative dimension", to_string(shape));
    empty = empty || size == 0;
    // A zero counts as a one, so that whether a shape overflows does not depend on the order of its sizes.
    if (__builtin_mul_overflow(elements, std::max<int64_t>(size, 1), &elements))
      return invalid("shape {} has more elements than 63 bits can count", to_string(shape));
  }
  const int64_t row = shape.empty() ? 1 : shape.back();
  if (row % block_elements != 0)
    return invalid("shape {}: rows of {} elements are not whole blocks of {}", to_string(shape), row,
                   block_elements);
  int64_t bytes = 0;
  if (__builtin_mul_overflow(elements / block_elements, block_bytes, &bytes))
    return invalid("shape {} has more bytes than 63 bits can count", to_string(shape));
  return empty ? 0 : bytes;
}

Result<int64_t> stored_bytes(DType dtype, const Shape& shape) {
  const DTypeInfo& type = info(dtype);
  if (!is_packed(dtype)) return stored_bytes(shape, type.block_elements, type.block_bytes);
  if (shape.size() != 2) return invalid("shape {}: a packed tensor has two dimensions", to_string(shape));
  if (shape[0] > INT64_MAX - kPackedRows)
    return invalid("shape {} has more elements than 63 bits can count", to_string(shape));
  return stored_bytes({packed_blocks(shape[0]) * kPackedRows, shape[1]}, type.block_elements,
                      type.block_bytes);
}

Status check_no_overlap(std::vector<Extent>& extents) {
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  const Extent* previous = nullptr;  // the last that holds any byte
  for (const Extent& extent : extents) {
    if (extent.begin == extent.end) continue;
    if (previous != nullptr && extent.begin < previous->end)
      return invalid("tensor '{}' at bytes {} to {} overlaps tensor '{}' at bytes {} to {}",
                     shown(extent.name), extent.begin, extent.end, shown(previous->name), previous->begin,
                     previous->end);
    previous = &extent;
  }
  return {};
}

Status check_names(const std::vector<TensorSpec>& tensors) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const TensorSpec& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  if (!names.empty() && names.front().empty()) return invalid("a tensor without a name");
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) return invalid("tensor '{}' is given twice", shown(*twice));
  return {};
}

}  // namespace cadre
