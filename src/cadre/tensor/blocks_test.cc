#include "cadre/tensor/blocks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "cadre/tensor/convert.h"
#include "cadre/tensor/tensor.h"

namespace cadre {
namespace {

std::mt19937 g_random(7);
int random_below(int limit) { return static_cast<int>(g_random() % static_cast<unsigned>(limit)); }

template <typename Block>
std::vector<float> decode(DType dtype, const Block& block) {
  std::vector<float> out(static_cast<size_t>(info(dtype).block_elements));
  decode_row(dtype, &block, out.data(), info(dtype).block_elements);
  return out;
}

/// A finite f16 whose size is that of a scale.
uint16_t random_scale() { return f32_to_f16(static_cast<float>(random_below(2000) - 1000) / 4096.0f); }

TEST(Blocks, Q8_0) {
  for (int trial = 0; trial < 100; ++trial) {
    BlockQ8_0 block{random_scale(), {}};
    for (int8_t& q : block.q) q = static_cast<int8_t>(random_below(256) - 128);
    const std::vector<float> out = decode(DType::kQ8_0, block);
    for (size_t i = 0; i < 32; ++i) ASSERT_EQ(out[i], f16_to_f32(block.d) * static_cast<float>(block.q[i]));
  }
}

TEST(Blocks, Q4_0ByHand) {
  BlockQ4_0 block{f32_to_f16(0.5f), {}};
  block.q[0] = 0xF0;   // element 0: 0 - 8, element 16: 15 - 8
  block.q[15] = 0x19;  // element 15: 9 - 8, element 31: 1 - 8
  const std::vector<float> out = decode(DType::kQ4_0, block);
  EXPECT_EQ(out[0], -4.0f);
  EXPECT_EQ(out[16], 3.5f);
  EXPECT_EQ(out[15], 0.5f);
  EXPECT_EQ(out[31], -3.5f);
  EXPECT_EQ(out[1], -4.0f);
}

TEST(Blocks, Q4_0) {
  for (int trial = 0; trial < 100; ++trial) {
    BlockQ4_0 block{random_scale(), {}};
    std::vector<float> expected(32);
    for (size_t i = 0; i < 32; ++i) {
      const int nibble = random_below(16);
      block.q[i % 16] = static_cast<uint8_t>(block.q[i % 16] | nibble << (i < 16 ? 0 : 4));
      expected[i] = f16_to_f32(block.d) * static_cast<float>(nibble - 8);
    }
    ASSERT_EQ(decode(DType::kQ4_0, block), expected);
  }
}

TEST(Blocks, MXFP4ByHand) {
  BlockMXFP4 block{128, {}};  // scale 2
  block.q[0] = 0x72;          // element 0: 1, element 16: 6
  block.q[1] = 0x9F;          // element 1: -6, element 17: -0.5
  const std::vector<float> out = decode(DType::kMXFP4, block);
  EXPECT_EQ(out[0], 2.0f);
  EXPECT_EQ(out[16], 12.0f);
  EXPECT_EQ(out[1], -12.0f);
  EXPECT_EQ(out[17], -1.0f);
  EXPECT_EQ(out[2], 0.0f);
}

TEST(Blocks, MXFP4EveryScale) {
  for (int e = 0; e < 255; ++e) {
    BlockMXFP4 block{static_cast<uint8_t>(e), {}};
    for (size_t j = 0; j < 16; ++j) block.q[j] = static_cast<uint8_t>(j | (15 - j) << 4);
    const std::vector<float> out = decode(DType::kMXFP4, block);
    for (size_t j = 0; j < 16; ++j) {
      ASSERT_EQ(out[j], static_cast<float>(std::ldexp(static_cast<double>(kE2M1[j]), e - 127))) << e;
      ASSERT_EQ(out[16 + j], static_cast<float>(std::ldexp(static_cast<double>(kE2M1[15 - j]), e - 127)))
          << e;
    }
  }
}

/// Q4_K from its meaning: eight sub-blocks of 32 values of 4 bits, each with a scale and a minimum of 6 bits.
struct MeaningQ4_K {
  uint16_t d, dmin;
  int scale[8], minimum[8], q[256];
};

/// Packs by the layout: of sub-blocks 0-3 the 6 bits are whole in bytes 0-3 (scales) and 4-7 (minimums); of
/// 4-7 the low 4 bits share bytes 8-11 and the high 2 bits fill the tops of bytes 0-7.
BlockQ4_K pack(const MeaningQ4_K& meaning) {
  BlockQ4_K block{meaning.d, meaning.dmin, {}, {}};
  const auto add = [](uint8_t& byte, int bits) { byte = static_cast<uint8_t>(byte | bits); };
  for (size_t j = 0; j < 4; ++j) {
    add(block.scales[j], meaning.scale[j] | (meaning.scale[j + 4] >> 4) << 6);
    add(block.scales[j + 4], meaning.minimum[j] | (meaning.minimum[j + 4] >> 4) << 6);
    add(block.scales[j + 8], (meaning.scale[j + 4] & 15) | (meaning.minimum[j + 4] & 15) << 4);
  }
  for (size_t pair = 0; pair < 4;
       ++pair)  // two sub-blocks share 32 bytes: first in the low, second in the high half
    for (size_t l = 0; l < 32; ++l)
      add(block.q[32 * pair + l], meaning.q[64 * pair + l] | meaning.q[64 * pair + 32 + l] << 4);
  return block;
}

TEST(Blocks, Q4_K) {
  for (int trial = 0; trial < 100; ++trial) {
    MeaningQ4_K meaning{random_scale(), random_scale(), {}, {}, {}};
    for (int& scale : meaning.scale) scale = random_below(64);
    for (int& minimum : meaning.minimum) minimum = random_below(64);
    for (int& q : meaning.q) q = random_below(16);
    const std::vector<float> out = decode(DType::kQ4_K, pack(meaning));
    for (size_t i = 0; i < 256; ++i) {
      const float step = f16_to_f32(meaning.d) * static_cast<float>(meaning.scale[i / 32]);
      const float offset = f16_to_f32(meaning.dmin) * static_cast<float>(meaning.minimum[i / 32]);
      const float product = step * static_cast<float>(meaning.q[i]);
      ASSERT_EQ(out[i], product - offset) << i;
    }
  }
}

TEST(Blocks, Q6_K) {
  for (int trial = 0; trial < 100; ++trial) {
    BlockQ6_K block{};
    block.d = random_scale();
    for (uint8_t& byte : block.ql) byte = static_cast<uint8_t>(random_below(256));
    for (uint8_t& byte : block.qh) byte = static_cast<uint8_t>(random_below(256));
    for (int8_t& scale : block.scales) scale = static_cast<int8_t>(random_below(256) - 128);
    const std::vector<float> out = decode(DType::kQ6_K, block);
    const auto expect = [&](size_t i, int low,
                            int high) {  // one scale per 16 values, whatever the bits' place
      const float step = f16_to_f32(block.d) * static_cast<float>(block.scales[i / 16]);
      ASSERT_EQ(out[i], step * static_cast<float>(low + 16 * high - 32)) << i;
    };
    for (size_t l = 0; l < 32; ++l) {
      expect(l, block.ql[l] % 16, block.qh[l] % 4);
      expect(32 + l, block.ql[32 + l] % 16, block.qh[l] / 4 % 4);
      expect(64 + l, block.ql[l] / 16, block.qh[l] / 16 % 4);
      expect(96 + l, block.ql[32 + l] / 16, block.qh[l] / 64);
      expect(128 + l, block.ql[64 + l] % 16, block.qh[32 + l] % 4);
      expect(160 + l, block.ql[96 + l] % 16, block.qh[32 + l] / 4 % 4);
      expect(192 + l, block.ql[64 + l] / 16, block.qh[32 + l] / 16 % 4);
      expect(224 + l, block.ql[96 + l] / 16, block.qh[32 + l] / 64);
    }
  }
}

TEST(Blocks, PlainTypes) {
  const uint16_t halves[] = {f32_to_f16(1.5f), f32_to_f16(-2.0f), 0x0001};
  float out[3];
  decode_row(DType::kF16, halves, out, 3);
  EXPECT_EQ(out[0], 1.5f);
  EXPECT_EQ(out[1], -2.0f);
  EXPECT_EQ(out[2], 0x1p-24f);
  const uint16_t brains[] = {0x3F80, 0xC040, 0x0001};
  decode_row(DType::kBF16, brains, out, 3);
  EXPECT_EQ(out[0], 1.0f);
  EXPECT_EQ(out[1], -3.0f);
  EXPECT_EQ(out[2], 0x1p-133f);
  const uint8_t bytes[] = {0x38, 0xFE, 0x01};
  decode_row(DType::kF8E4M3, bytes, out, 3);
  EXPECT_EQ(out[0], 1.0f);
  EXPECT_EQ(out[1], -448.0f);
  EXPECT_EQ(out[2], 0x1p-9f);
  const float floats[] = {0.1f, -INFINITY, 3e38f};
  decode_row(DType::kF32, floats, out, 3);
  EXPECT_EQ(0, std::memcmp(out, floats, sizeof(out)));
}

TEST(Blocks, SourcesNeedNoAlignment) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (!is_weight_dtype(dtype) || is_packed(dtype)) continue;
    const int64_t elements = 3 * info(dtype).block_elements;
    const auto bytes = static_cast<size_t>(row_bytes(dtype, elements));
    std::vector<uint8_t> source(bytes + 1);
    for (uint8_t& byte : source) byte = static_cast<uint8_t>(random_below(0x70));
    std::vector<float> odd(static_cast<size_t>(elements));
    decode_row(dtype, source.data() + 1, odd.data(), elements);
    const std::vector<uint8_t> moved(source.begin() + 1, source.end());
    std::vector<float> even(odd.size());
    decode_row(dtype, moved.data(), even.data(), elements);
    EXPECT_EQ(0, std::memcmp(odd.data(), even.data(), odd.size() * sizeof(float))) << name(dtype);
    decode_row(dtype, source.data(), odd.data(), 0);  // no element: nothing is touched
  }
}

