#include "cadre/text/utf8.h"

#include <gtest/gtest.h>

#include <random>

namespace cadre {
namespace {

TEST(Utf8, EveryCodePointSurvives) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(text, c);
    const Utf8Char decoded = decode_utf8(text, 0);
    ASSERT_EQ(decoded.kind, Utf8Kind::kValid) << std::hex << static_cast<uint32_t>(c);
    ASSERT_EQ(decoded.code_point, c);
    ASSERT_EQ(decoded.length, text.size());
  }
}

TEST(Utf8, WhatIsNotACharacterBecomesReplacement) {
  std::string text;
  append_utf8(text, 0xD800);
  append_utf8(text, 0x110000);
  EXPECT_EQ(text, "\uFFFD\uFFFD");
}

TEST(Utf8, RefusesOverlongSurrogatesAndBeyond) {
  for (const char* bad : {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80",
                          "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"}) {
    EXPECT_EQ(valid_utf8_prefix(bad), 0u);
    EXPECT_EQ(decode_utf8(bad, 0).kind, Utf8Kind::kInvalid);
    EXPECT_EQ(decode_utf8(bad, 0).length, 1u);
  }
}

TEST(Utf8, ReplacesMaximalSubparts) {
  // The example of the Unicode Standard, table 3-11.
  EXPECT_EQ(replace_invalid_utf8("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64"),
            "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd");
  EXPECT_EQ(replace_invalid_utf8("\xE2\x82"), "\uFFFD");
  EXPECT_EQ(replace_invalid_utf8("plain \u20AC"), "plain \u20AC");
}

TEST(Utf8, ValidPrefixEndsBeforeTheFirstError) {
  EXPECT_EQ(valid_utf8_prefix(""), 0u);
  EXPECT_EQ(valid_utf8_prefix("0123456789abcdef\xFF"), 16u);
  EXPECT_EQ(valid_utf8_prefix("0123456\u00E9\xC3"), 9u);
  EXPECT_TRUE(is_valid_utf8(std::string_view("a\0b", 3)));
}

TEST(Utf8, WhiteSpaceIsUnicodes) {
  for (const char32_t c : {0x09, 0x0B, 0x20, 0x85, 0xA0, 0x1680, 0x2003, 0x2028, 0x202F, 0x205F, 0x3000}) {
    EXPECT_TRUE(is_white_space(c)) << std::hex << static_cast<uint32_t>(c);
  }
  for (const char32_t c : {0x08, 0x1F, 0x180E, 0x200B, 0xFEFF}) {
    EXPECT_FALSE(is_white_space(c)) << std::hex << static_cast<uint32_t>(c);
  }
}

TEST(Utf8Stream, ResultDoesNotDependOnTheCuts) {
  const std::string text = "a\u00E9\u20AC\U0001F600\xF0\x9F\x98z\xE2\x82\xED\xA0\x80\xFF\U00010348\xC3";
  const std::string expected = replace_invalid_utf8(text);
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    Utf8Stream stream;
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const size_t count = random() % 4;
      const std::string part = stream.push(std::string_view(text).substr(at, count));
      ASSERT_TRUE(is_valid_utf8(part));
      out += part;
      at += std::min(count, text.size() - at);
    }
    out += stream.finish();
    ASSERT_EQ(out, expected);
  }
}

TEST(Utf8Stream, HoldsBackOnlyWhatMayBecomeACharacter) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("\xF0\x9F"), "");
  EXPECT_EQ(stream.push("\x98"), "");
  EXPECT_EQ(stream.push("\x80!"), "\U0001F600!");
  EXPECT_EQ(stream.push("\xE2"), "");
  EXPECT_EQ(stream.push("x"), "\uFFFDx");
  EXPECT_EQ(stream.finish(), "");
}

}  // namespace
}  // namespace cadre
