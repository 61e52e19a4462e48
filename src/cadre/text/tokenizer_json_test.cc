// Tokenizer::from_json: what it reads, and what it refuses with which words.
#include <gtest/gtest.h>

#include "cadre/text/tokenizer_testing.h"

namespace cadre {
namespace {

using Ids = std::vector<int32_t>;

std::string error_of(const Json& json) {
  const auto tokenizer = tokenizer_from(json);
  return tokenizer ? "no error" : tokenizer.error().message;
}

Json stages(const Json& list) {
  Json json = small_tokenizer_json();
  json["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", list}};
  return json;
}

const Json kByteLevel = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};

TEST(TokenizerJson, ReadsTheSmallest) {
  const auto tokenizer = tokenizer_from(small_tokenizer_json());
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->vocab_size(), 259);
  EXPECT_EQ(tokenizer->encode("abcab ab"), (Ids{257, 256, 258}));
  EXPECT_EQ(tokenizer->find("Ġab"), 258);
  EXPECT_EQ(tokenizer->find(" ab"), std::nullopt);
  EXPECT_EQ(tokenizer->token_bytes(258), " ab");
}

TEST(TokenizerJson, MergesMayBePairs) {
  Json json = small_tokenizer_json();
  json["model"]["merges"] = Json::array({Json::array({"a", "b"}), Json::array({"ab", "c"})});
  EXPECT_EQ(tokenizer_from(json).value().encode("abc"), (Ids{257}));
}

TEST(TokenizerJson, IgnoreMergesTakesWholePieces) {
  Json json = small_tokenizer_json();
  json["model"]["vocab"]["xyz"] = 259;
  EXPECT_EQ(tokenizer_from(json).value().encode("xyz"), (Ids{'x', 'y', 'z'}));
  json["model"]["ignore_merges"] = true;
  EXPECT_EQ(tokenizer_from(json).value().encode("xyz"), (Ids{259}));
  EXPECT_EQ(tokenizer_from(json).value().encode("abc"), (Ids{257}));
  json["added_tokens"] = Json::array({added_token(259, "xyz")});
  EXPECT_EQ(tokenizer_from(json).value().encode("xyz", {.parse_special = false}), (Ids{'x', 'y', 'z'}));
}

TEST(TokenizerJson, StagesCutOneAfterAnother) {
  const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
  const Json split = {
      {"type", "Split"}, {"pattern", {{"String", "b"}}}, {"behavior", "MergedWithNext"}, {"invert", false}};
  // Without the Split "ab" would be one token.
  EXPECT_EQ(tokenizer_from(stages(Json::array({digits, kByteLevel}))).value().encode("1ab"), (Ids{'1', 256}));
  EXPECT_EQ(tokenizer_from(stages(Json::array({digits, split, kByteLevel}))).value().encode("1ab"),
            (Ids{'1', 'a', 'b'}));
  const Json nested = {{"type", "Sequence"}, {"pretokenizers", Json::array({split, kByteLevel})}};
  EXPECT_EQ(tokenizer_from(stages(Json::array({digits, nested}))).value().encode("1ab"),
            (Ids{'1', 'a', 'b'}));
}

TEST(TokenizerJson, PrefixSpaceIsAdded) {
  Json json = small_tokenizer_json();
  json["pre_tokenizer"]["add_prefix_space"] = true;
  EXPECT_EQ(tokenizer_from(json).value().encode("ab"), (Ids{258}));
}

TEST(TokenizerJson, AddedTokens) {
  Json json = small_tokenizer_json();
  json["added_tokens"] = Json::array(
      {added_token(300, "<｜User｜>"), added_token(301, "<think>", false), added_token(256, "ab")});
  const auto tokenizer = tokenizer_from(json);
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->vocab_size(), 302);
  EXPECT_EQ(tokenizer->encode("<｜User｜>cab<think>"), (Ids{300, 'c', 256, 301}));
  EXPECT_EQ(tokenizer->token_bytes(300), "<｜User｜>");
  EXPECT_TRUE(tokenizer->is_special(300));
  EXPECT_FALSE(tokenizer->is_special(301));
  EXPECT_FALSE(tokenizer->is_special(299)) << "a hole";
  EXPECT_FALSE(tokenizer->is_special(-1));
  EXPECT_EQ(tokenizer->token_bytes(299).error().message,
            "token id 299: the vocabulary has no token with this id");
}

