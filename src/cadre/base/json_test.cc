#include "cadre/base/json.h"

#include <gtest/gtest.h>

namespace cadre {
namespace {

void expect_error(std::string_view text, std::string_view fragment) {
  const auto json = parse_json(text, "x.json");
  ASSERT_FALSE(json) << text;
  EXPECT_NE(json.error().message.find(fragment), std::string::npos) << json.error().message;
  EXPECT_TRUE(json.error().message.starts_with("x.json: ")) << json.error().message;
}

std::string nested(int depth) {
  return std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']');
}

TEST(Json, KeepsOrderAndTypes) {
  const std::string text =
      R"({"z": [1, -2, 1.5, true, null, "é\n"], "a": {"y": {}, "b": []}, "big": 18446744073709551615})";
  const auto json = parse_json(text, "x");
  ASSERT_TRUE(json) << json.error().message;
  EXPECT_EQ(dump_json(*json), text);
  EXPECT_EQ(*json, Json::parse(text));
  for (const char* scalar : {"1", "\"s\"", "null", "false", "-0.5", " 7 "}) {
    const auto value = parse_json(scalar, "x");
    ASSERT_TRUE(value) << scalar;
    EXPECT_EQ(*value, Json::parse(scalar));
  }
}

TEST(Json, RefusesWhatIsNoJson) {
  expect_error("", "not valid JSON (byte 1)");
  expect_error("{", "not valid JSON");
  expect_error("[1,]", "not valid JSON (byte 4)");
  expect_error("[1] 2", "not valid JSON");
  expect_error("{'a': 1}", "not valid JSON");
  expect_error("[NaN]", "not valid JSON");
  expect_error("\"\xff\"", "ill-formed UTF-8");
  expect_error("\"\\ud800\"", "not valid JSON");
  expect_error(std::string_view("1\0x", 3), "not valid JSON (byte 2): a zero byte");
  expect_error("[1e999]", "number overflow");
  expect_error(R"({"a": 1, "b": {"a": 2}, "a": 3})", "key 'a' appears twice in one object");
  expect_error(R"([{"a": {"k": 1, "k": 1}}])", "key 'k' appears twice in one object");
}

TEST(Json, SameKeyInDifferentObjectsIsFine) {
  EXPECT_TRUE(parse_json(R"([{"a": 1}, {"a": {"a": [{"a": 2}]}}])", "x"));
}

TEST(Json, LimitsDepth) {
  EXPECT_TRUE(parse_json(nested(100), "x"));
  expect_error(nested(101), "nested deeper than 100 levels");
  expect_error(std::string(10'000'000, '['), "nested deeper than 100 levels");
  std::string objects;
  for (int i = 0; i < 101; ++i) objects += "{\"a\":";
  expect_error(objects, "nested deeper than 100 levels");
}

TEST(Json, KeepsMessagesShort) {
  const auto json = parse_json("\"" + std::string(1'000'000, 'x'), "x");
  ASSERT_FALSE(json);
  EXPECT_LT(json.error().message.size(), 400U);
}

TEST(Json, ParsesLargeObjectsInLinearTime) {
  // Quadratic time would take minutes here: with 300,000 keys 45 billion comparisons.
  std::string text = "{";
  for (int i = 0; i < 300'000; ++i) text += fmt::format("{}\"key-{}\":{}", i == 0 ? "" : ",", i, i);
  const auto json = parse_json(text + "}", "x");
  ASSERT_TRUE(json);
  EXPECT_EQ(json->size(), 300'000U);
}

TEST(Json, DumpsAsPythonDoes) {
  const auto json = parse_json(R"({"a":[1,{"b":"\u00e9\"\u0001"}],"c":1.0})", "x");
  ASSERT_TRUE(json);
  EXPECT_EQ(dump_json(*json), "{\"a\": [1, {\"b\": \"é\\\"\\u0001\"}], \"c\": 1.0}");
  EXPECT_EQ(dump_json(Json{{"a", 1}}, 2), "{\n  \"a\": 1\n}");
  EXPECT_EQ(dump_json(Json("\xff")), "\"\xEF\xBF\xBD\"");
}

