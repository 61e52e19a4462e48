#include "cadre/text/json_schema.h"

#include <gtest/gtest.h>

#include "cadre/text/grammar_matcher.h"
#include "cadre/text/schema_testing.h"

namespace cadre {
namespace {

Result<JsonGrammar> grammar_of(std::string_view schema) {
  CADRE_TRY(const Json json, parse_json(schema, "schema"));
  return JsonGrammar::from_schema(json, "s");
}

std::string error_of(std::string_view schema) {
  const auto grammar = grammar_of(schema);
  return grammar ? "accepted" : grammar.error().message;
}

/// The texts among `texts` that are not judged as `expected`.
std::string misjudged(std::string_view schema, bool expected, std::initializer_list<std::string_view> texts) {
  const auto grammar = grammar_of(schema);
  if (!grammar) return grammar.error().message;
  std::string wrong;
  for (const std::string_view text : texts)
    if (grammar->accepts(text) != expected) wrong.append("«").append(text).append("» ");
  return wrong;
}

void expect_texts(std::string_view schema, std::initializer_list<std::string_view> accepted,
                  std::initializer_list<std::string_view> refused) {
  EXPECT_EQ(misjudged(schema, true, accepted), "") << "should be accepted by " << schema;
  EXPECT_EQ(misjudged(schema, false, refused), "") << "should be refused by " << schema;
}

TEST(JsonSchema, Types) {
  expect_texts(R"({"type": "null"})", {"null"}, {"nul", "nulll", " null", "0"});
  expect_texts(R"({"type": "boolean"})", {"true", "false"}, {"True", "1"});
  expect_texts(R"({"type": ["integer", "null"]})", {"null", "0", "-17", "123456789012345678"},
               {"01", "-0", "1.0", "1e3", "+1", "", "1234567890123456789"});
  expect_texts(R"({"type": "string", "nullable": true})", {"null", "\"\""}, {"1"});
  expect_texts(R"({"type": "number"})", {"0", "-0", "1.5", "-12.25e-7", "1E+279"},
               {"1.", ".5", "1e", "1e280", "--1"});
  expect_texts("true", {"{}", "[1, {\"a\": [null]}]", "\"x\"", "-3.5"}, {"", "[", "{]"});
  expect_texts("{}", {"[]"}, {"nothing"});
}

TEST(JsonSchema, Strings) {
  expect_texts(R"({"type": "string"})",
               {R"("")", R"("a\"b\\\/\b\f\n\r\t")", R"("é漢😀")", R"("\u00e9\ud83d\ude00\uFFFF")"},
               {R"(")", R"("a)", "\"a\nb\"", R"("\x41")", R"("\u12")", R"("\ud83d")", R"("\ude00")",
                R"("\ud83d\u0041")", "\"\xC3\"", "\"\xED\xA0\x80\"", "\"\xC0\x80\"", "\"\xF4\x90\x80\x80\"",
                "\"\xFF\""});
  expect_texts(R"({"type": "string", "minLength": 2, "maxLength": 3})",
               {R"("ab")", R"("abc")", R"("é漢😀")", R"("\ud83d\ude00\n")"},
               {R"("a")", R"("abcd")", R"("\n")"});
  expect_texts(R"({"type": "string", "minLength": 2})", {R"("ab")", R"("abcdefgh")"}, {R"("a")"});
  expect_texts(R"({"enum": ["a\"b", "ü", 1.5, null, [1, {"k": 2}]]})",
               {R"("a\"b")", R"("ü")", "1.5", "null", R"([1, {"k": 2}])"}, {R"("a")", "1", R"([1,{"k":2}])"});
  expect_texts(R"({"type": "string", "maxLength": 2, "enum": ["a", "bbb", 1]})", {R"("a")"},
               {R"("bbb")", "1"});
}