TEST(TokenizerJson, AnEmptyNormalizerIsNone) {
  Json json = small_tokenizer_json();
  json["normalizer"] = {{"type", "Sequence"}, {"normalizers", Json::array()}};
  EXPECT_TRUE(tokenizer_from(json).has_value());
  json["normalizer"] = nullptr;
  EXPECT_TRUE(tokenizer_from(json).has_value());
}

TEST(TokenizerJson, RefusesByName) {
  Json json = small_tokenizer_json();
  json["normalizer"] = {{"type", "NFKC"}};
  EXPECT_EQ(error_of(json),
            "tokenizer.json: field 'normalizer': the normalizer 'NFKC' is not supported; supported: none");
  json["normalizer"] = {{"type", "Sequence"}, {"normalizers", Json::array({{{"type", "NFC"}}})}};
  EXPECT_EQ(error_of(json),
            "tokenizer.json: field 'normalizer.normalizers': the normalizer 'NFC' is not supported; "
            "supported: none");
  EXPECT_EQ(error_of(stages(Json::array({{{"type", "Metaspace"}}, kByteLevel}))),
            "tokenizer.json: field 'pre_tokenizer.pretokenizers[0]': the pre-tokenizer 'Metaspace' is not "
            "supported; "
            "supported: Sequence, Split, Digits, ByteLevel");
  json = small_tokenizer_json();
  json["model"]["type"] = "Unigram";
  EXPECT_EQ(error_of(json),
            "tokenizer.json: field 'model.type': the model 'Unigram' is not supported; supported: BPE");
  json = small_tokenizer_json();
  json["decoder"] = {{"type", "WordPiece"}};
  EXPECT_EQ(
      error_of(json),
      "tokenizer.json: field 'decoder': the decoder 'WordPiece' is not supported; supported: ByteLevel");
  json = small_tokenizer_json();
  json["model"]["byte_fallback"] = true;
  EXPECT_EQ(error_of(json),
            "tokenizer.json: field 'model': 'byte_fallback' is not supported: only byte-level BPE is");
  json = small_tokenizer_json();
  json["model"]["end_of_word_suffix"] = "</w>";
  EXPECT_EQ(error_of(json),
            "tokenizer.json: field 'model.end_of_word_suffix': '</w>' is not supported: expected none");
  json = small_tokenizer_json();
  json["model"]["dropout"] = 0.1;
  EXPECT_EQ(
      error_of(json),
      "tokenizer.json: field 'model.dropout': expected null (encoding must be deterministic), found 0.1");
}

