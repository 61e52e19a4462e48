#include "cadre/text/added_tokens.h"

#include <gtest/gtest.h>

namespace cadre {
namespace {

/// "text|[id:text]|..." of the parts.
std::string show(const AddedTokens& tokens, std::string_view text) {
  std::string out;
  for (const AddedTokens::Part& part : tokens.split(text)) {
    if (!out.empty()) out += '|';
    if (part.id == AddedTokens::Part::kText) {
      out += part.text;
    } else {
      out += "[" + std::to_string(part.id) + ":" + std::string(part.text) + "]";
    }
  }
  return out;
}

TEST(AddedTokens, NoneLeavesTheTextWhole) {
  const AddedTokens none({});
  EXPECT_EQ(show(none, "abc"), "abc");
  EXPECT_EQ(show(none, ""), "");
}

TEST(AddedTokens, LongestWinsAndSearchGoesOnBehindIt) {
  const AddedTokens tokens(
      {{.content = "<a", .id = 1}, {.content = "<a>", .id = 2}, {.content = ">", .id = 3}});
  EXPECT_EQ(show(tokens, "x<a>>y<a<b"), "x|[2:<a>]|[3:>]|y|[1:<a]|<b");
}

TEST(AddedTokens, APrefixOfATokenIsText) {
  const AddedTokens tokens({{.content = "<think>", .id = 1}});
  EXPECT_EQ(show(tokens, "<thin<think><think"), "<thin|[1:<think>]|<think");
}

TEST(AddedTokens, NormalizedOnesAreLookedForInTheRest) {
  const AddedTokens tokens({{.content = "abcd", .id = 1, .normalized = true}, {.content = "bc", .id = 2}});
  EXPECT_EQ(show(tokens, "abcd"), "a|[2:bc]|d");
  EXPECT_EQ(show(AddedTokens({{.content = "abcd", .id = 1}, {.content = "bc", .id = 2}}), "abcd"),
            "[1:abcd]");
}

TEST(AddedTokens, StripTakesWhiteSpaceAlong) {
  const AddedTokens left({{.content = "<l>", .id = 1, .left_strip = true}});
  EXPECT_EQ(show(left, "a \t\u3000<l> b"), "a|[1: \t\u3000<l>]| b");
  EXPECT_EQ(show(left, "  <l>"), "[1:  <l>]");
  const AddedTokens right({{.content = "<r>", .id = 1, .right_strip = true}});
  EXPECT_EQ(show(right, "a <r> \n\u00A0b"), "a |[1:<r> \n\u00A0]|b");
  const AddedTokens both({{.content = "<b>", .id = 1, .left_strip = true, .right_strip = true}});
  EXPECT_EQ(show(both, "<b> <b>"), "[1:<b> ]|[1:<b>]");
  EXPECT_EQ(show(both, "\x85 <b>"), "\x85|[1: <b>]") << "half a character is no space";
}

TEST(AddedTokens, SingleWordStandsAlone) {
  const AddedTokens tokens({{.content = "ab", .id = 1, .single_word = true}});
  EXPECT_EQ(show(tokens, "ab cab abc (ab) ab"), "[1:ab]| cab abc (|[1:ab]|) |[1:ab]");
  EXPECT_EQ(show(tokens, "ab\u00E9 \u4E2Dab ab\u0301 ab\u200D"), "ab\u00E9 \u4E2Dab ab\u0301 ab\u200D");
  EXPECT_EQ(show(tokens,
                 "\xFF"
                 "ab\xFF"),
            "\xFF|[1:ab]|\xFF");
}

TEST(AddedTokens, WorksOnAnyBytes) {
  const AddedTokens tokens({{.content = "\uFF5C", .id = 1}});
  EXPECT_EQ(show(tokens, "\xEF\xBD\uFF5C\xEF"), "\xEF\xBD|[1:\uFF5C]|\xEF");
}

}  // namespace
}  // namespace cadre
