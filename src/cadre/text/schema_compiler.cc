#include "cadre/text/schema_compiler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "cadre/text/chat_request.h"
#include "cadre/text/grammar_matcher.h"
#include "cadre/text/json_schema.h"
#include "cadre/text/string_pattern.h"

namespace cadre {
namespace {

constexpr int kMaxDepth = 128;       // schemas inside each other
constexpr int kMaxSchemas = 50'000;  // with repetition
constexpr int64_t kMaxItems = 4096;  // a limit of a list that is counted
constexpr size_t kMaxEnumBytes = 100'000;
constexpr int64_t kMaxDivisor = 4096;
constexpr int64_t kMostCharacters = int64_t{1} << 40;  // no answer is longer

constexpr std::array<std::string_view, 6> kTypes = {"object", "array", "string", "number", "boolean", "null"};

constexpr std::array<std::string_view, 21> kKeywords = {"type",
                                                        "enum",
                                                        "anyOf",
                                                        "oneOf",
                                                        "properties",
                                                        "required",
                                                        "additionalProperties",
                                                        "items",
                                                        "prefixItems",
                                                        "minItems",
                                                        "maxItems",
                                                        "minLength",
                                                        "maxLength",
                                                        "pattern",
                                                        "format",
                                                        "minimum",
                                                        "maximum",
                                                        "exclusiveMinimum",
                                                        "exclusiveMaximum",
                                                        "multipleOf",
                                                        "uniqueItems"};

/// Errors: a keyword that the rest of this file does not know.
Status check_keywords(const Json& schema, const std::string& path) {
  for (const auto& [keyword, value] : schema.items()) {
    if (std::find(kKeywords.begin(), kKeywords.end(), keyword) == kKeywords.end())
      return invalid("{}: '{}' is not supported", path, keyword);
  }
  return {};
}

Result<int64_t> count_or(const Json& schema, const char* keyword, int64_t otherwise,
                         const std::string& path) {
  const auto found = schema.find(keyword);
  if (found == schema.end()) return otherwise;
  const bool whole = found->is_number() && has_json_type(*found, "integer") && *found >= 0;
  if (!whole)
    return invalid("{}.{}: expected a whole number from 0 on, found {}", path, keyword,
                   describe_json(*found));
  return *found > kMostCharacters ? kMostCharacters : found->get<int64_t>();
}

/// With the place where it happened in front.
tl::unexpected<Error> at(const std::string& path, Error error) {
  error.message = path + ": " + error.message;
  return tl::unexpected(std::move(error));
}

/// The tighter one of `keyword` and its exclusive twin.
Result<std::optional<NumberBound>> read_bound(const Json& schema, const char* keyword,
                                              const char* exclusive_keyword, bool lower,
                                              const std::string& path) {
  const Json* tightest = nullptr;
  bool exclusive = false;
  for (const bool twin : {false, true}) {
    const char* const name = twin ? exclusive_keyword : keyword;
    const auto found = schema.find(name);
    if (found == schema.end()) continue;
    if (!found->is_number() || !std::isfinite(found->get<double>()))
      return invalid("{}.{}: expected a number, found {}", path, name, describe_json(*found));
    if (tightest != nullptr && (lower ? *found < *tightest : *found > *tightest)) continue;
    tightest = &*found;
    exclusive = twin;
  }
  if (tightest == nullptr) return std::optional<NumberBound>();
  Result<Decimal> value = Decimal::from(*tightest);
  if (!value) return at(fmt::format("{}.{}", path, exclusive ? exclusive_keyword : keyword), value.error());
  return std::optional(NumberBound{*std::move(value), exclusive});
}

}  // namespace

SchemaCompiler::SchemaCompiler(GrammarBuilder& grammar, const Json& root, std::string_view path)
    : grammar_(grammar), root_(root), merger_(root, path) {}

Result<const SchemaCompiler::Punctuation*> SchemaCompiler::punctuation() {
  if (punctuation_) return &*punctuation_;
  RegularBuilder& regular = grammar_.regular();
  const auto space = regular.either(
      {regular.empty(), regular.literal(" "),
       regular.sequence(regular.literal("\n"),
                        regular.either({regular.repeat(regular.literal(" "), 0, JsonGrammar::kMaxIndentation),
                                        regular.repeat(regular.literal("\t"), 0, JsonGrammar::kMaxTabs)}))});
  const auto spaced = [&](const char* mark) {
    return regular.sequence({space, regular.literal(mark), space});
  };
  Punctuation made{};
  CADRE_TRY(made.space, grammar_.automaton(space));
  CADRE_TRY(made.comma, grammar_.automaton(spaced(",")));
  CADRE_TRY(made.colon, grammar_.automaton(spaced(":")));
  CADRE_TRY(made.object_open, grammar_.literal("{"));
  CADRE_TRY(made.object_close, grammar_.automaton(regular.sequence(space, regular.literal("}"))));
  CADRE_TRY(made.array_open, grammar_.literal("["));
  CADRE_TRY(made.array_close, grammar_.automaton(regular.sequence(space, regular.literal("]"))));
  punctuation_ = made;
  return &*punctuation_;
}

Result<GrammarId> SchemaCompiler::anything() {
  if (anything_) return *anything_;
  anything_ = grammar_.choice({});
  std::vector<GrammarId> parts;
  for (const std::string_view type : kTypes) {
    CADRE_TRY(const GrammarId part, compile_type(type, Json::object(), "", SchemaPart::kAll));
    parts.push_back(part);
  }
  grammar_.set_parts(*anything_, std::move(parts));
  return *anything_;
}

Status SchemaCompiler::finish() {
  while (!pending_.empty()) {
    const Pending next = std::move(pending_.back());
    pending_.pop_back();
    CADRE_TRY(const GrammarId node, compile(*next.schema, next.path, next.part));
    grammar_.set_parts(next.node, {node});
  }
  return {};
}

/// Not compiled at once: schemas may refer to themselves.
Result<GrammarId> SchemaCompiler::compile_reference(const Json& reference, const std::string& path,
                                                    SchemaPart part) {
  CADRE_TRY(const SchemaMerger::Target target, merger_.resolve(reference, path));
  const auto [found, inserted] = references_.try_emplace({target.schema, part}, 0);
  if (inserted) {
    found->second = grammar_.choice({});
    pending_.push_back({target.schema, target.path, part, found->second});
  }
  return found->second;
}

Result<GrammarId> SchemaCompiler::compile(const Json& schema, const std::string& path, SchemaPart part) {
  if (++compiled_ > kMaxSchemas || grammar_.too_large())
    return fail(ErrorKind::kTooLarge, "{}: the schema is larger than the limit of {} parts", path,
                kMaxSchemas);
  if (depth_ == kMaxDepth)
    return fail(ErrorKind::kTooLarge, "{}: nested deeper than {} levels", path, kMaxDepth);
  if (schema.is_object() && schema.contains("$ref")) {
    const auto& items = schema.items();
    const bool alone = std::all_of(items.begin(), items.end(), [](const auto& item) {
      return item.key() == "$ref" || is_annotation(item.key());
    });
    if (alone) return compile_reference(schema["$ref"], path, part);
  }
  CADRE_TRY(const Json flat, merger_.flatten(schema, path));
  if (flat == false) return grammar_.choice({});
  if (part == SchemaPart::kAll && (flat == true || flat.empty())) return anything();
  ++depth_;
  Result<GrammarId> node = compile_flat(flat == true ? Json::object() : flat, path, part);
  --depth_;
  return node;
}

Result<GrammarId> SchemaCompiler::compile_flat(const Json& schema, const std::string& path, SchemaPart part) {
  CADRE_CHECK_OK(check_keywords(schema, path));
  if (schema.contains("anyOf")) return compile_alternatives(schema, "anyOf", path, part);
  if (schema.contains("oneOf")) return compile_alternatives(schema, "oneOf", path, part);
  if (schema.contains("enum")) return compile_values(schema, path, part);
  std::vector<GrammarId> parts;
  const Json types = schema.contains("type") ? schema["type"] : Json(kTypes);
  for (const Json& type : types) {
    const bool string = type == "string";
    if (part != SchemaPart::kAll && string != (part == SchemaPart::kRawStrings)) continue;
    CADRE_TRY(const GrammarId node, compile_type(type.get<std::string>(), schema, path, part));
    parts.push_back(node);
  }
  return parts.size() == 1 ? parts[0] : grammar_.choice(std::move(parts));
}

Result<GrammarId> SchemaCompiler::compile_alternatives(const Json& schema, const std::string& keyword,
                                                       const std::string& path, SchemaPart part) {
  const Json& branches = schema[keyword];
  const std::string list_path = path + "." + keyword;
  if (!branches.is_array() || branches.empty()) return invalid("{}: expected a list of schemas", list_path);
  Json base = schema;
  base.erase(keyword);
  std::vector<Json> merged;
  std::vector<GrammarId> parts;
  for (size_t i = 0; i < branches.size(); ++i) {
    const std::string branch_path = fmt::format("{}[{}]", list_path, i);
    if (keyword == "anyOf" && base.empty()) {
      CADRE_TRY(const GrammarId node, compile(branches[i], branch_path, part));
      parts.push_back(node);
      continue;
    }
    CADRE_TRY(const Json flat, merger_.flatten(branches[i], branch_path));
    CADRE_TRY(Json branch, merger_.merge(base, flat, branch_path));
    for (size_t j = 0; keyword == "oneOf" && j < merged.size(); ++j) {
      CADRE_TRY(const bool exclusive, merger_.exclude_each_other(merged[j], branch, branch_path));
      if (!exclusive)
        return invalid(
            "{}: branches {} and {} could both be satisfied, and whether they are cannot be told before the "
            "end; "
            "give them different types, or a required property with different constants, or use anyOf",
            list_path, j, i);
    }
    CADRE_TRY(const GrammarId node,
              base.empty() ? compile(branches[i], branch_path, part) : compile(branch, branch_path, part));
    parts.push_back(node);
    if (keyword == "oneOf") merged.push_back(std::move(branch));
  }
  return grammar_.choice(std::move(parts));
}

/// Whether a value of an enum is valid against what else the schema says.
Result<bool> SchemaCompiler::keeps_to(const Json& value, const Json& schema, const std::string& path) {
  if (schema.empty()) return true;
  const bool only_type = schema.size() == 1 && schema.contains("type");
  if (schema.contains("type")) {
    const Json& types = schema["type"];
    const bool fits = std::any_of(types.begin(), types.end(), [&](const Json& type) {
      return has_json_type(value, type.get_ref<const std::string&>());
    });
    if (!fits || only_type) return fits;
  }
  if (value.is_structured())
    return invalid("{}: 'enum' or 'const' with lists or objects, beside other keywords, is not supported",
                   path);
  GrammarBuilder grammar;
  SchemaCompiler compiler(grammar, root_, path);
  CADRE_TRY(const GrammarId node, compiler.compile(schema, path));
  CADRE_CHECK_OK(compiler.finish());
  const auto built = std::move(grammar).build(node, JsonGrammar::kMaxNesting);
  if (!built) return false;  // nothing at all is valid
  return grammar_accepts(*built, dump_json(value));
}

Result<GrammarId> SchemaCompiler::compile_values(const Json& schema, const std::string& path,
                                                 SchemaPart part) {
  const Json& values = schema["enum"];
  if (!values.is_array())
    return invalid("{}.enum: expected a list of values, found {}", path, describe_json(values));
  Json rest = schema;
  rest.erase("enum");
  RegularBuilder& regular = grammar_.regular();
  std::vector<RegularBuilder::Id> texts;
  size_t bytes = 0;
  for (const Json& value : values) {
    if (part != SchemaPart::kAll && value.is_string() != (part == SchemaPart::kRawStrings)) continue;
    CADRE_TRY(const bool valid, keeps_to(value, rest, path));
    if (!valid) continue;
    const bool raw = part == SchemaPart::kRawStrings;
    const std::string text = raw ? value.get_ref<const std::string&>() : dump_json(value);
    bytes += text.size() + 1;
    if (bytes > kMaxEnumBytes)
      return fail(ErrorKind::kTooLarge, "{}.enum: more than {} bytes of values", path, kMaxEnumBytes);
    texts.push_back(regular.literal(text));
  }
  if (part == SchemaPart::kRawStrings) return string_node(regular.either(texts), part);
  Result<GrammarId> node = grammar_.automaton(regular.either(texts));
  if (!node) return at(path + ".enum", node.error());
  return node;
}

Result<GrammarId> SchemaCompiler::compile_type(std::string_view type, const Json& schema,
                                               const std::string& path, SchemaPart part) {
  if (type == "null") return grammar_.literal("null");
  if (type == "boolean")
    return grammar_.automaton(
        grammar_.regular().either({grammar_.regular().literal("true"), grammar_.regular().literal("false")}));
  if (type == "string") return compile_string(schema, path, part);
  if (type == "object") return compile_object(schema, path);
  if (type == "array") return compile_array(schema, path);
  return compile_number(schema, type == "integer", path);
}

/// `body` with what stands around a string.
Result<GrammarId> SchemaCompiler::string_node(RegularBuilder::Id body, SchemaPart part) {
  RegularBuilder& regular = grammar_.regular();
  if (part != SchemaPart::kRawStrings)
    return grammar_.automaton(regular.sequence({regular.literal("\""), body, regular.literal("\"")}));
  const auto with_end = regular.sequence({regular.any(), regular.literal(raw_end_.text), regular.any()});
  return grammar_.automaton(
      regular.sequence(regular.both(body, regular.complement(with_end)), regular.literal(raw_end_.spelled)));
}

Result<GrammarId> SchemaCompiler::compile_string(const Json& schema, const std::string& path,
                                                 SchemaPart part) {
  CADRE_TRY(const int64_t least, count_or(schema, "minLength", 0, path));
  CADRE_TRY(const int64_t most, count_or(schema, "maxLength", RegularBuilder::kUnbounded, path));
  const auto pattern = schema.find("pattern");
  const auto format = schema.find("format");
  if (pattern == schema.end() && format == schema.end() && part == SchemaPart::kAll)
    return grammar_.string(least, most);
  if (most != RegularBuilder::kUnbounded && least > most) return grammar_.choice({});
  const StringEncoding encoding =
      part == SchemaPart::kRawStrings ? StringEncoding::kRaw : StringEncoding::kJson;
  RegularBuilder& regular = grammar_.regular();
  RegularBuilder::Id body = any_string(regular, least, most, encoding);
  for (const bool is_pattern : {true, false}) {
    const auto keyword = is_pattern ? pattern : format;
    if (keyword == schema.end()) continue;
    const std::string keyword_path = path + (is_pattern ? ".pattern" : ".format");
    if (!keyword->is_string())
      return invalid("{}: expected a string, found {}", keyword_path, describe_json(*keyword));
    const auto& text = keyword->get_ref<const std::string&>();
    const auto compiled =
        is_pattern ? compile_pattern(regular, text, encoding) : compile_format(regular, text, encoding);
    if (!compiled) return at(keyword_path, compiled.error());
    body = regular.both(body, *compiled);
  }
  Result<GrammarId> node = string_node(body, part);
  if (!node) return at(path, node.error());
  return node;
}

Result<GrammarId> SchemaCompiler::compile_number(const Json& schema, bool integer, const std::string& path) {
  NumberRange range;
  range.integer = integer;
  CADRE_TRY(range.lowest, read_bound(schema, "minimum", "exclusiveMinimum", true, path));
  CADRE_TRY(range.highest, read_bound(schema, "maximum", "exclusiveMaximum", false, path));
  if (const auto found = schema.find("multipleOf"); found != schema.end()) {
    if (!found->is_number() || !(*found > 0))
      return invalid("{}.multipleOf: expected a number above 0, found {}", path, describe_json(*found));
    Result<Decimal> step = Decimal::from(*found);
    if (!step) return at(path + ".multipleOf", step.error());
    // 0.01 and the like limit the places after the point, which is exact; 0.25 is not a matter of digits.
    const bool power_of_ten = step->whole == "0" &&
                              step->fraction.find_first_not_of('0') + 1 == step->fraction.size() &&
                              step->fraction.back() == '1';
    if (step->fraction.empty() && *found <= kMaxDivisor) {
      range.integer = true;
      range.multiple_of = static_cast<int64_t>(found->get<double>());
    } else if (!power_of_ten) {
      return invalid("{}.multipleOf: only whole numbers up to {} and 0.1, 0.01, ... are supported, found {}",
                     path, kMaxDivisor, describe_json(*found));
    } else if (!integer) {
      range.decimal_places = static_cast<int>(step->fraction.size());
    }
  }
  Result<GrammarId> node = grammar_.automaton(number_text(grammar_.regular(), range));
  if (!node) return at(path, node.error());
  return node;
}

Result<GrammarId> SchemaCompiler::compile_array(const Json& schema, const std::string& path) {
  CADRE_TRY(const Punctuation* const marks, punctuation());
  CADRE_TRY(const int64_t least, count_or(schema, "minItems", 0, path));
  CADRE_TRY(const int64_t most, count_or(schema, "maxItems", RegularBuilder::kUnbounded, path));
  if (least > kMaxItems || most > kMaxItems)
    return fail(ErrorKind::kTooLarge, "{}: at most {} items can be counted", path, kMaxItems);
  const auto unique = schema.find("uniqueItems");
  if (unique != schema.end() && *unique != false && (most < 0 || most > 1))
    return invalid("{}: 'uniqueItems' is not supported", path);
  std::vector<GrammarId> first_items;
  if (const auto prefix = schema.find("prefixItems"); prefix != schema.end()) {
    if (!prefix->is_array()) return invalid("{}.prefixItems: expected a list of schemas", path);
    for (size_t i = 0; i < prefix->size(); ++i) {
      CADRE_TRY(const GrammarId item, compile((*prefix)[i], fmt::format("{}.prefixItems[{}]", path, i)));
      first_items.push_back(item);
    }
  }
  const auto items = schema.find("items");
  if (items != schema.end() && items->is_array())
    return invalid("{}.items: expected a schema, found a list; that is 'prefixItems' now", path);
  const bool limited = items != schema.end() && *items == false;
  CADRE_TRY(const GrammarId item, items == schema.end() ? anything() : compile(*items, path + ".items"));

  const auto prefix_count = static_cast<int64_t>(first_items.size());
  int64_t counted = most >= 0 ? most : std::max(least, prefix_count);
  if (limited) counted = most >= 0 ? std::min(most, prefix_count) : prefix_count;
  if (counted < least) return grammar_.choice({});
  // From the end: what may follow after `i` items.
  const GrammarId nothing = grammar_.empty();
  GrammarId rest = nothing;
  if (most < 0 && !limited) {
    rest = grammar_.choice({});
    grammar_.set_parts(rest, {nothing, grammar_.sequence({marks->comma, item, rest})});
    if (counted == 0) rest = grammar_.choice({nothing, grammar_.sequence({marks->space, item, rest})});
  }
  for (int64_t i = counted - 1; i >= 0; --i) {
    const GrammarId next = i < prefix_count ? first_items[static_cast<size_t>(i)] : item;
    const GrammarId more = grammar_.sequence({i == 0 ? marks->space : marks->comma, next, rest});
    rest = i >= least ? grammar_.choice({nothing, more}) : more;
  }
  return grammar_.sequence({marks->array_open, rest, marks->array_close}, true);
}

/// Members that the schema does not name, from none on; after a comma unless they are the first.
Result<GrammarId> SchemaCompiler::compile_further_members(const std::vector<Member>& members,
                                                          const Json& schema, bool first,
                                                          const std::string& path) {
  CADRE_TRY(const Punctuation* const marks, punctuation());
  RegularBuilder& regular = grammar_.regular();
  std::vector<RegularBuilder::Id> named;
  named.reserve(members.size());
  for (const Member& member : members)
    named.push_back(regular.literal(encode_string(member.name, StringEncoding::kJson)));
  const auto other = regular.both(any_string(regular, 0, RegularBuilder::kUnbounded, StringEncoding::kJson),
                                  regular.complement(regular.either(named)));
  Result<GrammarId> key =
      grammar_.key(regular.sequence({regular.literal("\""), other, regular.literal("\"")}));
  if (!key) return at(path, key.error());
  CADRE_TRY(const GrammarId value, compile(schema, path + ".additionalProperties"));
  const GrammarId more = grammar_.choice({});
  grammar_.set_parts(more,
                     {grammar_.empty(), grammar_.sequence({marks->comma, *key, marks->colon, value, more})});
  if (!first) return more;
  return grammar_.choice(
      {grammar_.empty(), grammar_.sequence({marks->space, *key, marks->colon, value, more})});
}

Result<std::vector<SchemaCompiler::Member>> SchemaCompiler::list_members(const Json& schema,
                                                                         const std::string& path) {
  std::vector<Member> members;
  std::set<std::string> required;
  const auto list = schema.find("required");
  if (list != schema.end()) {
    if (!list->is_array())
      return invalid("{}.required: expected a list of names, found {}", path, describe_json(*list));
    for (const Json& name : *list) {
      if (!name.is_string())
        return invalid("{}.required: expected names, found {}", path, describe_json(name));
      required.insert(name.get<std::string>());
    }
  }
  if (const auto properties = schema.find("properties"); properties != schema.end()) {
    if (!properties->is_object())
      return invalid("{}.properties: expected an object, found {}", path, describe_json(*properties));
    for (const auto& [name, property] : properties->items())
      members.push_back(
          {name, property, fmt::format("{}.properties.{}", path, name), required.erase(name) > 0});
  }
  if (required.empty()) return members;
  const Json further = schema.value("additionalProperties", Json(true));
  for (const Json& name : *list)
    if (required.erase(name.get<std::string>()) > 0)
      members.push_back({name.get<std::string>(), further, path + ".additionalProperties", true});
  return members;
}

Result<std::vector<SchemaCompiler::Member>> SchemaCompiler::members(const Json& schema,
                                                                    const std::string& path) {
  CADRE_TRY(const Json flat, merger_.flatten(schema, path));
  CADRE_CHECK_OK(check_keywords(flat, path));
  if (!flat.is_object()) return invalid("{}: expected a schema of an object", path);
  for (const char* const keyword : {"anyOf", "oneOf", "enum"})
    if (flat.contains(keyword)) return invalid("{}: '{}' is not supported here", path, keyword);
  if (flat.contains("type") &&
      std::find(flat["type"].begin(), flat["type"].end(), "object") == flat["type"].end())
    return invalid("{}.type: expected an object", path);
  return list_members(flat, path);
}

Result<GrammarId> SchemaCompiler::compile_object(const Json& schema, const std::string& path) {
  CADRE_TRY(const Punctuation* const marks, punctuation());
  CADRE_TRY(const std::vector<Member> members, list_members(schema, path));
  const Json further = schema.value("additionalProperties", Json(true));
  // From the end, for an object with and without members so far.
  GrammarId begun = grammar_.empty();
  GrammarId blank = begun;
  if (further != false) {
    CADRE_TRY(begun, compile_further_members(members, further, false, path));
    CADRE_TRY(blank, compile_further_members(members, further, true, path));
  }
  for (size_t i = members.size(); i-- > 0;) {
    const Member& member = members[i];
    if (!member.required && member.schema == false) continue;
    CADRE_TRY(const GrammarId key,
              grammar_.literal("\"" + encode_string(member.name, StringEncoding::kJson) + "\""));
    CADRE_TRY(const GrammarId value, compile(member.schema, member.path));
    const GrammarId after_comma = grammar_.sequence({marks->comma, key, marks->colon, value, begun});
    const GrammarId first = grammar_.sequence({marks->space, key, marks->colon, value, begun});
    begun = member.required ? after_comma : grammar_.choice({after_comma, begun});
    blank = member.required ? first : grammar_.choice({first, blank});
  }
  return grammar_.sequence({marks->object_open, blank, marks->object_close}, true);
}

}  // namespace cadre