TEST(BlocksDeathTest, OnlyWeightTypesDecode) {
  float out = 0;
  const uint8_t byte = 0;
  EXPECT_DEATH(decode_row(DType::kI8, &byte, &out, 1), "I8 is not a weight type");
}

/// 5 x 7 codes of 1.0 (E4M3 0x38) in blocks of 2 x 3, each block with a scale of its own.
TEST(DecodeWeightRow, MultipliesByTheBlockScale) {
  const std::vector<uint8_t> codes(35, 0x38);
  const std::vector<float> scales = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  Weight w{reinterpret_cast<const std::byte*>(codes.data()), DType::kF8E4M3, 5, 7, 7};
  w.scales = scales.data();
  w.scale_stride = 3;
  w.block_rows = 2;
  w.block_cols = 3;
  const Weight tail = w.slice_rows(3, 2);  // begins inside a block
  for (int64_t r = 0; r < 5; ++r) {
    float out[7];
    decode_weight_row(w, r, out);
    for (int64_t c = 0; c < 7; ++c)
      EXPECT_EQ(out[c], scales[static_cast<size_t>(r / 2 * 3 + c / 3)]) << r << " " << c;
    if (r < 3) continue;
    float sliced[7];
    decode_weight_row(tail, r - 3, sliced);
    EXPECT_EQ(0, std::memcmp(out, sliced, sizeof(out)));
  }
}

}  // namespace
}  // namespace cadre
