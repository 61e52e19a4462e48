#include "cadre/text/pre_tokenizer_regex.h"

#include <gtest/gtest.h>

namespace cadre {
namespace {

std::string translated(std::string_view pattern) {
  const auto result = pcre2_from_oniguruma(pattern);
  return result ? *result : "error: " + result.error().message;
}

TEST(OnigurumaDialect, WhatBothUnderstandStays) {
  for (const char* same :
       {R"(\p{N}{1,3})", R"([^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)", R"(\s+(?!\S)|\s+)",
        R"((?i:'s|'t)|(?<=a)b++|.*?\.)", R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+)",
        "[\u4E00-\u9FA5]+", R"(\P{Lu}\p{^Lu})"}) {
    EXPECT_EQ(translated(same), same);
  }
}

TEST(OnigurumaDialect, WhatDiffersIsRewritten) {
  EXPECT_EQ(translated(R"(\p{Han})"), R"(\p{sc:Han})");
  EXPECT_EQ(translated(R"(\p{Letter}\P{Decimal_Number})"), R"(\p{L}\P{Nd})");
  EXPECT_EQ(translated(R"(\w[\w-])"), R"([\p{L}\p{M}\p{N}\p{Pc}][\p{L}\p{M}\p{N}\p{Pc}-])");
  EXPECT_EQ(translated(R"(\v\h)"), R"(\x{0B}[0-9A-Fa-f])");
  EXPECT_EQ(translated(R"(\u3040\x41\x{1F600})"), R"(\x{3040}\x{41}\x{1F600})");
  EXPECT_EQ(translated(R"(a{,3}b{x)"), R"(a{0,3}b\{x)");
  EXPECT_EQ(translated(R"(\s+$)"), R"((?<!\s)\s+$)");
}

TEST(OnigurumaDialect, WhatWouldMeanSomethingElseIsRefused) {
  for (const char* pattern : {R"(\bword)",    R"([a&&b])", R"([a[b]])",  R"([[:alpha:]])",
                              R"(a{2}+)",     R"(a{2}?)",  R"((?m:a))",  R"(a(?i)b|c)",
                              R"((?<n>a))",   R"((?#c))",  R"((*FAIL))", R"(\1)",
                              R"(\R)",        R"(\X)",     R"(\K)",      R"(\pL)",
                              R"(\p{Alpha})", R"(\p{L)",   R"(\xE9)",    R"(\x{110000000})",
                              R"(\u12)",      R"([abc)",   R"([])",      "a\\",
                              R"([\b])",      R"([\W])",   R"(\C)",      "\xFF"}) {
    EXPECT_TRUE(translated(pattern).starts_with("error: ")) << pattern << " became " << translated(pattern);
  }
}

TEST(Regex, MalformedPatternsAreErrors) {
  for (const char* pattern : {"(a", "a)", "*", "[b-a]", R"(\p{Klingon})", R"(\x{FFFFFF})"}) {
    const auto regex = Regex::compile(pattern);
    ASSERT_FALSE(regex.has_value()) << pattern;
    EXPECT_FALSE(regex.error().message.empty());
  }
}

TEST(Regex, FindsTheFirstMatchFromAPlace) {
  const Regex regex = *Regex::compile("b+");
  RegexWorkspace workspace;
  const auto first = regex.find("abbab", 0, workspace);
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->begin, 1u);
  EXPECT_EQ(first->end, 3u);
  EXPECT_EQ(regex.find("abbab", 3, workspace)->begin, 4u);
  EXPECT_FALSE(regex.find("abbab", 5, workspace).has_value());
}

TEST(Regex, DollarIsTheEndOfALine) {
  const Regex regex = *Regex::compile("a$");
  RegexWorkspace workspace;
  EXPECT_EQ(regex.find("ab\r\naa\nb", 0, workspace)->begin, 5u);
  EXPECT_FALSE(regex.find("ab a\r", 0, workspace).has_value());
}

TEST(Regex, CaseIsFoldedByUnicode) {
  const Regex regex = *Regex::compile("(?i:'s)");
  RegexWorkspace workspace;
  EXPECT_TRUE(regex.find("'S", 0, workspace).has_value());
  EXPECT_TRUE(regex.find("'\u017F", 0, workspace).has_value());
}

TEST(Regex, MoreGroupsThanTheWorkspaceHasRoomFor) {
  const Regex regex = *Regex::compile("(a)(b)(c)(d)");
  RegexWorkspace workspace;
  EXPECT_EQ(regex.find("xabcd", 0, workspace)->end, 5u);
}

TEST(EscapePattern, MatchesLiterally) {
  const std::string text = "a.b*[c]\\ \t\n{2}(?:\u00E9)$^|#-" + std::string(1, '\0');
  const auto regex = Regex::compile(escape_pattern(text));
  ASSERT_TRUE(regex.has_value()) << regex.error().message;
  RegexWorkspace workspace;
  const auto match = regex->find("xx" + text + "yy", 0, workspace);
  ASSERT_TRUE(match.has_value());
  EXPECT_EQ(match->begin, 2u);
  EXPECT_EQ(match->end, 2 + text.size());
}

}  // namespace
}  // namespace cadre