TEST(Json, DescribesValues) {
  EXPECT_EQ(describe_json(Json()), "null");
  EXPECT_EQ(describe_json(Json::array({1})), "an array");
  EXPECT_EQ(describe_json(Json::object()), "an object");
  EXPECT_EQ(describe_json(Json("x")), "\"x\"");
  EXPECT_EQ(describe_json(Json(std::string(1000, 'x'))).size(), 60U);
}

class JsonFieldsTest : public ::testing::Test {
 protected:
  const Json json_ =
      parse_json(
          R"({"i": 5, "f": 2.5, "whole": 10000.0, "s": "t", "b": true, "n": null, "big": 18446744073709551615,
                                   "o": {"x": "y", "deep": {"k": -1}}, "l": [1]})",
          "c")
          .value();
  const JsonFields fields_{json_, "c.json"};

  template <typename T>
  void expect(const Result<T>& result, std::string_view message) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message, message);
  }
};

TEST_F(JsonFieldsTest, ReadsFields) {
  EXPECT_EQ(fields_.integer("i", 0, 9), 5);
  EXPECT_EQ(fields_.integer("whole", 0, 1 << 20), 10000);
  EXPECT_EQ(fields_.integer_or("absent", 3, 0, 9), 3);
  EXPECT_EQ(fields_.integer_or("n", 3, 0, 9), 3);
  EXPECT_EQ(fields_.number("f"), 2.5);
  EXPECT_EQ(fields_.number("i"), 5.0);
  EXPECT_EQ(fields_.number_or("absent", 1.5), 1.5);
  EXPECT_EQ(fields_.boolean_or("b", false), true);
  EXPECT_EQ(fields_.boolean_or("absent", true), true);
  EXPECT_EQ(fields_.string("s"), "t");
  EXPECT_EQ(fields_.string_or("n", "d"), "d");
  EXPECT_TRUE(fields_.has("i"));
  EXPECT_FALSE(fields_.has("n"));
  EXPECT_EQ(fields_.find("n"), nullptr);
  EXPECT_EQ(fields_.find("l")->size(), 1U);
  EXPECT_EQ(fields_.object("absent").value(), std::nullopt);
}

TEST_F(JsonFieldsTest, ErrorsNameThePath) {
  expect(fields_.integer("i", 6, 9), "c.json: field 'i': expected an integer from 6 to 9, found 5");
  expect(fields_.integer("f", 0, 9), "c.json: field 'f': expected an integer from 0 to 9, found 2.5");
  expect(fields_.integer("big", 0, 9),
         "c.json: field 'big': expected an integer from 0 to 9, found 18446744073709551615");
  expect(fields_.integer("n", 0, 9), "c.json: field 'n': expected an integer from 0 to 9, found nothing");
  expect(fields_.integer_or("s", 1, 0, 9), "c.json: field 's': expected an integer from 0 to 9, found \"t\"");
  expect(fields_.number("s"), "c.json: field 's': expected a number, found \"t\"");
  expect(fields_.number("absent"), "c.json: field 'absent': expected a number, found nothing");
  expect(fields_.boolean_or("i", false), "c.json: field 'i': expected true or false, found 5");
  expect(fields_.string("l"), "c.json: field 'l': expected a string, found an array");
  expect(fields_.string("absent"), "c.json: field 'absent': expected a string, found nothing");
  expect(fields_.object("i"), "c.json: field 'i': expected an object, found 5");
  const auto nested_object = fields_.object("o").value().value();
  const auto deep = nested_object.object("deep").value().value();
  expect(deep.integer("k", 0, 9), "c.json: field 'o.deep.k': expected an integer from 0 to 9, found -1");
}

TEST(JsonFields, OfSomethingElseHasNoFields) {
  const Json list = Json::array({1});
  EXPECT_FALSE(JsonFields(list, "x").has("a"));
}

}  // namespace
}  // namespace cadre