TEST(TokenizerJson, BadStages) {
  EXPECT_EQ(error_of(stages(Json::array())),
            "tokenizer.json: field 'pre_tokenizer': expected a ByteLevel stage, found "
            "none: only byte-level BPE is supported");
  EXPECT_EQ(error_of(stages(Json::array({kByteLevel, {{"type", "Digits"}}}))),
            "tokenizer.json: field 'pre_tokenizer.pretokenizers[1]': a stage ('Digits') after ByteLevel is "
            "not supported");
  const auto split = [](const Json& pattern, const Json& behavior) {
    return error_of(
        stages(Json::array({{{"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}}, kByteLevel})));
  };
  const std::string field = "tokenizer.json: field 'pre_tokenizer.pretokenizers[0].";
  EXPECT_EQ(split({{"Regex", "a\\b"}}, "Isolated"),
            field + "pattern.Regex': bad pattern: '\\b' at byte 1 is not supported");
  EXPECT_EQ(split({{"Regex", "(a"}}, "Isolated"),
            field + "pattern.Regex': bad pattern: missing closing parenthesis (in '(a', byte 2)");
  EXPECT_EQ(split({{"String", ""}}, "Isolated"), field + "pattern.String': the pattern is empty");
  EXPECT_EQ(split(Json::object(), "Isolated"), field + "pattern': expected either 'Regex' or 'String'");
  EXPECT_EQ(split("a", "Isolated"), field + "pattern': expected an object, found \"a\"");
  EXPECT_EQ(
      split({{"Regex", "a"}}, "isolated"),
      field +
          "behavior': expected Isolated, Removed, MergedWithPrevious, MergedWithNext or Contiguous, found "
          "\"isolated\"");
  EXPECT_EQ(split({{"Regex", "a"}}, nullptr), field + "behavior': is missing");
  Json deep = kByteLevel;
  for (int i = 0; i < 20; ++i) deep = {{"type", "Sequence"}, {"pretokenizers", Json::array({deep})}};
  Json json = small_tokenizer_json();
  json["pre_tokenizer"] = deep;
  EXPECT_NE(error_of(json).find("nested deeper than 8 levels"), std::string::npos);
}

TEST(TokenizerJson, MissingParts) {
  for (const char* key : {"model", "pre_tokenizer"}) {
    Json json = small_tokenizer_json();
    json.erase(key);
    EXPECT_EQ(error_of(json), fmt::format("tokenizer.json: field '{}': is missing", key));
  }
  for (const char* key : {"vocab", "merges"}) {
    Json json = small_tokenizer_json();
    json["model"].erase(key);
    EXPECT_EQ(error_of(json), fmt::format("tokenizer.json: field 'model.{}': is missing", key));
  }
}

TEST(TokenizerJson, BadMerges) {
  const auto with = [](const Json& merges) {
    Json json = small_tokenizer_json();
    json["model"]["merges"] = merges;
    return error_of(json);
  };
  EXPECT_EQ(with(Json::array({"a b", "x y"})),
            "tokenizer.json: field 'model.merges[1]': the token 'xy' is not in the vocabulary");
  EXPECT_EQ(with(Json::array({"abx c"})),
            "tokenizer.json: field 'model.merges[0]': the token 'abx' is not in the vocabulary");
  EXPECT_EQ(with(Json::array({"a b", "ab c", "a b"})),
            "tokenizer.json: field 'model.merges[2]': the pair 'a' 'b' has been given before");
  EXPECT_EQ(
      with(Json::array({"ab"})),
      "tokenizer.json: field 'model.merges[0]': expected two tokens with a blank between, found \"ab\"");
  EXPECT_EQ(
      with(Json::array({"a b c"})),
      "tokenizer.json: field 'model.merges[0]': expected two tokens with a blank between, found \"a b c\"");
  EXPECT_EQ(with(Json::array({Json::array({"a"})})),
            "tokenizer.json: field 'model.merges[0]': expected two tokens, found 1");
  EXPECT_EQ(with(Json::array({Json::array({"a", 1})})),
            "tokenizer.json: field 'model.merges[0][1]': expected a string, found 1");
  EXPECT_EQ(with(Json::array({7})), "tokenizer.json: field 'model.merges[0]': expected a string, found 7");
  EXPECT_EQ(with("a b"), "tokenizer.json: field 'model.merges': expected an array, found \"a b\"");
}

TEST(TokenizerJson, BadVocabulary) {
  const auto with = [](const char* token, const Json& id) {
    Json json = small_tokenizer_json();
    json["model"]["vocab"][token] = id;
    return error_of(json);
  };
  const std::string field = "tokenizer.json: field 'model.vocab': ";
  EXPECT_EQ(with("new", 5), field + fmt::format("id 5 is given to '{}' and to 'new'", alphabet_character(5)));
  for (const Json& id : {Json(-1), Json(2097152), Json(1e3), Json("5"), Json()}) {
    EXPECT_EQ(with("new", id), field + "token 'new': expected an id from 0 to 2097151, found " + id.dump());
  }
  Json json = small_tokenizer_json();
  json["model"]["vocab"].erase("A");
  EXPECT_EQ(error_of(json), field + "no token for the byte 0x41 (expected 'A')");
  json["model"]["vocab"] = Json::array();
  EXPECT_EQ(error_of(json), "tokenizer.json: field 'model.vocab': expected an object, found an array");

  // A key that occurs twice in the text, which no Json value can hold.
  std::string text = small_tokenizer_json().dump();
  text.replace(text.find("\"abc\":257"), 9, "\"ab\":257");
  EXPECT_EQ(Tokenizer::from_json(text, "t").error().message,
            "t: field 'model.vocab': the token 'ab' has two ids, 256 and 257");
}

TEST(TokenizerJson, BytesThatUtf8NeverHasMayBeAbsent) {
  Json json = small_tokenizer_json();
  json["model"]["vocab"].erase("õ");
  const auto tokenizer = tokenizer_from(json);
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  EXPECT_TRUE(tokenizer->encode("õ \xFF").has_value());
  EXPECT_EQ(tokenizer->encode("ab\xF5").error().message,
            "the text holds the byte 0xF5, for which this vocabulary has no token (it occurs in no UTF-8)");
}

TEST(TokenizerJson, AnAddedTokenIsNotTheTokenOfAByte) {
  // As in deepseek-coder, whose added tokens hold the characters of the bytes that it lacks.
  Json json = small_tokenizer_json();
  json["model"]["vocab"].erase("\u00F5");
  json["added_tokens"] = Json::array({added_token(300, "\u00F5", false)});
  const Tokenizer tokenizer = tokenizer_from(json).value();
  EXPECT_EQ(tokenizer.encode("\u00F5"), (Ids{300}));
  EXPECT_EQ(tokenizer.token_bytes(300), "\u00F5");
  EXPECT_FALSE(tokenizer.encode("\xF5").has_value());
}

TEST(TokenizerJson, BadAddedTokens) {
  const auto with = [](const Json& tokens) {
    Json json = small_tokenizer_json();
    json["added_tokens"] = tokens;
    return error_of(json);
  };
  const std::string field = "tokenizer.json: field 'added_tokens[0]";
  EXPECT_EQ(with(Json::array({added_token(256, "xx")})), field + "': id 256 is given to 'ab' and to 'xx'");
  EXPECT_EQ(with(Json::array({added_token(300, "xx"), added_token(300, "xx")})),
            "tokenizer.json: field 'added_tokens[1]': the token 'xx' occurs twice");
  EXPECT_EQ(with(Json::array({added_token(300, "ab")})),
            "tokenizer.json: field 'model.vocab': the token 'ab' has two ids, 256 and 300");
  EXPECT_EQ(with(Json::array({added_token(300, "")})), field + ".content': the token is empty");
  EXPECT_EQ(with(Json::array({added_token(-3, "x")})),
            field + ".id': expected an integer from 0 to 2097151, found -3");
  EXPECT_EQ(with(Json::array({{{"content", "x"}}})), field + ".id': is missing");
  EXPECT_EQ(with(Json::array({{{"id", 300}, {"content", 5}}})),
            field + ".content': expected a string, found 5");
  EXPECT_EQ(with(Json::array({{{"id", 300}, {"content", "x"}, {"special", 1}}})),
            field + ".special': expected true or false, found 1");
  EXPECT_EQ(with(Json::array({"x"})), field + "': expected an object, found \"x\"");
  EXPECT_EQ(with(Json::object()), "tokenizer.json: field 'added_tokens': expected an array, found an object");
}

TEST(TokenizerJson, NotJson) {
  const std::string text = small_tokenizer_json().dump();
  for (const size_t length : {size_t{0}, size_t{1}, size_t{30}, text.size() / 2, text.size() - 1}) {
    const auto tokenizer = Tokenizer::from_json(std::string_view(text).substr(0, length), "tokenizer.json");
    ASSERT_FALSE(tokenizer.has_value()) << length;
    EXPECT_TRUE(tokenizer.error().message.starts_with("tokenizer.json: not valid JSON: "))
        << tokenizer.error().message;
  }
  EXPECT_FALSE(Tokenizer::from_json(text + "x", "t").has_value());
  EXPECT_FALSE(Tokenizer::from_json("\"\xFF\"", "t").has_value());
  EXPECT_FALSE(Tokenizer::from_json(std::string(100000, '['), "t").has_value());
  EXPECT_EQ(Tokenizer::from_json("[]", "t").error().message, "t: expected an object, found an array");
  EXPECT_EQ(Tokenizer::from_json(R"({"model":{},"model":{},"pre_tokenizer":{"type":"ByteLevel"}})", "t")
                .error()
                .message,
            "t: field 'model': occurs twice");
}

}  // namespace
}  // namespace cadre
