#include "cadre/text/tokenizer.h"

#include <gtest/gtest.h>

#include <ctime>
#include <random>
#include <thread>

#include "cadre/text/stream_decoder.h"
#include "cadre/text/tokenizer_testing.h"
#include "cadre/text/utf8.h"

namespace cadre {
namespace {

using Ids = std::vector<int32_t>;

Json with_special_tokens() {
  Json json = small_tokenizer_json();
  json["added_tokens"] =
      Json::array({added_token(300, "<bos>"), added_token(301, "<eos>"), added_token(302, "<think>", false)});
  return json;
}

/// Merges over common bytes of several kinds, so that pieces of any text have some.
Tokenizer small_tokenizer() {
  Json json =
      small_tokenizer_json({"a b", "ab c", "Ġ ab", "a a", "aa aa", "Ġ Ġ", "ä ½", "ä½ ł", "ÿ ÿ", "1 2"});
  json["added_tokens"] = with_special_tokens()["added_tokens"];
  return tokenizer_from(json).value();
}

TEST(Tokenizer, ConfigNamesTheSpecialTokens) {
  Tokenizer tokenizer = small_tokenizer();
  EXPECT_EQ(tokenizer.bos(), std::nullopt);
  EXPECT_FALSE(tokenizer.adds_bos());
  const Json config = {{"bos_token", "<bos>"},
                       {"eos_token", {{"content", "<eos>"}, {"lstrip", false}}},
                       {"add_bos_token", true},
                       {"unk_token", nullptr}};
  const Tokenizer before = tokenizer;
  ASSERT_TRUE(tokenizer.apply_config(JsonFields(config, "tokenizer_config.json")).has_value());
  EXPECT_EQ(tokenizer.bos(), 300);
  EXPECT_EQ(tokenizer.eos(), 301);
  EXPECT_TRUE(tokenizer.adds_bos());
  EXPECT_FALSE(tokenizer.adds_eos());
  EXPECT_EQ(before.bos(), std::nullopt) << "copies share the vocabulary only";
}

TEST(Tokenizer, BadConfigChangesNothing) {
  Tokenizer tokenizer = small_tokenizer();
  const auto error = [&](const Json& config) {
    const Status status = tokenizer.apply_config(JsonFields(config, "tokenizer_config.json"));
    return status ? "no error" : status.error().message;
  };
  EXPECT_EQ(error({{"bos_token", "<bos>"}, {"eos_token", "<nope>"}}),
            "tokenizer_config.json: field 'eos_token': the token '<nope>' is not in the vocabulary");
  EXPECT_EQ(tokenizer.bos(), std::nullopt);
  EXPECT_NE(error({{"bos_token", 5}}).find("expected a string or an object with 'content'"),
            std::string::npos);
  EXPECT_NE(error({{"bos_token", Json::object()}}).find("'bos_token'"), std::string::npos);
  EXPECT_NE(error({{"add_bos_token", "yes"}}).find("'add_bos_token'"), std::string::npos);
}

TEST(Tokenizer, ExactlyOneBos) {
  Tokenizer tokenizer = small_tokenizer();
  EXPECT_EQ(tokenizer.encode("ab", {.add_bos = true}).error().message,
            "a BOS token is asked for, but this vocabulary names none");
  const Json config = {{"bos_token", "<bos>"}};
  ASSERT_TRUE(tokenizer.apply_config(JsonFields(config, "c")).has_value());
  EXPECT_EQ(tokenizer.encode("ab", {.add_bos = true}), (Ids{300, 256}));
  EXPECT_EQ(tokenizer.encode("", {.add_bos = true}), (Ids{300}));
  EXPECT_EQ(tokenizer.encode("<bos>ab", {.add_bos = true}), (Ids{300, 256}));
  EXPECT_EQ(tokenizer.encode("<bos>ab"), (Ids{300, 256}));
  EXPECT_EQ(tokenizer.encode("<bos><bos>", {.add_bos = true}), (Ids{300, 300}))
      << "only the first is the same";
  EXPECT_EQ(tokenizer.encode("ab<bos>", {.add_bos = true}), (Ids{300, 256, 300}));
}

TEST(Tokenizer, SpecialTokensMayBePlainText) {
  const Tokenizer tokenizer = small_tokenizer();
  EXPECT_EQ(tokenizer.encode("<think>"), (Ids{302}));
  EXPECT_EQ(tokenizer.encode("<think>", {.parse_special = false}), (Ids{'<', 't', 'h', 'i', 'n', 'k', '>'}));
}

TEST(Tokenizer, DecodingMaySkipSpecialTokens) {
  const Tokenizer tokenizer = small_tokenizer();
  const Ids ids = {300, 302, 256, 301};
  EXPECT_EQ(tokenizer.decode(ids), "<bos><think>ab<eos>");
  EXPECT_EQ(tokenizer.decode(ids, {.skip_special = true}), "<think>ab");
}

TEST(Tokenizer, IdsOutsideAreErrors) {
  const Tokenizer tokenizer = small_tokenizer();
  EXPECT_EQ(tokenizer.token_bytes(-1).error().message, "token id -1: expected 0 to 302");
  EXPECT_EQ(tokenizer.token_bytes(303).error().message, "token id 303: expected 0 to 302");
  const Ids ids = {256, 1 << 30};
  EXPECT_FALSE(tokenizer.decode(ids).has_value());
}

TEST(Tokenizer, InvalidUtf8IsAPieceOfItsOwn) {
  const Tokenizer tokenizer = small_tokenizer();
  // The tokens of "ä½" and "ä½ł" are the first two, and all, bytes of U+4F60.
  EXPECT_EQ(tokenizer.encode("\xE4\xBD"), (Ids{262}));
  EXPECT_EQ(tokenizer.encode("\u4F60"), (Ids{263}));
  EXPECT_EQ(tokenizer.encode("ab\xFF\xFF\xFF"
                             "ab"),
            (Ids{256, 264, 0xFF, 256}));
}

TEST(Tokenizer, RandomBytesSurvive) {
  const Tokenizer tokenizer = small_tokenizer();
  std::mt19937 random(5);
  const std::string_view parts[] = {"ab",     " ",  "<bos>", "<bo",  "\xE4\xBD",
                                    "\u4F60", "12", "\n",    "\xFF", "aaaa"};
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (size_t i = random() % 30; i > 0; --i) {
      if (random() % 2 == 0) {
        text.push_back(static_cast<char>(random()));
      } else {
        text += parts[random() % std::size(parts)];
      }
    }
    for (const bool parse_special : {false, true}) {
      const auto ids = tokenizer.encode(text, {.parse_special = parse_special});
      ASSERT_TRUE(ids.has_value());
      ASSERT_EQ(tokenizer.decode(*ids), text);
    }
  }
}

TEST(Tokenizer, ManyThreadsMayShareIt) {
  const Tokenizer tokenizer = small_tokenizer();
  const std::string text = "abc ab <bos> aaaa \u4F60 12345 \xFF and more words than one";
  const Ids expected = tokenizer.encode(text).value();
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i) wrong[t] += tokenizer.encode(text) == expected ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

std::string repeat(std::string_view part, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += part;
  return text;
}

/// The small tokenizer, and one for each kind of pre-tokenizer.
std::vector<Tokenizer> tokenizers_of_all_kinds() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(alphabet_character(static_cast<uint8_t>(byte)));
  tokens.insert(tokens.end(), {"aa", "aaaa", "\u0120\u0120"});
  TokenizerParts parts;
  parts.tokens.assign(tokens.begin(), tokens.end());
  parts.merges = {"a a", "aa aa", "\u0120 \u0120"};
  std::vector<Tokenizer> all = {small_tokenizer()};
  for (const char* name : {"deepseek-v3", "deepseek-llm", "deepseek-coder", "default"}) {
    parts.pre_tokenizer = name;
    all.push_back(Tokenizer::from_parts(parts, "test").value());
  }
  return all;
}

