#include "cadre/text/pre_tokenizer.h"

#include <gtest/gtest.h>

#include <random>

#include "cadre/text/pre_tokenizer_unicode.h"
#include "cadre/text/utf8.h"

namespace cadre {
namespace {

class Collector final : public PieceSink {
 public:
  void piece(std::string_view piece) override {
    if (!joined_.empty()) joined_ += '|';
    joined_ += piece;
    whole_ += piece;
  }
  const std::string& joined() const { return joined_; }
  const std::string& whole() const { return whole_; }

 private:
  std::string joined_;
  std::string whole_;
};

std::string pieces(const PreTokenizer& splitter, std::string_view text) {
  PreTokenizerWorkspace workspace;
  Collector collector;
  splitter.split(text, workspace, collector);
  return collector.joined();
}

PreTokenizerStage stage(std::string_view pattern, SplitBehavior behavior = SplitBehavior::kIsolated,
                        bool invert = false) {
  Result<Regex> regex = Regex::compile(pattern);
  EXPECT_TRUE(regex.has_value()) << regex.error().message;
  return {.pattern = *regex, .behavior = behavior, .invert = invert};
}

PreTokenizer named(std::string_view name) { return PreTokenizer(pre_tokenizer_by_name(name)->stages); }

TEST(PreTokenizer, Behaviors) {
  const auto split = [](SplitBehavior behavior, bool invert = false) {
    return pieces(PreTokenizer({stage("-", behavior, invert)}), "the-final--countdown-");
  };
  EXPECT_EQ(split(SplitBehavior::kIsolated), "the|-|final|-|-|countdown|-");
  EXPECT_EQ(split(SplitBehavior::kRemoved), "the|final|countdown");
  EXPECT_EQ(split(SplitBehavior::kMergedWithPrevious), "the-|final-|-|countdown-");
  EXPECT_EQ(split(SplitBehavior::kMergedWithNext), "the|-final|-|-countdown|-");
  EXPECT_EQ(split(SplitBehavior::kContiguous), "the|-|final|--|countdown|-");
  EXPECT_EQ(split(SplitBehavior::kRemoved, true), "-|-|-|-");
}

TEST(PreTokenizer, StagesSeeOnlyTheirPiece) {
  // One combined expression would take " 1234" otherwise.
  EXPECT_EQ(pieces(named("deepseek-v3"), "a 12345 b"), "a| |123|45| b");
  EXPECT_EQ(pieces(PreTokenizer({stage("x"), stage("a$")}), "baxa"), "b|a|x|a");
}

TEST(PreTokenizer, EmptyMatchesCutWithoutAPiece) {
  EXPECT_EQ(pieces(PreTokenizer({stage("(?=b)")}), "abab\u00E9b"), "a|ba|b\u00E9|b");
  EXPECT_EQ(pieces(PreTokenizer({stage("x*")}), "axxb"), "a|xx|b");
  EXPECT_EQ(pieces(PreTokenizer({stage("(?=.)")}), "\u00E9\u4E2Db"), "\u00E9|\u4E2D|b");
}

TEST(PreTokenizer, PrefixSpace) {
  PreTokenizerStage byte_level = stage(kGpt2Pattern);
  byte_level.add_prefix_space = true;
  const PreTokenizer splitter({byte_level});
  EXPECT_EQ(pieces(splitter, "Hi you"), " Hi| you");
  EXPECT_EQ(pieces(splitter, " Hi"), " Hi");
}

TEST(PreTokenizer, PublishedPatterns) {
  EXPECT_EQ(pieces(named("gpt-2"), "I'll  go 12.5km\n\n x"), "I|'ll| | go| 12|.|5|km|\n\n| x");
  EXPECT_EQ(pieces(named("llama-bpe"), "I'LL go12345!\r\n x"), "I|'LL| go|123|45|!\r\n| x");
  EXPECT_EQ(pieces(named("qwen2"), "a12"), "a|1|2");
  EXPECT_EQ(pieces(named("deepseek-v3"), "f(x)=\u6BD5\u8001\u5E08!\n\n  Go \t1"),
            "f|(x|)=|\u6BD5\u8001\u5E08|!\n\n| | Go| \t|1");
  EXPECT_EQ(pieces(named("deepseek-llm"), "\u00C9t\u00E9 \u10D0 a,b\r\n12 \u4E2D\u6587x  "),
            "\u00C9|t|\u00E9| |\u10D0| a|,|b|\r|\n|12| |\u4E2D\u6587|x|  ");
  EXPECT_EQ(pieces(named("deepseek-coder"), "int a1;\n\tb = 23"), "int| a|1|;|\n|\tb| = |2|3");
  EXPECT_EQ(pieces(named("default"), "a=1234"), "a|=|123|4");
}

TEST(PreTokenizer, UnknownNameListsTheKnownOnes) {
  const auto result = pre_tokenizer_by_name("gpt-5");
  ASSERT_FALSE(result.has_value());
  EXPECT_NE(result.error().message.find("'deepseek-v3'"), std::string::npos);
  EXPECT_NE(result.error().message.find("found 'gpt-5'"), std::string::npos);
}

TEST(PreTokenizer, PiecesOfRandomTextAddUp) {
  std::mt19937 random(3);
  for (const std::string_view name :
       {"gpt-2", "default", "deepseek-llm", "deepseek-coder", "deepseek-v3", "qwen2"}) {
    const PreTokenizer splitter = named(name);
    PreTokenizerWorkspace workspace;
    for (int round = 0; round < 200; ++round) {
      std::string text;
      for (size_t i = random() % 40; i > 0; --i) {
        const char32_t limits[] = {0x80, 0x3100, 0x110000};
        append_utf8(text, static_cast<char32_t>(random() % limits[random() % 3]));
      }
      Collector collector;
      splitter.split(text, workspace, collector);
      ASSERT_EQ(collector.whole(), text) << name;
    }
  }
}

TEST(PreTokenizer, RunawayPatternLeavesTheRestWhole) {
  // Exponential: PCRE2 stops at its limit. "b" before it is still cut, and the result is always the same.
  const PreTokenizer splitter({stage("b|(a+a+)+c")});
  const std::string run(64, 'a');
  EXPECT_EQ(pieces(splitter, "xb" + run + "yb"), "x|b|" + run + "yb");
}

TEST(Unicode16, NewCharactersMatchTheirCategory) {
  // U+1FAE8, a face of Unicode 15, is a symbol: with the blank before it, it is one piece.
  EXPECT_EQ(pieces(named("deepseek-v3"), "a \U0001FAE8\U0001FAE8!"), "a| \U0001FAE8\U0001FAE8!");
  // A letter of Unicode 15 (CJK extension H), a digit of 15 (Kawi), a letter of 16 (Garay).
  EXPECT_EQ(pieces(named("deepseek-v3"), " \U00031350\U00010D50\U00011F50"),
            " \U00031350\U00010D50|\U00011F50");
}

TEST(Unicode16, MongolianVowelSeparatorIsNoSpace) {
  EXPECT_EQ(pieces(PreTokenizer({stage("\\s+")}), "a\u180E\u2003b"), "a\u180E|\u2003|b");
}

TEST(Unicode16, StandInsHaveTheSameLength) {
  int replaced = 0;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    const char32_t by = stand_in(c);
    replaced += by != c ? 1 : 0;
    std::string original;
    std::string other;
    append_utf8(original, c);
    append_utf8(other, by);
    ASSERT_EQ(original.size(), other.size()) << std::hex << static_cast<uint32_t>(c);
    ASSERT_EQ(stand_in(by), by);
    ASSERT_TRUE(by == c || c >= 0x800) << "two-byte characters are skipped by the search";
  }
  EXPECT_EQ(replaced, 10303);
}

}  // namespace
}  // namespace cadre
