#pragma once
/// What the container formats share: named tensors, their sizes with overflow checked, and the check that
/// no two of them share bytes.

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/result.h"
#include "cadre/tensor/tensor.h"

namespace cadre {

static_assert(std::endian::native == std::endian::little, "the formats are little-endian and read in place");

struct NamedTensor {
  std::string name;
  StoredTensor tensor;
};

/// A tensor that is to be written.
struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
};

/// `name` for an error message: control bytes escaped, cut after `limit` bytes. Names come from files, and
/// a message with a megabyte of one helps nobody.
std::string shown(std::string_view name, size_t limit = 120);

/// Bytes of a tensor stored as rows of blocks. Errors, without a name: a negative dimension, a product beyond
/// 63 bits, or a row that is not whole blocks.
Result<int64_t> stored_bytes(const Shape& shape, int64_t block_elements, int64_t block_bytes);
Result<int64_t> stored_bytes(DType dtype, const Shape& shape);

/// The bytes [begin, end) of a data section that tensor `name` takes.
struct Extent {
  int64_t begin = 0;
  int64_t end = 0;
  std::string_view name;
};

/// Sorts `extents` by position. Errors, without an origin: two of them share a byte; both are named.
Status check_no_overlap(std::vector<Extent>& extents);

/// Errors, without an origin: a name is empty or given twice.
Status check_names(const std::vector<TensorSpec>& tensors);

/// `value` rounded up to a multiple of `alignment`, a power of two.
constexpr int64_t align_up(int64_t value, int64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

}  // namespace cadre