/// `limit`: seconds of this process, not of a busy machine.
void expect_fast_and_lossless(const Tokenizer& tokenizer, const std::string& text, double limit) {
  const std::clock_t start = std::clock();
  const Ids ids = tokenizer.encode(text).value();
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, limit) << text.substr(0, 4);
  EXPECT_TRUE(tokenizer.decode(ids) == text) << text.substr(0, 4);
}

// These take milliseconds; what is quadratic takes minutes, so that generous limits tell them apart.

TEST(LongRuns, OneMegabyte) {
  const Tokenizer tokenizer = tokenizers_of_all_kinds()[1];
  for (const char* part : {"a", " ", "7", "\u7684"}) {
    expect_fast_and_lossless(tokenizer, repeat(part, 1 << 20), 20);
  }
}

TEST(LongRuns, OfEveryKind) {
  constexpr size_t kBytes = 1 << 17;
  std::vector<std::string> texts;
  for (const char* part :
       {"a", " ", "\t", "7", "\n", " \n", "!", "<", "\x01", "\xFF", "\xE4\xBD", "\u0301"}) {
    texts.push_back(repeat(part, kBytes));
  }
  texts.push_back(repeat(" ", kBytes) + "x");
  texts.push_back(repeat(" ", kBytes) + "\u4E2D");  // for the `\s+$` of deepseek-llm
  for (const Tokenizer& tokenizer : tokenizers_of_all_kinds()) {
    for (const std::string& text : texts) expect_fast_and_lossless(tokenizer, text, 5);
  }
}

