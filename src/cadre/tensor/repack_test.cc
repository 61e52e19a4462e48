#include "cadre/tensor/repack.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "cadre/tensor/blocks.h"
#include "cadre/tensor/convert.h"

namespace cadre {
namespace {

using Bytes = std::vector<std::byte>;

/// Rows of random codes; scales are finite, with zeros, negatives and denormals among them.
Bytes random_rows(DType type, int64_t rows, int64_t cols, uint32_t seed) {
  std::mt19937 random(seed);
  Bytes bytes(static_cast<size_t>(rows * row_bytes(type, cols)));
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  const auto block_bytes = static_cast<size_t>(info(type).block_bytes);
  for (size_t at = 0; at < bytes.size(); at += block_bytes) {
    if (type == DType::kMXFP4) {
      bytes[at] = static_cast<std::byte>(random() % 255);
    } else {
      bytes[at + 1] = static_cast<std::byte>((random() & 0x80) | (random() % 0x7C));
    }
  }
  return bytes;
}

Bytes packed(DType type, const Bytes& rows, int64_t count, int64_t cols) {
  const DType twin = *packed_twin(type);
  const int64_t bytes = packed_block_bytes(twin, cols);
  Bytes matrix(static_cast<size_t>(packed_blocks(count) * bytes), std::byte{0xAA});
  for (int64_t block = 0; block < packed_blocks(count); ++block) {
    std::vector<const std::byte*> pointers;
    for (int64_t row = block * kPackedRows; row < std::min(count, (block + 1) * kPackedRows); ++row)
      pointers.push_back(rows.data() + row * row_bytes(type, cols));
    pack_rows(twin, pointers, cols, matrix.data() + block * bytes);
  }
  return matrix;
}

class Repack : public testing::TestWithParam<DType> {};

TEST_P(Repack, EveryValueIsTheSameAndTheWayBackIsBitExact) {
  const DType type = GetParam();
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 32}, {16, 32}, {17, 96}, {37, 256}}) {
    const Bytes source = random_rows(type, rows, cols, 7);
    const Bytes matrix = packed(type, source, rows, cols);
    const DType twin = *packed_twin(type);
    ASSERT_EQ(row_twin(twin), type);
    const auto n = static_cast<size_t>(cols);
    std::vector<float> expected(n);
    std::vector<float> found(n);
    Bytes back(static_cast<size_t>(row_bytes(type, cols)));
    for (int64_t row = 0; row < rows; ++row) {
      const std::byte* original = source.data() + row * row_bytes(type, cols);
      decode_row(type, original, expected.data(), cols);
      decode_packed_row(twin, matrix.data(), cols, row, 0, cols, found.data());
      ASSERT_EQ(found, expected) << "row " << row << " of " << rows;
      unpack_row(twin, matrix.data(), cols, row, back.data());
      ASSERT_TRUE(std::equal(back.begin(), back.end(), original)) << "row " << row << " of " << rows;
    }
  }
}

TEST_P(Repack, RowsThatAreMissingAreZero) {
  const DType type = GetParam();
  const Bytes matrix = packed(type, random_rows(type, 3, 64, 11), 3, 64);
  std::vector<float> row(64);
  for (int64_t r = 3; r < kPackedRows; ++r) {
    decode_packed_row(*packed_twin(type), matrix.data(), 64, r, 0, 64, row.data());
    EXPECT_EQ(row, std::vector<float>(64, 0.0f)) << r;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Repack, testing::Values(DType::kQ4_0, DType::kQ8_0, DType::kMXFP4),
                         [](const auto& parameter) { return std::string(name(parameter.param)); });

TEST(Unpack, NarrowCodesKeepTheirValuesInQ8) {
  constexpr int64_t kCols = 64;
  for (const DType type :
       {DType::kPackedQ6, DType::kPackedQ3, DType::kPackedQ2, DType::kPackedQ4, DType::kPackedMXFP4}) {
    std::mt19937 random(3);
    Bytes matrix(static_cast<size_t>(packed_block_bytes(type, kCols)));
    for (std::byte& byte : matrix) byte = static_cast<std::byte>(random());
    if (type != DType::kPackedMXFP4)
      for (int64_t group = 0; group < kCols / kPackedGroup; ++group)
        for (int64_t at = 1; at < packed_scale_bytes(type); at += 2)
          matrix[static_cast<size_t>(packed_scales_offset(type, group) + at)] &= std::byte{0x3F};
    std::vector<float> expected(kCols);
    std::vector<float> found(kCols);
    Bytes row(static_cast<size_t>(row_bytes(row_twin(type), kCols)));
    for (int64_t r = 0; r < kPackedRows; ++r) {
      decode_packed_row(type, matrix.data(), kCols, r, 0, kCols, expected.data());
      unpack_row(type, matrix.data(), kCols, r, row.data());
      decode_row(row_twin(type), row.data(), found.data(), kCols);
      for (size_t c = 0; c < expected.size(); ++c)
        ASSERT_TRUE(found[c] == expected[c] || (std::isnan(found[c]) && std::isnan(expected[c])))
            << name(type) << " row " << r << " column " << c << ": " << found[c] << ", " << expected[c];
    }
  }
}

TEST(PackedTwin, OtherTypesHaveNone) {
  for (const DType type : {DType::kF32, DType::kBF16, DType::kQ4_K, DType::kQ6_K, DType::kPackedQ4})
    EXPECT_FALSE(packed_twin(type).has_value()) << name(type);
}

}  // namespace
}  // namespace cadre
