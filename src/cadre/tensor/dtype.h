#pragma once
/// Element types of stored tensors, plain and block-quantised.

#include <cstdint>
#include <optional>
#include <string_view>

namespace cadre {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kF64,
  kF8E4M3,  ///< "fn": no infinities, largest 448
  kF8E5M2,
  kF8E8M0,  ///< a power of two: 2^(byte - 127)
  kI8,
  kU8,
  kI16,
  kI32,
  kI64,
  kBool,
  // Blocks as ggml lays them out; rows are whole blocks.
  kQ8_0,
  kQ4_0,
  kQ4_K,
  kQ6_K,
  kMXFP4,
  // Our own, 16 rows interleaved (tensor/packed.h); rows are whole groups of 32, matrices whole blocks.
  kPackedQ8,
  kPackedQ6,
  kPackedQ4,
  kPackedMXFP4,
  kPackedQ3,
  kPackedQ2,
};

inline constexpr int kDTypeCount = static_cast<int>(DType::kPackedQ2) + 1;
inline constexpr int kPackedTypeCount = kDTypeCount - static_cast<int>(DType::kPackedQ8);

struct DTypeInfo {
  std::string_view name;   ///< as safetensors or GGUF writes it: "BF16", "F8_E4M3", "Q4_K"; packed ones "q4"
  int64_t block_elements;  ///< 1 for plain types
  int64_t block_bytes;
};

const DTypeInfo& info(DType dtype);
inline std::string_view name(DType dtype) { return info(dtype).name; }

/// The type of that name (as in DTypeInfo), if there is one.
std::optional<DType> dtype_from_name(std::string_view name);

inline constexpr int64_t kPackedRows = 16;   ///< rows of a block of a packed type
inline constexpr int64_t kPackedGroup = 32;  ///< columns of a group

/// True for the types of tensor/packed.h.
inline bool is_packed(DType dtype) { return dtype >= DType::kPackedQ8; }
/// Position among the packed types, for tables of them.
inline int packed_index(DType dtype) { return static_cast<int>(dtype) - static_cast<int>(DType::kPackedQ8); }
inline DType packed_type(int index) { return static_cast<DType>(static_cast<int>(DType::kPackedQ8) + index); }

/// Bytes of a row of `elements`, which must be a multiple of the type's block. Of a packed type: its share of
/// the 16 rows that it lies among.
int64_t row_bytes(DType dtype, int64_t elements);

/// True for the types that a matrix product can read: F32, F16, BF16, F8_E4M3, the block and packed types.
bool is_weight_dtype(DType dtype);

}  // namespace cadre