TokenizerParts small_parts(std::vector<std::string>& tokens) {
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(alphabet_character(static_cast<uint8_t>(byte)));
  tokens.insert(tokens.end(), {"ab", "<bos>", "<user>", "[PAD]"});
  TokenizerParts parts;
  parts.tokens.assign(tokens.begin(), tokens.end());
  parts.token_types.assign(tokens.size(), 1);
  parts.token_types[257] = 3;
  parts.token_types[258] = 4;
  parts.token_types[259] = 5;
  parts.merges = {"a b"};
  parts.pre_tokenizer = "gpt-2";
  parts.bos = 257;
  parts.add_bos = true;
  return parts;
}

TEST(TokenizerParts, GivesATokenizer) {
  std::vector<std::string> tokens;
  const auto tokenizer = Tokenizer::from_parts(small_parts(tokens), "x.gguf");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->encode("ab<user>b[PAD]"), (Ids{256, 258, 'b', '[', 'P', 'A', 'D', ']'}));
  EXPECT_EQ(tokenizer->bos(), 257);
  EXPECT_EQ(tokenizer->eos(), std::nullopt);
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_TRUE(tokenizer->is_special(257));
  EXPECT_FALSE(tokenizer->is_special(258));
}

TEST(TokenizerParts, AVocabularyOfBytesNeedsNoMerges) {
  std::vector<std::string> tokens;
  TokenizerParts parts = small_parts(tokens);
  parts.merges.clear();
  const auto tokenizer = Tokenizer::from_parts(parts, "x.gguf");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->encode("ab").value().size(), 2U);
}

TEST(TokenizerParts, ErrorsNameTheKey) {
  const auto error = [](auto change) {
    std::vector<std::string> tokens;
    TokenizerParts parts = small_parts(tokens);
    change(parts);
    const auto tokenizer = Tokenizer::from_parts(parts, "x.gguf");
    return tokenizer ? "no error" : tokenizer.error().message;
  };
  EXPECT_EQ(error([](TokenizerParts& p) { p.tokens.clear(); }),
            "x.gguf: field 'tokenizer.ggml.tokens': expected 1 to 2097152 tokens, found 0");
  EXPECT_EQ(error([](TokenizerParts& p) { p.token_types.pop_back(); }),
            "x.gguf: field 'tokenizer.ggml.token_type': expected 260 values, one per token, found 259");
  EXPECT_EQ(error([](TokenizerParts& p) { p.token_types[7] = 9; }),
            "x.gguf: field 'tokenizer.ggml.token_type[7]': expected 0 to 6, found 9");
  EXPECT_EQ(error([](TokenizerParts& p) { p.tokens[259] = "ab"; }),
            "x.gguf: field 'tokenizer.ggml.tokens': the token 'ab' has two ids, 256 and 259");
  EXPECT_EQ(error([](TokenizerParts& p) { p.merges.push_back("b c"); }),
            "x.gguf: field 'tokenizer.ggml.merges[1]': the token 'bc' is not in the vocabulary");
  EXPECT_EQ(error([](TokenizerParts& p) { p.merges[0] = "ab"; }),
            "x.gguf: field 'tokenizer.ggml.merges[0]': expected two tokens with a blank between, found 'ab'");
  EXPECT_EQ(error([](TokenizerParts& p) { p.bos = 260; }),
            "x.gguf: field 'tokenizer.ggml.bos_token_id': expected an id from 0 to 259, found 260");
  EXPECT_TRUE(error([](TokenizerParts& p) {
                p.pre_tokenizer = "";
              }).starts_with("x.gguf: field 'tokenizer.ggml.pre': expected one of 'gpt-2', "));
}

TEST(StreamDecoder, CharactersAreWholeHoweverTheyAreCut) {
  const Tokenizer tokenizer = small_tokenizer();
  const std::string text = "ab\u4F60\u4F60 \U0001F600\xE4\xBD\xFF z\xF0\x9F\x98";
  // One token per byte: every cut there is.
  Ids ids;
  for (const char c : text) ids.push_back(static_cast<uint8_t>(c));
  StreamDecoder decoder(tokenizer);
  std::string shown;
  for (const int32_t id : ids) {
    const std::string part = decoder.push(id).value();
    EXPECT_TRUE(is_valid_utf8(part));
    shown += part;
    EXPECT_TRUE(replace_invalid_utf8(text).starts_with(shown));
  }
  EXPECT_EQ(shown + decoder.finish(), replace_invalid_utf8(text));
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoder, SkipsSpecialTokensAndReportsUnknownOnes) {
  StreamDecoder decoder(small_tokenizer(), {.skip_special = true});
  EXPECT_EQ(decoder.push(0xE4), "");
  EXPECT_FALSE(decoder.push(5000).has_value());
  EXPECT_EQ(decoder.push(300), "");
  EXPECT_EQ(decoder.push(0xBD), "");
  EXPECT_EQ(decoder.push(0xA0), "\u4F60");
  EXPECT_EQ(decoder.push(302), "<think>");
}

}  // namespace
}  // namespace cadre
