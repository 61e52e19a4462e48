#include "cadre/tensor/packed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "cadre/base/random.h"
#include "cadre/tensor/convert.h"
#include "cadre/tensor/tensor.h"

namespace cadre {
namespace {

class PackedTest : public testing::TestWithParam<int> {
 protected:
  DType type() const { return packed_type(GetParam()); }
};

TEST_P(PackedTest, EveryCodeHasItsOwnBits) {
  const int64_t bytes = packed_code_bytes(type());
  const auto codes = static_cast<uint64_t>(packed_codes(type()).values.size());
  const RandomStream stream(7, 1);
  std::vector<std::byte> planes(static_cast<size_t>(bytes), std::byte{0xA5});
  const auto code_of = [&](int64_t row, int64_t column) {
    return static_cast<uint8_t>(stream.bits(static_cast<uint64_t>(row * 32 + column)) % codes);
  };
  for (int64_t row = 0; row < 16; ++row)
    for (int64_t column = 0; column < 32; ++column)
      set_packed_code(type(), planes.data(), row, column, code_of(row, column));
  for (int64_t row = 0; row < 16; ++row)
    for (int64_t column = 0; column < 32; ++column)
      EXPECT_EQ(packed_code(type(), planes.data(), row, column), code_of(row, column))
          << row << ' ' << column;
}

TEST_P(PackedTest, SizesAgree) {
  EXPECT_EQ(packed_block_bytes(type(), 96), row_bytes(type(), 96) * kPackedRows);
  EXPECT_EQ(packed_codes_offset(type(), 3) - packed_scale_bytes(type()), packed_block_bytes(type(), 96));
  const PackedCodes& codes = packed_codes(type());
  EXPECT_EQ(codes.values.size(), size_t{1} << codes.bits);
  for (size_t i = type() == DType::kPackedQ8 ? 1 : 0; i < codes.values.size(); ++i)
    EXPECT_LE(std::abs(codes.values[i]), codes.largest);
  EXPECT_EQ(dtype_from_name(name(type())), type());
}

TEST_P(PackedTest, RowsDecodeToScaleTimesValue) {
  constexpr int64_t kCols = 96, kRows = 21;  // the second block is not full
  const int64_t block_bytes = packed_block_bytes(type(), kCols);
  std::vector<std::byte> data(static_cast<size_t>(packed_blocks(kRows) * block_bytes));
  const RandomStream stream(11, 2);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(stream.bits(i));
  std::vector<float> scales(static_cast<size_t>(kRows * kCols / 32));
  for (int64_t r = 0; r < kRows; ++r)
    for (int64_t g = 0; g < kCols / 32; ++g) {
      std::byte* at = data.data() + r / 16 * block_bytes + packed_scales_offset(type(), g);
      if (type() == DType::kPackedMXFP4) {
        at[r % 16] = static_cast<std::byte>(120 + (r + g) % 9);
        scales[static_cast<size_t>(r * 3 + g)] = std::ldexp(0.5f, static_cast<int>((r + g) % 9) - 7);
      } else {
        const float scale = 0.25f + static_cast<float>(r) / 64 + static_cast<float>(g);
        const uint16_t bits = f32_to_f16(scale);
        std::memcpy(at + r % 16 * 2, &bits, 2);
        scales[static_cast<size_t>(r * 3 + g)] = scale;
      }
    }
  const Weight w{.data = data.data(),
                 .dtype = type(),
                 .rows = kRows,
                 .cols = kCols,
                 .row_bytes = row_bytes(type(), kCols)};
  std::vector<float> row(kCols), part(32);
  for (int64_t r = 0; r < kRows; ++r) {
    decode_weight_row(w, r, row.data());
    for (int64_t c = 0; c < kCols; ++c) {
      const uint8_t code = packed_code(
          type(), data.data() + r / 16 * block_bytes + packed_codes_offset(type(), c / 32), r % 16, c % 32);
      EXPECT_EQ(row[static_cast<size_t>(c)], scales[static_cast<size_t>(r * 3 + c / 32)] *
                                                 static_cast<float>(packed_codes(type()).values[code]))
          << r << ' ' << c;
    }
    decode_packed_row(type(), data.data(), kCols, r, 32, 32, part.data());
    for (size_t c = 0; c < 32; ++c) EXPECT_EQ(part[c], row[c + 32]);
  }
  // Slices, and slices of slices, need not begin at a block.
  decode_weight_row(w, 18, row.data());
  std::vector<float> sliced(kCols);
  for (const int64_t begin : {0, 3, 16, 17}) {
    decode_weight_row(w.slice_rows(begin, 21 - begin), 18 - begin, sliced.data());
    EXPECT_EQ(row, sliced) << begin;
    decode_weight_row(w.slice_rows(1, 20).slice_rows(begin, 20 - begin), 17 - begin, sliced.data());
    EXPECT_EQ(row, sliced) << begin;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, PackedTest, testing::Range(0, kPackedTypeCount),
                         [](const auto& test) { return std::string(name(packed_type(test.param))); });

}  // namespace
}  // namespace cadre
