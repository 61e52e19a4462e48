#include "cadre/tensor/convert.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace cadre {
namespace {

uint32_t bits_of(float value) { return std::bit_cast<uint32_t>(value); }

/// The value of a small float from its fields, in the words of the definition: sign, exponent with `bias`,
/// fraction of `fraction_bits`; the lowest exponent is subnormal.
double from_fields(uint32_t code, int exponent_bits, int fraction_bits, int bias) {
  const auto fraction = static_cast<double>(code & ((1U << fraction_bits) - 1));
  const auto exponent = static_cast<int>((code >> fraction_bits) & ((1U << exponent_bits) - 1));
  const bool negative = ((code >> (fraction_bits + exponent_bits)) & 1U) != 0;
  const double significand = exponent == 0 ? fraction : fraction + std::ldexp(1.0, fraction_bits);
  const double magnitude = std::ldexp(significand, std::max(exponent, 1) - bias - fraction_bits);
  return negative ? -magnitude : magnitude;
}

/// Checks rounding at every boundary between neighbours: `codes` positive finite codes from 0 up, and the
/// code after them, infinity, which begins where its value would be if exponents went on.
template <typename Code>
void check_rounding(Code codes, int exponent_bits, int fraction_bits, int bias, Code (*encode)(float)) {
  const auto sign = static_cast<Code>(1U << (exponent_bits + fraction_bits));
  for (Code code = 0; code < codes; ++code) {
    const auto next = static_cast<Code>(code + 1);
    const double low = from_fields(code, exponent_bits, fraction_bits, bias);
    const double high = from_fields(next, exponent_bits, fraction_bits, bias);
    const auto middle = static_cast<float>((low + high) / 2);
    ASSERT_EQ(static_cast<double>(middle), (low + high) / 2) << "the boundary must be an f32";
    const Code even = code % 2 == 0 ? code : next;
    ASSERT_EQ(encode(middle), even) << code;
    ASSERT_EQ(encode(std::nextafter(middle, 0.0f)), code) << code;
    ASSERT_EQ(encode(std::nextafter(middle, std::numeric_limits<float>::infinity())), next) << code;
    ASSERT_EQ(encode(-middle), even | sign) << code;
    ASSERT_EQ(encode(static_cast<float>(low)), code) << code;
    ASSERT_EQ(encode(-static_cast<float>(low)), code | sign) << code;
  }
}

/// Infinities and NaNs of both signs; a NaN whose payload is only in the low bits must not become infinity.
template <typename Code>
void check_specials(Code (*encode)(float), float (*decode)(Code), Code infinity, Code sign) {
  EXPECT_EQ(encode(INFINITY), infinity);
  EXPECT_EQ(encode(-INFINITY), infinity | sign);
  EXPECT_EQ(encode(std::numeric_limits<float>::max()), infinity);
  EXPECT_EQ(decode(infinity), INFINITY);
  EXPECT_EQ(decode(infinity | sign), -INFINITY);
  for (const uint32_t bits : {0x7F800001U, 0x7FC00000U, 0x7FFFFFFFU, 0xFF800001U, 0xFFFFFFFFU}) {
    const Code code = encode(std::bit_cast<float>(bits));
    EXPECT_TRUE(std::isnan(decode(code))) << bits;
    EXPECT_EQ((code & sign) != 0, (bits >> 31) != 0) << bits;
    EXPECT_NE(bits_of(decode(code)) & 0x00400000U, 0U) << "quiet";
  }
}

TEST(Convert, F16DecodesEveryCode) {
  for (uint32_t code = 0; code < 0x10000; ++code) {
    const float value = f16_to_f32(static_cast<uint16_t>(code));
    if ((code & 0x7C00U) == 0x7C00U) {
      EXPECT_EQ(std::isnan(value), (code & 0x3FFU) != 0) << code;
      continue;
    }
    ASSERT_EQ(static_cast<double>(value), from_fields(code, 5, 10, 15)) << code;
    ASSERT_EQ(std::signbit(value), code >= 0x8000) << code;
    ASSERT_EQ(f32_to_f16(value), code);
  }
}

TEST(Convert, F16RoundsToNearestEven) {
  check_rounding<uint16_t>(0x7C00, 5, 10, 15, f32_to_f16);
  check_specials<uint16_t>(f32_to_f16, f16_to_f32, 0x7C00, 0x8000);
}

TEST(Convert, Bf16DecodesEveryCode) {
  for (uint32_t code = 0; code < 0x10000; ++code) {
    const float value = bf16_to_f32(static_cast<uint16_t>(code));
    ASSERT_EQ(bits_of(value), code << 16);
    if (std::isnan(value)) continue;
    ASSERT_EQ(f32_to_bf16(value), code);
  }
  EXPECT_EQ(static_cast<double>(bf16_to_f32(0x3FC0)), 1.5);
  EXPECT_EQ(round_to_bf16(1.0f + 0x1p-8f), 1.0f);
  EXPECT_EQ(round_to_bf16(1.0f + 0x3p-8f), 1.0f + 0x1p-6f);
}

TEST(Convert, Bf16RoundsToNearestEven) {
  check_rounding<uint16_t>(0x7F80, 8, 7, 127, f32_to_bf16);
  check_specials<uint16_t>(f32_to_bf16, bf16_to_f32, 0x7F80, 0x8000);
}

#if defined(__FLT16_MANT_DIG__)
TEST(Convert, F16AgreesWithTheCompiler) {
  __extension__ using Half = _Float16;
  uint32_t state = 1;
  for (int i = 0; i < 2000000; ++i) {
    state = state * 1664525U + 1013904223U;
    const auto value = std::bit_cast<float>(state);
    if (std::isnan(value)) continue;
    ASSERT_EQ(f32_to_f16(value), std::bit_cast<uint16_t>(static_cast<Half>(value))) << state;
  }
}
#endif

TEST(Convert, F8E4M3DecodesEveryCode) {
  for (uint32_t code = 0; code < 256; ++code) {
    const float value = f8e4m3_to_f32(static_cast<uint8_t>(code));
    if ((code & 0x7FU) == 0x7FU) {
      EXPECT_TRUE(std::isnan(value)) << code;
      continue;
    }
    EXPECT_EQ(static_cast<double>(value), from_fields(code, 4, 3, 7)) << code;
    EXPECT_EQ(std::signbit(value), code >= 0x80) << code;
  }
  EXPECT_EQ(f8e4m3_to_f32(0x7E), 448.0f);
  EXPECT_EQ(f8e4m3_to_f32(0x01), 0x1p-9f);
}

TEST(Convert, F8E8M0DecodesEveryCode) {
  for (int code = 0; code < 255; ++code)
    EXPECT_EQ(static_cast<double>(f8e8m0_to_f32(static_cast<uint8_t>(code))), std::ldexp(1.0, code - 127))
        << code;
  EXPECT_TRUE(std::isnan(f8e8m0_to_f32(255)));
}

TEST(Convert, E2M1Values) {
  for (uint32_t code = 0; code < 16; ++code) {
    EXPECT_EQ(static_cast<double>(kE2M1[code]), from_fields(code, 2, 1, 1)) << code;
    EXPECT_EQ(std::signbit(kE2M1[code]), code >= 8) << code;
  }
}

}  // namespace
}  // namespace cadre