TEST(JsonSchema, Patterns) {
  expect_texts(R"({"type": "string", "pattern": "^[a-c]{2,3}\\d?$"})", {R"("ab")", R"("abc7")"},
               {R"("a")", R"("abcd")", R"("ab77")"});
  expect_texts(R"({"type": "string", "pattern": "b+"})", {R"("b")", R"("abbc")"}, {R"("")", R"("ac")"});
  expect_texts(R"({"type": "string", "pattern": "^(?:x|yz)*$|^q"})", {R"("")", R"("xyzx")", R"("qrs")"},
               {R"("xz")"});
  expect_texts(R"({"type": "string", "pattern": "^[^a\\s]$"})", {R"("b")", R"("\"")", R"("é")", R"("\\")"},
               {R"("a")", R"(" ")", R"("\n")"});
  expect_texts(R"({"type": "string", "pattern": "^.[\\u00e0-\\u{1F600}]$"})", {R"("aé")", R"("😀😀")"},
               {R"("aa")", R"("\né")"});
  expect_texts(R"({"type": "string", "pattern": "^a*$", "minLength": 2, "maxLength": 3})",
               {R"("aa")", R"("aaa")"}, {R"("a")", R"("aaaa")"});
}

TEST(JsonSchema, Formats) {
  expect_texts(R"({"type": "string", "format": "date"})",
               {R"("2024-02-29")", R"("2000-02-29")", R"("2023-12-31")"},
               {R"("2023-02-29")", R"("1900-02-29")", R"("2023-04-31")", R"("2023-13-01")", R"("2023-1-1")"});
  expect_texts(R"({"type": "string", "format": "date-time"})",
               {R"("2024-02-29T23:59:59Z")", R"("2024-02-28T00:00:00.125+05:30")"},
               {R"("2024-02-29T24:00:00Z")", R"("2024-02-29 00:00:00Z")", R"("2024-02-29T00:00:00")"});
  expect_texts(R"({"type": "string", "format": "uuid"})", {R"("123e4567-e89b-12d3-a456-426614174000")"},
               {R"("123e4567e89b12d3a456426614174000")"});
  expect_texts(R"({"type": "string", "format": "email"})", {R"("a.b+c@d-e.example")"},
               {R"("a@b")", R"(".a@b.c")", R"("a@-b.c")"});
  expect_texts(R"({"type": "string", "format": "ipv4"})", {R"("255.0.10.1")"},
               {R"("256.0.0.1")", R"("1.2.3")", R"("01.2.3.4")"});
  expect_texts(R"({"type": "string", "format": "ipv6"})",
               {R"("::")", R"("1:2:3:4:5:6:7:8")", R"("fe80::1")", R"("::1:2")", R"("1::")"},
               {R"("1:2:3:4:5:6:7")", R"("1::2::3")", R"("1:2:3:4:5:6:7:8:9")", R"("::1:2:3:4:5:6:7:8")"});
  expect_texts(R"({"type": "string", "format": "duration"})",
               {R"("P1Y2M3DT4H5M6S")", R"("PT5M")", R"("P2W")"}, {R"("P")", R"("PT")", R"("P1D2Y")"});
  expect_texts(R"({"type": "string", "format": "time"})", {R"("12:00:00Z")"}, {R"("12:00")"});
  expect_texts(R"({"type": "string", "format": "hostname"})", {R"("a.b-c.example")"},
               {R"("a..b")", R"("-a")"});
}

