#include "cadre/text/jinja_value.h"

#include <gtest/gtest.h>

#include "cadre/text/jinja_runtime.h"

namespace cadre::jinja {
namespace {

Value parsed(std::string_view text) { return Value::from_json(*parse_json(text, "test")); }

TEST(JinjaValue, KeysCompareAsNumbersDo) {
  Dict dict;
  dict.set(Value::integer(1), Value::string("a"));
  dict.set(Value::number(1.0), Value::string("b"));
  dict.set(Value::boolean(true), Value::string("c"));
  ASSERT_EQ(dict.size(), 1u);
  EXPECT_EQ(dict.find(Value::integer(1))->text(), "c");
  EXPECT_EQ(dict.find("1"), nullptr);
}

TEST(JinjaValue, LargeDictsFindAllKindsOfKeys) {
  Dict dict;
  for (int i = 0; i < 50; ++i) {
    dict.set(Value::string(std::to_string(i)), Value::integer(i));
    dict.set(Value::integer(i), Value::integer(-i));
  }
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(dict.find(std::to_string(i))->as_integer(), i);
    EXPECT_EQ(dict.find(Value::integer(i))->as_integer(), -i);
  }
  dict.set(Value::string("7"), Value::none());
  EXPECT_EQ(dict.size(), 100u);
  EXPECT_TRUE(dict.find("7")->is_none());
}

TEST(JinjaValue, EqualityIgnoresTheOrderOfKeysButNotOfItems) {
  EXPECT_TRUE(values_equal(parsed(R"({"a": 1, "b": [2.0]})"), parsed(R"({"b": [2], "a": true})")));
  EXPECT_FALSE(values_equal(parsed("[1, 2]"), parsed("[2, 1]")));
  EXPECT_FALSE(values_equal(parsed("[]"), parsed("{}")));
  EXPECT_FALSE(values_equal(parsed("0"), parsed("null")));
}

TEST(JinjaValue, WeightCountsSharedPartsEachTime) {
  Runtime runtime(1'000'000, {});
  Value value = Value::integer(1);
  for (int i = 0; i < 100; ++i) value = *runtime.make_sequence({value, value});
  EXPECT_EQ(value.weight(), UINT64_MAX);
  EXPECT_EQ(value.depth(), 100);
  EXPECT_FALSE(runtime.str(value));
}

TEST(JinjaValue, DepthIsBounded) {
  Runtime runtime(1'000'000, {});
  Result<Value> value = Value::integer(1);
  int levels = 0;
  for (; value; ++levels) value = runtime.make_sequence({*value});
  EXPECT_EQ(levels, Value::kMaxDepth + 1);
}

TEST(JinjaValue, WritesJsonInTheStyleAskedFor) {
  const Value value = parsed(R"({"b": [1, 1.0, "é\u0001\"😀"], "a": {}})");
  EXPECT_EQ(*value_to_json(value, {}), "{\"b\": [1, 1.0, \"é\\u0001\\\"😀\"], \"a\": {}}");
  EXPECT_EQ(*value_to_json(value, {.ensure_ascii = true, .sort_keys = true}),
            "{\"a\": {}, \"b\": [1, 1.0, \"\\u00e9\\u0001\\\"\\ud83d\\ude00\"]}");
  EXPECT_EQ(*value_to_json(value, {.indent = 1, .item_separator = ","}),
            "{\n \"b\": [\n  1,\n  1.0,\n  \"é\\u0001\\\"😀\"\n ],\n \"a\": {}\n}");
  EXPECT_FALSE(value_to_json(Value::undefined("x"), {}));
}

}  // namespace
}  // namespace cadre::jinja
