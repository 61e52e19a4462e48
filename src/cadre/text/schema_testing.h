#pragma once
/// Shared by the tests of constrained decoding: random schemas, values made from them, and a validator that
/// shares no code with the compiler.

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/json.h"
#include "cadre/base/random.h"
#include "cadre/text/utf8.h"

namespace cadre {

/// Whole numbers from a stream, one after another.
class Dice {
 public:
  explicit Dice(uint64_t seed) : stream_(seed, 7) {}
  /// Uniform from 0 to `count` - 1.
  size_t roll(size_t count) { return static_cast<size_t>(stream_.bits(counter_++) % count); }
  bool coin() { return roll(2) == 0; }

 private:
  RandomStream stream_;
  uint64_t counter_ = 0;
};

inline size_t characters(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); at += decode_utf8(text, at).length) ++count;
  return count;
}

/// Whether `value` is valid against `schema`, read plainly. Knows what random_schema makes.
inline bool is_valid(const Json& schema, const Json& value, const Json& root) {
  if (schema.is_boolean()) return schema.get<bool>();
  if (schema.contains("$ref"))
    return is_valid(root["$defs"][schema["$ref"].get<std::string>().substr(8)], value, root);
  const auto any = [&](const Json& list) {
    int count = 0;
    for (const Json& one : list) count += is_valid(one, value, root) ? 1 : 0;
    return count;
  };
  if (schema.contains("anyOf") && any(schema["anyOf"]) == 0) return false;
  if (schema.contains("oneOf") && any(schema["oneOf"]) != 1) return false;
  if (schema.contains("allOf") && any(schema["allOf"]) != static_cast<int>(schema["allOf"].size()))
    return false;
  if (schema.contains("const") && schema["const"] != value) return false;
  if (schema.contains("enum")) {
    bool found = false;
    for (const Json& one : schema["enum"]) found = found || one == value;
    if (!found) return false;
  }
  if (schema.contains("type")) {
    const Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
    bool fits = false;
    for (const Json& type : types) {
      fits = fits || (type == "null" && value.is_null()) || (type == "boolean" && value.is_boolean()) ||
             (type == "string" && value.is_string()) || (type == "number" && value.is_number()) ||
             (type == "integer" && value.is_number() &&
              std::floor(value.get<double>()) == value.get<double>()) ||
             (type == "array" && value.is_array()) || (type == "object" && value.is_object());
    }
    if (!fits) return false;
  }
  if (value.is_number()) {
    const double number = value.get<double>();
    if (schema.contains("minimum") && number < schema["minimum"].get<double>()) return false;
    if (schema.contains("maximum") && number > schema["maximum"].get<double>()) return false;
    if (schema.contains("exclusiveMinimum") && number <= schema["exclusiveMinimum"].get<double>())
      return false;
    if (schema.contains("exclusiveMaximum") && number >= schema["exclusiveMaximum"].get<double>())
      return false;
    if (schema.contains("multipleOf") && std::fmod(number, schema["multipleOf"].get<double>()) != 0)
      return false;
  }
  if (value.is_string()) {
    const size_t length = characters(value.get_ref<const std::string&>());
    if (schema.contains("minLength") && length < schema["minLength"].get<size_t>()) return false;
    if (schema.contains("maxLength") && length > schema["maxLength"].get<size_t>()) return false;
  }
  if (value.is_array()) {
    if (schema.contains("minItems") && value.size() < schema["minItems"].get<size_t>()) return false;
    if (schema.contains("maxItems") && value.size() > schema["maxItems"].get<size_t>()) return false;
    const size_t prefix = schema.contains("prefixItems") ? schema["prefixItems"].size() : 0;
    for (size_t i = 0; i < value.size(); ++i) {
      if (i < prefix && !is_valid(schema["prefixItems"][i], value[i], root)) return false;
      if (i >= prefix && schema.contains("items") && !is_valid(schema["items"], value[i], root)) return false;
    }
  }
  if (value.is_object()) {
    if (schema.contains("required"))
      for (const Json& name : schema["required"])
        if (!value.contains(name.get<std::string>())) return false;
    for (const auto& [name, member] : value.items()) {
      if (schema.contains("properties") && schema["properties"].contains(name)) {
        if (!is_valid(schema["properties"][name], member, root)) return false;
      } else if (schema.contains("additionalProperties") &&
                 !is_valid(schema["additionalProperties"], member, root)) {
        return false;
      }
    }
  }
  return true;
}