TEST(JsonSchema, Numbers) {
  expect_texts(R"({"type": "integer", "minimum": -12, "exclusiveMaximum": 105})",
               {"-12", "-1", "0", "99", "104"}, {"-13", "105", "1000", "-0"});
  expect_texts(R"({"type": "integer", "exclusiveMinimum": 1.5, "maximum": 3.5})", {"2", "3"}, {"1", "4"});
  expect_texts(R"({"type": "integer", "multipleOf": 7, "minimum": -20})", {"0", "7", "-14", "700"},
               {"1", "-21", "8"});
  expect_texts(R"({"type": "number", "minimum": 0.25, "exclusiveMaximum": 1.5})",
               {"0.25", "0.250", "0.3", "1", "1.499"}, {"0.2499", "1.5", "1.50", "0", "-1", "1e0"});
  expect_texts(R"({"type": "number", "exclusiveMinimum": -1.5, "maximum": 0})",
               {"-1.4999", "0", "-0.0", "-1"}, {"-1.5", "0.1", "-2", "-1.500"});
  expect_texts(R"({"type": "number", "multipleOf": 0.01})", {"1", "1.5", "-0.25"}, {"0.125", "1e1"});
  expect_texts(R"({"type": "number", "minimum": 1e-7})", {"0.0000001", "5"}, {"0.00000001", "0"});
}

TEST(JsonSchema, Arrays) {
  expect_texts(R"({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3})",
               {"[1]", "[1, 2]", "[\n  1,\n  2\n]", "[1,2,3]"},
               {"[]", "[1, 2, 3, 4]", "[1,]", "[\"a\"]", "[1  ,2]"});
  expect_texts(
      R"({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": false})",
      {"[]", "[1]", "[1, \"a\"]"}, {"[\"a\"]", "[1, \"a\", 2]"});
  expect_texts(R"({"type": "array", "prefixItems": [{"const": 0}], "items": {"const": 1}, "minItems": 2})",
               {"[0, 1]", "[0,1,1,1]"}, {"[0]", "[1, 1]"});
}

TEST(JsonSchema, Objects) {
  constexpr std::string_view kSchema =
      R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "null"}},
                                           "required": ["b"], "additionalProperties": false})";
  expect_texts(kSchema, {R"({"a": 1, "b": null})", R"({"b":null})", "{\n\t\"b\": null\n}"},
               {"{}", R"({"a": 1})", R"({"b": null, "a": 1})", R"({"b": null, "c": 1})",
                R"({"a": 1 "b": null})", R"({"b": null,})"});
  expect_texts(R"({"type": "object", "properties": {"a": {"type": "integer"}}})",
               {"{}", R"({"a": 1})", R"({"a": 1, "aa": [], "": 2})", R"({"x\"é": {}})"},
               {R"({"a": "no"})", R"({"x": 1, "a": "no"})", R"({"x": 1, "x": 2})",
                R"({"x": 1, "y": 2, "x": 3})", R"({"\u0061": 1})", R"({"x": {"y": 1, "y": 1}})"});
  expect_texts(R"({"type": "object", "additionalProperties": {"type": "integer"}, "required": ["k"]})",
               {R"({"k": 1})", R"({"k": 1, "l": 2})"}, {"{}", R"({"l": 2})", R"({"k": "a"})"});
}

TEST(JsonSchema, Combinations) {
  expect_texts(
      R"({"anyOf": [{"type": "integer", "minimum": 5}, {"type": "integer", "maximum": 1}, {"type": "null"}]})",
      {"5", "1", "null"}, {"3"});
  expect_texts(
      R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "additionalProperties": false,
                   "anyOf": [{"required": ["a"]}, {"required": ["b"]}]})",
      {R"({"a": 1})", R"({"b": 1})", R"({"a": 1, "b": 1})"}, {"{}"});
  expect_texts(
      R"({"allOf": [{"type": ["integer", "string"], "minimum": 3}, {"type": "number", "maximum": 5}]})",
      {"3", "5"}, {"2", "6", "\"a\"", "3.5"});
  expect_texts(R"({"allOf": [{"type": "object", "properties": {"a": {"minimum": 1}}, "required": ["a"]},
                             {"properties": {"a": {"type": "integer"}, "b": {"type": "null"}}, "additionalProperties": false}]})",
               {R"({"a": 1})", R"({"a": 2, "b": null})"}, {R"({"a": 0})", R"({"a": 1, "c": 1})", "{}"});
  expect_texts(
      R"({"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}},
                   "required": ["next"], "additionalProperties": false}}})",
      {R"({"next": null})", R"({"next": {"next": {"next": null}}})"}, {R"({"next": {}})", "null"});
  expect_texts(R"({"oneOf": [{"type": "string"}, {"type": "integer"}]})", {"\"a\"", "1"}, {"1.5"});
}

