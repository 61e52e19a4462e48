#include "cadre/tensor/dtype.h"

#include <gtest/gtest.h>

namespace cadre {
namespace {

TEST(DType, NamesAreUniqueAndFoundAgain) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(dtype_from_name(name(dtype)), dtype) << name(dtype);
  }
  EXPECT_EQ(dtype_from_name("F33"), std::nullopt);
  EXPECT_EQ(dtype_from_name(""), std::nullopt);
  EXPECT_EQ(dtype_from_name("bf16"), std::nullopt) << "names are as files write them";
}

TEST(DType, SizesAreThoseOfTheFormats) {
  struct Case {
    DType dtype;
    const char* name;
    int64_t elements;
    int64_t bytes;
  };
  const Case cases[] = {
      {DType::kF32, "F32", 1, 4},        {DType::kF16, "F16", 1, 2},
      {DType::kBF16, "BF16", 1, 2},      {DType::kF64, "F64", 1, 8},
      {DType::kF8E4M3, "F8_E4M3", 1, 1}, {DType::kF8E5M2, "F8_E5M2", 1, 1},
      {DType::kF8E8M0, "F8_E8M0", 1, 1}, {DType::kI8, "I8", 1, 1},
      {DType::kU8, "U8", 1, 1},          {DType::kI16, "I16", 1, 2},
      {DType::kI32, "I32", 1, 4},        {DType::kI64, "I64", 1, 8},
      {DType::kBool, "BOOL", 1, 1},      {DType::kQ8_0, "Q8_0", 32, 34},
      {DType::kQ4_0, "Q4_0", 32, 18},    {DType::kQ4_K, "Q4_K", 256, 144},
      {DType::kQ6_K, "Q6_K", 256, 210},  {DType::kMXFP4, "MXFP4", 32, 17},
      {DType::kPackedQ8, "q8", 32, 34},  {DType::kPackedQ6, "q6", 32, 26},
      {DType::kPackedQ4, "q4", 32, 18},  {DType::kPackedMXFP4, "mxfp4", 32, 17},
      {DType::kPackedQ3, "q3", 32, 14},  {DType::kPackedQ2, "q2", 32, 10},
  };
  EXPECT_EQ(std::size(cases), static_cast<size_t>(kDTypeCount));
  for (const Case& c : cases) {
    EXPECT_EQ(name(c.dtype), c.name);
    EXPECT_EQ(info(c.dtype).block_elements, c.elements) << c.name;
    EXPECT_EQ(row_bytes(c.dtype, 3 * c.elements), 3 * c.bytes) << c.name;
    EXPECT_EQ(row_bytes(c.dtype, 0), 0) << c.name;
  }
}

TEST(DTypeDeathTest, RowsAreWholeBlocks) {
  EXPECT_DEATH(row_bytes(DType::kQ4_K, 1408), "1408 elements in blocks of 256");
}

TEST(DType, WeightsAreFloatsAndBlocks) {
  for (const DType dtype :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kQ8_0, DType::kQ4_0, DType::kQ4_K,
        DType::kQ6_K, DType::kMXFP4, DType::kPackedQ8, DType::kPackedQ2})
    EXPECT_TRUE(is_weight_dtype(dtype)) << name(dtype);
  for (const DType dtype : {DType::kF64, DType::kF8E5M2, DType::kF8E8M0, DType::kI8, DType::kU8, DType::kI16,
                            DType::kI32, DType::kI64, DType::kBool})
    EXPECT_FALSE(is_weight_dtype(dtype)) << name(dtype);
}

}  // namespace
}  // namespace cadre
