#include "cadre/text/jinja_text.h"

#include <gtest/gtest.h>

#include <limits>

namespace cadre::jinja {
namespace {

using Parts = std::vector<std::string_view>;

TEST(JinjaText, CountsCodePoints) {
  EXPECT_EQ(text_length("aé你😀"), 4u);
  EXPECT_EQ(byte_of("aé你😀", 2), 3u);
  EXPECT_EQ(byte_of("aé", 9), 3u);
  EXPECT_EQ(text_length(""), 0u);
}

TEST(JinjaText, StripsUnicodeWhiteSpaceOrGivenCharacters) {
  EXPECT_EQ(strip("\u3000 a b\t\n\u00a0", std::nullopt, Side::kBoth), "a b");
  EXPECT_EQ(strip("  a ", std::nullopt, Side::kLeft), "a ");
  EXPECT_EQ(strip("  a ", std::nullopt, Side::kRight), "  a");
  EXPECT_EQ(strip("éèxè", "èé", Side::kBoth), "x");
  EXPECT_EQ(strip("   ", std::nullopt, Side::kBoth), "");
}

TEST(JinjaText, SplitsAsPythonDoes) {
  EXPECT_EQ(split("a,b,,c", ",", -1), (Parts{"a", "b", "", "c"}));
  EXPECT_EQ(split("a,b,c", ",", 1), (Parts{"a", "b,c"}));
  EXPECT_EQ(split("", ",", -1), (Parts{""}));
  EXPECT_EQ(split(" a  b ", std::nullopt, -1), (Parts{"a", "b"}));
  EXPECT_EQ(split(" a  b  c ", std::nullopt, 1), (Parts{"a", "b  c "}));
  EXPECT_EQ(split("", std::nullopt, -1), (Parts{}));
  EXPECT_EQ(rsplit("a,b,c", ",", 1), (Parts{"a,b", "c"}));
  EXPECT_EQ(rsplit(" a b  c ", std::nullopt, 1), (Parts{" a b", "c"}));
  EXPECT_EQ(split_lines("a\r\nb\n\nc\u2028d", false), (Parts{"a", "b", "", "c", "d"}));
  EXPECT_EQ(split_lines("a\n", true), (Parts{"a\n"}));
}

TEST(JinjaText, ReplacesAlsoBetweenCodePoints) {
  EXPECT_EQ(replace_text("aaa", "a", "bb", 2), "bbbba");
  EXPECT_EQ(replace_text("é你", "", "-", -1), "-é-你-");
  EXPECT_EQ(replace_text("ab", "", "-", 2), "-a-b");
  EXPECT_EQ(replace_text("", "", "-", -1), "-");
  EXPECT_EQ(replace_text("abc", "x", "y", 0), "abc");
}

// Against the definition: walk from the start towards the stop.
TEST(JinjaText, SliceBoundsMatchTheDefinition) {
  for (int64_t length = 0; length < 5; ++length)
    for (int64_t start = -7; start < 8; ++start)
      for (int64_t stop = -7; stop < 8; ++stop)
        for (const int64_t step : {-7, -2, -1, 1, 2, 7}) {
          std::vector<int64_t> expected;
          const auto at = [&](int64_t index) { return index < 0 ? index + length : index; };
          const int64_t first = step > 0 ? std::max<int64_t>(at(start), 0) : std::min(at(start), length - 1);
          for (int64_t i = first;
               step > 0 ? i < std::min(at(stop), length) : i > std::max<int64_t>(at(stop), -1); i += step)
            expected.push_back(i);
          const SliceBounds bounds = slice_bounds(length, start, stop, step);
          std::vector<int64_t> found;
          for (int64_t i = 0; i < bounds.count; ++i) found.push_back(bounds.first + i * bounds.step);
          EXPECT_EQ(found, expected) << length << " [" << start << ":" << stop << ":" << step << "]";
        }
  const int64_t far = std::numeric_limits<int64_t>::max() / 4;
  EXPECT_EQ(slice_bounds(3, -far, far, far).count, 1);
  EXPECT_EQ(slice_bounds(3, std::nullopt, std::nullopt, -far).first, 2);
  EXPECT_EQ(slice_text("aé你😀", slice_bounds(4, std::nullopt, std::nullopt, -1)), "😀你éa");
}

TEST(JinjaText, QuotesAsPythonDoes) {
  EXPECT_EQ(quote_python("it's"), "\"it's\"");
  EXPECT_EQ(quote_python("'\""), "'\\'\"'");
  EXPECT_EQ(quote_python("a\n\t\\\x01\x7fé\u200b\U000e0001"), "'a\\n\\t\\\\\\x01\\x7fé\\u200b\\U000e0001'");
}

TEST(JinjaText, PrintsFloatsAsPythonDoes) {
  EXPECT_EQ(float_repr(1), "1.0");
  EXPECT_EQ(float_repr(-0.0), "-0.0");
  EXPECT_EQ(float_repr(0.1), "0.1");
  EXPECT_EQ(float_repr(1e15), "1000000000000000.0");
  EXPECT_EQ(float_repr(1e16), "1e+16");
  EXPECT_EQ(float_repr(1234567890123456.5), "1234567890123456.5");
  EXPECT_EQ(float_repr(0.0001), "0.0001");
  EXPECT_EQ(float_repr(0.00001), "1e-05");
  EXPECT_EQ(float_repr(5e-324), "5e-324");
  EXPECT_EQ(float_repr(-1.5e300), "-1.5e+300");
  EXPECT_EQ(float_repr(std::numeric_limits<double>::infinity()), "inf");
  EXPECT_EQ(float_repr(std::numeric_limits<double>::quiet_NaN()), "nan");
}

TEST(JinjaText, ChangesCase) {
  EXPECT_EQ(to_upper("straße é"), "STRASSE É");
  EXPECT_EQ(to_lower("ÄÉ"), "äé");
  EXPECT_EQ(capitalize("éCOLE"), "École");
  EXPECT_EQ(title_words("o'neil mc-donald 3x"), "O'Neil Mc-Donald 3X");
}

}  // namespace
}  // namespace cadre::jinja
