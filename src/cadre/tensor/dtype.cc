#include "cadre/tensor/dtype.h"

#include "cadre/base/check.h"

namespace cadre {
namespace {

constexpr DTypeInfo kInfo[kDTypeCount] = {
    {"F32", 1, 4},      {"F16", 1, 2},      {"BF16", 1, 2},    {"F64", 1, 8},    {"F8_E4M3", 1, 1},
    {"F8_E5M2", 1, 1},  {"F8_E8M0", 1, 1},  {"I8", 1, 1},      {"U8", 1, 1},     {"I16", 1, 2},
    {"I32", 1, 4},      {"I64", 1, 8},      {"BOOL", 1, 1},    {"Q8_0", 32, 34}, {"Q4_0", 32, 18},
    {"Q4_K", 256, 144}, {"Q6_K", 256, 210}, {"MXFP4", 32, 17}, {"q8", 32, 34},   {"q6", 32, 26},
    {"q4", 32, 18},     {"mxfp4", 32, 17},  {"q3", 32, 14},    {"q2", 32, 10},
};

}  // namespace

const DTypeInfo& info(DType dtype) { return kInfo[static_cast<int>(dtype)]; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (int i = 0; i < kDTypeCount; ++i)
    if (kInfo[i].name == name) return static_cast<DType>(i);
  return std::nullopt;
}

int64_t row_bytes(DType dtype, int64_t elements) {
  const DTypeInfo& type = info(dtype);
  CADRE_CHECK(elements % type.block_elements == 0, "{} elements in blocks of {}", elements,
              type.block_elements);
  return elements / type.block_elements * type.block_bytes;
}

bool is_weight_dtype(DType dtype) {
  if (is_packed(dtype)) return true;
  switch (dtype) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kF8E4M3:
    case DType::kQ8_0:
    case DType::kQ4_0:
    case DType::kQ4_K:
    case DType::kQ6_K:
    case DType::kMXFP4:
      return true;
    default:
      return false;
  }
}

}  // namespace cadre