/// A schema out of everything that is supported, up to `depth` levels deep. References lead to
/// "#/$defs/node".
inline Json random_schema(Dice& dice, int depth, bool references) {
  const size_t kinds = depth > 0 ? 12 : 7;
  switch (dice.roll(kinds)) {
    case 0:
      return {{"type", "boolean"}};
    case 1: {
      Json schema = {{"type", "integer"}};
      const int low = static_cast<int>(dice.roll(400)) - 200;
      if (dice.coin()) schema[dice.coin() ? "minimum" : "exclusiveMinimum"] = low;
      if (dice.coin())
        schema[dice.coin() ? "maximum" : "exclusiveMaximum"] = low + 20 + static_cast<int>(dice.roll(1000));
      if (dice.roll(4) == 0) schema["multipleOf"] = 1 + dice.roll(9);
      return schema;
    }
    case 2: {
      Json schema = {{"type", "number"}};
      const double low = (static_cast<double>(dice.roll(4000)) - 2000) / 64;
      if (dice.coin()) schema[dice.coin() ? "minimum" : "exclusiveMinimum"] = low;
      if (dice.coin()) schema[dice.coin() ? "maximum" : "exclusiveMaximum"] = low + 0.25;
      return schema;
    }
    case 3: {
      Json schema = {{"type", "string"}};
      const size_t least = dice.roll(4);
      if (dice.coin()) schema["minLength"] = least;
      if (dice.coin()) schema["maxLength"] = least + dice.roll(6);
      return schema;
    }
    case 4:
      return {{"enum", Json::array({"red", "gr\"ün", 3, -2.5, nullptr, true, Json::array({1, "x"}),
                                    Json{{"a", 1}}})}};
    case 5:
      return {{"const", dice.coin() ? Json("one\ntwo") : Json(17)}};
    case 6:
      return references && dice.coin() ? Json{{"$ref", "#/$defs/node"}}
                                       : Json{{"type", Json::array({"string", "null"})}};
    case 7: {
      Json schema = {{"type", "array"}, {"items", random_schema(dice, depth - 1, references)}};
      const size_t least = dice.roll(3);
      if (dice.coin()) schema["minItems"] = least;
      if (dice.coin()) schema["maxItems"] = least + dice.roll(3);
      if (dice.roll(4) == 0)
        schema["prefixItems"] = Json::array({random_schema(dice, depth - 1, references)});
      return schema;
    }
    case 8:
      return {{"anyOf", Json::array({random_schema(dice, depth - 1, references),
                                     random_schema(dice, depth - 1, references)})}};
    case 9:
      return {{"oneOf", Json::array({Json{{"type", "object"},
                                          {"properties",
                                           {{"kind", {{"const", "a"}}},
                                            {"x", random_schema(dice, depth - 1, references)}}},
                                          {"required", Json::array({"kind"})}},
                                     Json{{"type", "object"},
                                          {"properties", {{"kind", {{"const", "b"}}}}},
                                          {"required", Json::array({"kind", "y"})}},
                                     Json{{"type", "string"}, {"maxLength", 5}}})}};
    default: {
      Json schema = {{"type", "object"}, {"properties", Json::object()}};
      for (size_t i = dice.roll(4); i > 0; --i) {
        const std::string name =
            std::string(1, static_cast<char>('a' + dice.roll(6))) + (dice.coin() ? "\"é" : "");
        schema["properties"][name] = random_schema(dice, depth - 1, references);
        if (dice.coin() && !schema.contains("required")) schema["required"] = Json::array({name});
      }
      const size_t further = dice.roll(3);
      if (further == 0) schema["additionalProperties"] = false;
      if (further == 1) schema["additionalProperties"] = random_schema(dice, 0, references);
      if (dice.roll(4) == 0)
        return {{"allOf",
                 Json::array({schema, {{"required", Json::array({"z"})}, {"properties", {{"z", true}}}}})}};
      return schema;
    }
  }
}

/// With a `node` to refer to, which always has an end.
inline Json random_document(Dice& dice) {
  Json schema = random_schema(dice, 3, true);
  schema["$defs"] = {
      {"node",
       {{"type", "object"},
        {"properties",
         {{"v", random_schema(dice, 1, false)},
          {"next", {{"anyOf", Json::array({Json{{"$ref", "#/$defs/node"}}, Json{{"type", "null"}}})}}}}},
        {"required", Json::array({"next"})},
        {"additionalProperties", false}}}};
  return schema;
}

}  // namespace cadre
