// The scalar conversions against tables and dequantised matrices made by other code; here rather than beside
// convert.h because reading them takes the safetensors reader.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "cadre/base/shared_folder_testing.h"
#include "cadre/formats/safetensors.h"
#include "cadre/formats/test_files.h"
#include "cadre/tensor/convert.h"
#include "cadre/tensor/tensor.h"

namespace cadre {
namespace {

class GoldenTables : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto path = fixtures::shared_folder() / "golden" / "quant_kernels" / "golden.safetensors";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "no golden tables at " << path;
    auto file = SafetensorsFile::open(path);
    ASSERT_TRUE(file) << file.error().message;
    file_.emplace(std::move(*file));
  }

  template <typename T>
  std::vector<T> values(std::string_view name) {
    const StoredTensor* tensor = file_->find(name);
    EXPECT_NE(tensor, nullptr) << name;
    std::vector<T> out(tensor->bytes.size() / sizeof(T));
    std::memcpy(out.data(), tensor->bytes.data(), tensor->bytes.size());
    return out;
  }

  std::optional<SafetensorsFile> file_;
};

void expect_equal(float found, float expected, size_t code) {
  if (std::isnan(expected)) {
    EXPECT_TRUE(std::isnan(found)) << code;
  } else {
    EXPECT_EQ(found, expected) << code;
    EXPECT_EQ(std::signbit(found), std::signbit(expected)) << code;
  }
}

TEST_F(GoldenTables, ScalarFormats) {
  const auto e4m3 = values<float>("e4m3_table");
  const auto e8m0 = values<float>("e8m0_table");
  const auto e2m1 = values<float>("e2m1_table");
  ASSERT_EQ(e4m3.size(), 256U);
  ASSERT_EQ(e8m0.size(), 256U);
  ASSERT_EQ(e2m1.size(), 16U);
  for (size_t i = 0; i < 256; ++i) {
    expect_equal(f8e4m3_to_f32(static_cast<uint8_t>(i)), e4m3[i], i);
    expect_equal(f8e8m0_to_f32(static_cast<uint8_t>(i)), e8m0[i], i);
  }
  for (size_t i = 0; i < 16; ++i) expect_equal(kE2M1[i], e2m1[i], i);
}

TEST_F(GoldenTables, Fp8WeightWithBlockScales) {
  const auto scales = values<float>("w8.scale_inv");    // [2, 2]
  const auto expected = values<float>("w8.dequant");    // [200, 86]: every third column
  const StoredTensor* codes = file_->find("w8.codes");  // [200, 256]
  ASSERT_EQ(codes->shape, Shape({200, 256}));
  Weight w{codes->bytes.data(), codes->dtype, 200, 256, 256};
  w.scales = scales.data();
  w.scale_stride = 2;
  w.block_rows = 128;
  w.block_cols = 128;
  std::vector<float> row(256);
  for (int64_t r = 0; r < 200; ++r) {
    decode_weight_row(w, r, row.data());
    for (size_t c = 0; c < 86; ++c)
      ASSERT_EQ(row[3 * c], expected[static_cast<size_t>(r) * 86 + c]) << r << " " << c;
  }
}

/// Hugging Face order: byte j holds elements 2j (low half) and 2j + 1; one E8M0 scale for 32 elements.
TEST_F(GoldenTables, Fp4WeightWithBlockScales) {
  const auto packed = values<uint8_t>("w4.packed");   // [48, 128]
  const auto scales = values<uint8_t>("w4.scale");    // [48, 8]
  const auto expected = values<float>("w4.dequant");  // [48, 256]
  for (size_t r = 0; r < 48; ++r) {
    for (size_t c = 0; c < 256; ++c) {
      const int code = (packed[r * 128 + c / 2] >> (4 * (c % 2))) & 15;
      ASSERT_EQ(kE2M1[code] * f8e8m0_to_f32(scales[r * 8 + c / 32]), expected[r * 256 + c]) << r << " " << c;
    }
  }
}

}  // namespace
}  // namespace cadre
