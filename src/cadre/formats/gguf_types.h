#pragma once
/// Numbers of the GGUF format: types of metadata values and of tensors.
/// Sources: ggml's gguf.h and ggml.h (ids, block sizes); docs/formats.md lists which are read.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "cadre/tensor/dtype.h"

namespace cadre {

enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};
inline constexpr uint32_t kGgufTypeCount = 13;

std::string_view name(GgufType type);
/// Bytes of a value; 0 for strings and arrays, whose size is in the file.
int gguf_value_bytes(GgufType type);

/// The shortest decimal that reads back as `value`: 1e-6 for 1e-6f. Metadata is made from a config.json's
/// decimals, and this is the number that its maker wrote.
double written_decimal(float value);

/// A tensor type of ggml, whether this program computes with it or not.
struct GgmlType {
  uint32_t id;
  std::string_view name;
  int64_t block_elements;
  int64_t block_bytes;
  std::optional<DType> dtype;  ///< nothing when we have no such type
};

/// nullptr for a number that ggml has not assigned or has withdrawn.
const GgmlType* find_ggml_type(uint32_t id);
/// The ggml type of `dtype`; nullptr for FP8, U8 and BOOL, which ggml lacks.
const GgmlType* ggml_type_of(DType dtype);

}  // namespace cadre