TEST(JsonSchema, WhatIsNotSupportedIsRefusedByNameAndPlace) {
  EXPECT_EQ(
      error_of(R"({"type": "object", "properties": {"x": {"type": "object", "patternProperties": {}}}})"),
      "s.properties.x: 'patternProperties' is not supported");
  EXPECT_EQ(error_of(R"({"not": {}})"), "s: 'not' is not supported");
  EXPECT_EQ(error_of(R"({"items": [{}]})"),
            "s.items: expected a schema, found a list; that is 'prefixItems' now");
  EXPECT_EQ(error_of(R"({"type": "array", "uniqueItems": true})"), "s: 'uniqueItems' is not supported");
  EXPECT_EQ(error_of(R"({"type": "strin"})"),
            "s.type: expected one of null, boolean, object, array, number, string, integer, or a list of "
            "them, found \"strin\"");
  EXPECT_EQ(error_of(R"({"$ref": "#/$defs/x"})"), "s.$ref: nothing is at \"#/$defs/x\"");
  EXPECT_EQ(error_of(R"--({"type": "string", "pattern": "a(?=b)"})--"),
            "s.pattern: byte 3: a lookahead is not supported");
  EXPECT_EQ(error_of(R"({"type": "string", "pattern": "\\bx"})"),
            "s.pattern: byte 0: the escape '\\b' is not supported");
  EXPECT_TRUE(error_of(R"({"type": "string", "format": "regex"})")
                  .starts_with("s.format: 'regex' is not supported; there are date, "));
  EXPECT_TRUE(
      error_of(R"({"type": "number", "multipleOf": 0.25})").starts_with("s.multipleOf: only whole numbers"));
  EXPECT_TRUE(error_of(R"({"oneOf": [{"type": "integer"}, {"type": "number"}]})")
                  .starts_with("s.oneOf: branches 0 and 1 could both"));
  EXPECT_EQ(error_of(R"({"type": "integer", "minimum": "1"})"), "s.minimum: expected a number, found \"1\"");
  EXPECT_EQ(error_of("[]"), "s: expected a schema, found an array");
}

TEST(JsonSchema, WhatNothingSatisfiesIsRefused) {
  EXPECT_EQ(error_of("false"), "s: no value can satisfy it");
  EXPECT_EQ(error_of(R"({"type": "integer", "minimum": 3, "maximum": 2})"), "s: no value can satisfy it");
  EXPECT_EQ(error_of(R"({"type": "string", "pattern": "^aaa$", "maxLength": 2})"),
            "s: no value can satisfy it");
  EXPECT_EQ(error_of(R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})"),
            "s: no value can satisfy it");
  EXPECT_EQ(
      error_of(R"({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}})"),
      "s: no value can satisfy it");
}

TEST(JsonSchema, HostileSchemasAreBounded) {
  EXPECT_TRUE(error_of(R"({"allOf": [{"$ref": "#"}]})").find("in a circle") != std::string::npos);
  EXPECT_TRUE(error_of(R"({"type": "array", "minItems": 1000000})").find("at most 4096 items") !=
              std::string::npos);
  EXPECT_TRUE(
      error_of(R"({"type": "string", "pattern": "^(a|b|ab){1,90000}$"})").find("needs an automaton") !=
      std::string::npos);
  EXPECT_EQ(misjudged(R"({"type": "string", "maxLength": 1000000000000})", true, {"\"a\""}), "");
  Json blow = {{"type", "object"}};  // each level is used twice by the one above
  Json* level = &blow;
  for (int i = 0; i < 40; ++i) {
    (*level)["properties"] = {{"a", {{"$ref", "#"}}}, {"b", {{"type", "object"}}}};
    level = &(*level)["properties"]["b"];
  }
  EXPECT_TRUE(JsonGrammar::from_schema(blow, "s"));
  Json many = {{"enum", Json::array()}};
  for (int i = 0; i < 200'000; ++i) many["enum"].push_back(fmt::format("value number {}", i));
  const auto refused = JsonGrammar::from_schema(many, "s");
  EXPECT_TRUE(!refused && refused.error().kind == ErrorKind::kTooLarge);
}

TEST(JsonSchema, NestingIsLimitedWithoutDeadEnds) {
  const JsonGrammar grammar = JsonGrammar::any_object();
  const auto nested = [](int depth) {
    std::string text;
    for (int i = 0; i < depth; ++i) text += "{\"a\": ";
    return text + "1" + std::string(static_cast<size_t>(depth), '}');
  };
  EXPECT_TRUE(grammar.accepts(nested(JsonGrammar::kMaxNesting)));
  EXPECT_FALSE(grammar.accepts(nested(JsonGrammar::kMaxNesting + 1)));
}

/// A random text of the grammar, byte by byte, with a leaning towards its end.
std::string random_text(const JsonGrammar& grammar, Dice& dice) {
  GrammarMatcher matcher(grammar.shared());
  auto state = matcher.start();
  std::string text;
  while (!matcher.must_end(state) && text.size() < 3000) {
    if (matcher.may_end(state) && dice.roll(3) == 0) break;
    std::vector<uint8_t> allowed;
    for (int byte = 0; byte < 256; ++byte)
      if (matcher.step(state, static_cast<uint8_t>(byte)) != GrammarMatcher::kNoState)
        allowed.push_back(static_cast<uint8_t>(byte));
    if (allowed.empty()) return text + " [dead end]";
    uint8_t next = allowed[dice.roll(allowed.size())];
    if (text.size() > 200 || dice.roll(3) == 0)
      for (const uint8_t close : {'n', ']', '}', '"'})
        if (std::find(allowed.begin(), allowed.end(), close) != allowed.end()) next = close;
    text += static_cast<char>(next);
    state = matcher.step(state, next);
  }
  return matcher.may_end(state) ? text : text + " [not ended]";
}

TEST(JsonSchema, RandomTextsAreValid) {
  int satisfiable = 0;
  int unfinished = 0;
  for (uint64_t seed = 0; seed < 150; ++seed) {
    Dice dice(seed);
    const Json schema = random_document(dice);
    const auto grammar = JsonGrammar::from_schema(schema, "s");
    if (!grammar) {
      EXPECT_TRUE(grammar.error().message == "s: no value can satisfy it") << grammar.error().message << "\n"
                                                                           << schema;
      continue;
    }
    ++satisfiable;
    for (int i = 0; i < 3; ++i) {
      const std::string text = random_text(*grammar, dice);
      ASSERT_FALSE(text.ends_with(" [dead end]")) << text << "\n" << schema;
      if (text.ends_with(" [not ended]")) {
        ++unfinished;
        continue;
      }
      const auto value = parse_json(text, "text");
      ASSERT_TRUE(value) << value.error().message << "\n" << text << "\n" << schema;
      ASSERT_TRUE(is_valid(schema, *value, schema)) << text << "\n" << schema;
      // A valid value is accepted as Python would write it, too: its keys are in the order of the schema.
      // Numbers may have lost digits that do not count, such as an exponent.
      if (text.find_first_of("eE.") == text.npos) {
        EXPECT_TRUE(grammar->accepts(dump_json(*value))) << dump_json(*value) << "\n" << schema;
      }
    }
  }
  EXPECT_GT(satisfiable, 100);
  EXPECT_LT(unfinished, 20);
}

}  // namespace
}  // namespace cadre
