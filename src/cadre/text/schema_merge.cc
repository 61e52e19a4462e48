#include "cadre/text/schema_merge.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "cadre/text/chat_request.h"

namespace cadre {
namespace {

constexpr int kMaxWork = 20'000;    // schemas that are flattened or merged
constexpr int kMaxMergeDepth = 64;  // references and combinations inside each other

constexpr std::array<std::string_view, 18> kAnnotations = {
    "title",   "description", "default",     "examples",         "example",         "$schema",
    "$id",     "id",          "$comment",    "deprecated",       "readOnly",        "writeOnly",
    "$anchor", "$defs",       "definitions", "contentMediaType", "contentEncoding", "$vocabulary"};

/// The types that both lists allow.
Json common_types(const Json& left, const Json& right) {
  Json common = Json::array();
  const auto has = [](const Json& types, const char* type) {
    return std::find(types.begin(), types.end(), type) != types.end();
  };
  for (const Json& type : left) {
    if (has(right, type.get_ref<const std::string&>().c_str()))
      common.push_back(type);
    else if ((type == "integer" && has(right, "number")) ||
             (type == "number" && has(right, "integer") && !has(left, "integer")))
      common.push_back("integer");
  }
  return common;
}

Json both_schemas(const Json& left, const Json& right) {
  if (right.is_boolean()) return right.get<bool>() ? left : right;
  if (left.is_boolean()) return left.get<bool>() ? right : left;
  if (left == right) return left;
  return Json{{"allOf", Json::array({left, right})}};
}

/// Of members that `properties` does not name: true where nothing is said.
Json additional_properties(const Json& schema) {
  const auto found = schema.find("additionalProperties");
  return found == schema.end() ? Json(true) : *found;
}

/// Properties of two schemas. A property that one does not name is one of its additional ones.
Json merge_properties(const Json& left, const Json& right) {
  const Json none = Json::object();
  const Json* ours = json_member(left, "properties");
  const Json* theirs = json_member(right, "properties");
  if (ours == nullptr || !ours->is_object()) ours = &none;
  if (theirs == nullptr || !theirs->is_object()) theirs = &none;
  Json merged = Json::object();
  for (const auto& [name, schema] : ours->items())
    merged[name] =
        both_schemas(schema, theirs->contains(name) ? (*theirs)[name] : additional_properties(right));
  for (const auto& [name, schema] : theirs->items())
    if (!ours->contains(name)) merged[name] = both_schemas(schema, additional_properties(left));
  return merged;
}

bool contains_value(const Json& values, const Json& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

/// Brings `type` and `nullable` into the form of a list of types.
Status normalise_type(Json& schema, const std::string& path) {
  constexpr std::array<std::string_view, 7> kTypes = {"null",   "boolean", "object", "array",
                                                      "number", "string",  "integer"};
  const auto found = schema.find("type");
  if (found != schema.end()) {
    Json types = found->is_array() ? *found : Json::array({*found});
    for (const Json& type : types)
      if (!type.is_string() ||
          std::find(kTypes.begin(), kTypes.end(), type.get<std::string>()) == kTypes.end())
        return invalid("{}.type: expected one of {}, or a list of them, found {}", path,
                       fmt::join(kTypes, ", "), describe_json(type));
    *found = std::move(types);
  }
  const auto nullable = schema.find("nullable");
  if (nullable == schema.end()) return {};
  if (!nullable->is_boolean()) return invalid("{}.nullable: expected true or false", path);
  const bool add_null = nullable->get<bool>();
  schema.erase("nullable");
  if (add_null && schema.contains("type") && !contains_value(schema["type"], "null"))
    schema["type"].push_back("null");
  return {};
}

bool is_subschema_list(const Json& value) { return value.is_array() && !value.empty(); }

}  // namespace

bool is_annotation(std::string_view keyword) {
  return keyword.starts_with("x-") ||
         std::find(kAnnotations.begin(), kAnnotations.end(), keyword) != kAnnotations.end();
}

bool has_json_type(const Json& value, std::string_view type) {
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.is_boolean();
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "number") return value.is_number();
  return value.is_number_integer() ||
         (value.is_number_float() && std::floor(value.get<double>()) == value.get<double>());
}

Status SchemaMerger::count_work(std::string_view path) {
  if (++work_ <= kMaxWork) return {};
  return fail(ErrorKind::kTooLarge, "{}: the schema takes more than {} steps to put together", path,
              kMaxWork);
}

Result<SchemaMerger::Target> SchemaMerger::resolve(const Json& reference, std::string_view path) const {
  if (!reference.is_string()) return invalid("{}.$ref: expected a string", path);
  const auto& text = reference.get_ref<const std::string&>();
  if (!text.starts_with('#') || (text.size() > 1 && text[1] != '/'))
    return invalid("{}.$ref: expected a place in the same schema, like \"#/$defs/x\", found {}", path,
                   describe_json(reference));
  Target target{&root_, path_};
  for (size_t at = 1; at < text.size();) {
    const size_t end = std::min(text.find('/', at + 1), text.size());
    std::string name;
    for (size_t i = at + 1; i < end; ++i) {
      const bool escape = text[i] == '~' && i + 1 < end && (text[i + 1] == '0' || text[i + 1] == '1');
      name += escape ? (text[++i] == '0' ? '~' : '/') : text[i];
    }
    const Json* next = nullptr;
    if (target.schema->is_object()) {
      const auto found = target.schema->find(name);
      if (found != target.schema->end()) next = &*found;
    } else if (target.schema->is_array() && !name.empty() && name.size() < 9 &&
               name.find_first_not_of("0123456789") == name.npos) {
      const auto index = static_cast<size_t>(std::stoul(name));
      if (index < target.schema->size()) next = &(*target.schema)[index];
    }
    if (next == nullptr) return invalid("{}.$ref: nothing is at {}", path, describe_json(reference));
    target.schema = next;
    target.path += "." + name;
    at = end;
  }
  return target;
}

Result<Json> SchemaMerger::flatten(const Json& schema, const std::string& path) {
  CADRE_CHECK_OK(count_work(path));
  if (schema.is_boolean()) return schema;
  if (!schema.is_object()) return invalid("{}: expected a schema, found {}", path, describe_json(schema));
  if (depth_ == kMaxMergeDepth)
    return fail(ErrorKind::kTooLarge,
                "{}: references and allOf inside each other more than {} deep, or in a circle", path,
                kMaxMergeDepth);
  Json rest = Json::object();
  for (const auto& [keyword, value] : schema.items())
    if (keyword != "$ref" && keyword != "allOf" && keyword != "const" && !is_annotation(keyword))
      rest[keyword] = value;
  CADRE_CHECK_OK(normalise_type(rest, path));
  ++depth_;
  Result<Json> merged = std::move(rest);
  const auto add = [&](const Json& part, const std::string& part_path) {
    if (!merged) return;
    const Result<Json> flat = flatten(part, part_path);
    merged = flat ? merge(*flat, *merged, path) : flat;
  };
  if (const auto found = schema.find("$ref"); found != schema.end()) {
    const Result<Target> target = resolve(*found, path);
    if (target)
      add(*target->schema, target->path);
    else
      merged = tl::unexpected(target.error());
  }
  if (const auto found = schema.find("allOf"); found != schema.end()) {
    if (!is_subschema_list(*found)) merged = invalid("{}.allOf: expected a list of schemas", path);
    for (size_t i = 0; i < found->size() && merged; ++i)
      add((*found)[i], fmt::format("{}.allOf[{}]", path, i));
  }
  if (const auto found = schema.find("const"); found != schema.end() && merged)
    merged = merge(*merged, Json{{"enum", Json::array({*found})}}, path);
  --depth_;
  return merged;
}

Status SchemaMerger::merge_keyword(Json& merged, const std::string& keyword, const Json& value,
                                   const std::string& path) {
  const auto found = merged.find(keyword);
  if (found == merged.end() || *found == value) {
    merged[keyword] = value;
    return {};
  }
  const bool lower_bound = keyword == "minimum" || keyword == "exclusiveMinimum" || keyword == "minLength" ||
                           keyword == "minItems";
  const bool upper_bound = keyword == "maximum" || keyword == "exclusiveMaximum" || keyword == "maxLength" ||
                           keyword == "maxItems";
  if ((lower_bound || upper_bound) && found->is_number() && value.is_number()) {
    if (lower_bound ? *found < value : value < *found) *found = value;
    return {};
  }
  if (keyword == "enum" && found->is_array() && value.is_array()) {
    Json common = Json::array();
    for (const Json& one : *found)
      if (contains_value(value, one)) common.push_back(one);
    *found = std::move(common);
    return {};
  }
  if (keyword == "required" && found->is_array() && value.is_array()) {
    for (const Json& name : value)
      if (!contains_value(*found, name)) found->push_back(name);
    return {};
  }
  if (keyword == "uniqueItems" && found->is_boolean() && value.is_boolean()) {
    *found = true;
    return {};
  }
  if (keyword == "items" && !merged.contains("prefixItems")) {
    *found = both_schemas(*found, value);
    return {};
  }
  if (keyword == "anyOf" && is_subschema_list(*found) && is_subschema_list(value)) {
    Json pairs = Json::array();
    for (const Json& left : *found) {
      for (const Json& right : value) {
        CADRE_CHECK_OK(count_work(path));
        pairs.push_back(both_schemas(left, right));
      }
    }
    *found = std::move(pairs);
    return {};
  }
  return invalid("{}: two different '{}' that hold at once are not supported", path, keyword);
}

Result<Json> SchemaMerger::merge(const Json& left, const Json& right, const std::string& path) {
  CADRE_CHECK_OK(count_work(path));
  if (left.is_boolean()) return left.get<bool>() ? right : left;
  if (right.is_boolean()) return right.get<bool>() ? left : right;
  // What one says of the elements after prefixItems depends on how long the list is.
  const auto describes_items = [](const Json& schema) {
    return schema.contains("prefixItems") || schema.contains("items");
  };
  const auto items_of = [](const Json& schema) {
    return std::pair(schema.value("prefixItems", Json()), schema.value("items", Json()));
  };
  if ((left.contains("prefixItems") || right.contains("prefixItems")) && describes_items(left) &&
      describes_items(right) && items_of(left) != items_of(right))
    return invalid("{}: 'prefixItems' beside other items that hold at once are not supported", path);
  Json merged = left;
  for (const auto& [keyword, value] : right.items()) {
    if (keyword == "type") {
      merged["type"] = left.contains("type") ? common_types(left["type"], value) : value;
    } else if (keyword != "properties" && keyword != "additionalProperties") {
      CADRE_CHECK_OK(merge_keyword(merged, keyword, value, path));
    }
  }
  if (left.contains("properties") || right.contains("properties"))
    merged["properties"] = merge_properties(left, right);
  if (left.contains("additionalProperties") || right.contains("additionalProperties"))
    merged["additionalProperties"] = both_schemas(additional_properties(left), additional_properties(right));
  if (merged.contains("type") && merged["type"].empty()) return Json(false);
  return merged;
}

Result<bool> SchemaMerger::exclude_each_other(const Json& left, const Json& right, const std::string& path,
                                              int depth) {
  CADRE_TRY(const Json ours, flatten(left, path));
  CADRE_TRY(const Json theirs, flatten(right, path));
  if (ours == false || theirs == false) return true;
  if (ours == true || theirs == true) return false;
  const auto only_objects = [](const Json& schema) {
    return schema.contains("type") && schema["type"] == Json::array({"object"});
  };
  if (ours.contains("type") && theirs.contains("type") && common_types(ours["type"], theirs["type"]).empty())
    return true;
  const auto no_value_fits = [](const Json& values, const Json& schema) {
    if (!values.is_array()) return false;
    return std::all_of(values.begin(), values.end(), [&](const Json& value) {
      if (schema.contains("enum") && !contains_value(schema["enum"], value)) return true;
      if (!schema.contains("type")) return false;
      const Json& types = schema["type"];
      return std::none_of(types.begin(), types.end(), [&](const Json& type) {
        return has_json_type(value, type.get_ref<const std::string&>());
      });
    });
  };
  if (ours.contains("enum") && no_value_fits(ours["enum"], theirs)) return true;
  if (theirs.contains("enum") && no_value_fits(theirs["enum"], ours)) return true;
  if (depth > 2 || !only_objects(ours) || !only_objects(theirs)) return false;

  // Objects differ for certain in a member that both must have, or that one must have and the other must not.
  const auto requires_member = [](const Json& schema, const std::string& name) {
    const auto found = schema.find("required");
    return found != schema.end() && found->is_array() && contains_value(*found, name);
  };
  const auto property = [](const Json& schema, const std::string& name) {
    const Json* properties = json_member(schema, "properties");
    if (properties != nullptr && properties->is_object() && properties->contains(name))
      return (*properties)[name];
    return additional_properties(schema);
  };
  for (const auto& [one, other] : {std::pair(&ours, &theirs), std::pair(&theirs, &ours)}) {
    const auto required = one->find("required");
    if (required == one->end() || !required->is_array()) continue;
    for (const Json& name : *required) {
      if (!name.is_string()) continue;
      const Json there = property(*other, name);
      if (there == false) return true;
      if (!requires_member(*other, name)) continue;
      CADRE_TRY(const bool exclusive, exclude_each_other(property(*one, name), there, path, depth + 1));
      if (exclusive) return true;
    }
  }
  return false;
}

}  // namespace cadre
