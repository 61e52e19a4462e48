#include "cadre/text/jinja_value.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cadre::jinja {
namespace {

/// Up to here a search through the keys is as fast as an index.
constexpr size_t kUnindexedKeys = 8;

std::string_view sequence_type(SequenceKind kind) {
  switch (kind) {
    case SequenceKind::kList:
      return "list";
    case SequenceKind::kTuple:
      return "tuple";
    case SequenceKind::kRange:
      return "range";
    case SequenceKind::kKeys:
      return "dict_keys";
    case SequenceKind::kValues:
      return "dict_values";
    case SequenceKind::kItems:
      return "dict_items";
  }
  return "";
}

Value json_number(const Json& json) {
  if (json.is_number_unsigned()) return Value::integer(json.get<uint64_t>());
  if (json.is_number_integer()) return Value::integer(json.get<int64_t>());
  return Value::number(json.get<double>());
}

}  // namespace

Value Value::undefined(std::string message) {
  return Value(Storage(Undefined{std::make_shared<const std::string>(std::move(message))}));
}

Value Value::from_json(const Json& json, int depth) {
  if (depth >= kMaxDepth) return none();
  if (json.is_boolean()) return boolean(json.get<bool>());
  if (json.is_number()) return json_number(json);
  if (json.is_string()) return string(json.get<std::string>());
  if (json.is_array()) {
    Sequence list;
    list.items.reserve(json.size());
    for (const Json& item : json) {
      list.items.push_back(from_json(item, depth + 1));
      list.extent.add(list.items.back());
    }
    return Value(std::make_shared<const Sequence>(std::move(list)));
  }
  if (json.is_object()) {
    auto dict = std::make_shared<Dict>();
    for (const auto& [key, item] : json.items()) dict->set(string(key), from_json(item, depth + 1));
    return Value(std::shared_ptr<const Dict>(std::move(dict)));
  }
  return none();
}

Int Value::as_integer() const { return is(Kind::kBool) ? Int{as_bool()} : std::get<Int>(storage_); }

double Value::as_double() const {
  return is(Kind::kFloat) ? std::get<double>(storage_) : static_cast<double>(as_integer());
}

std::string Value::undefined_message() const {
  const auto& message = std::get<Undefined>(storage_).message;
  return message ? *message : "value is undefined";
}

bool Value::truthy() const {
  switch (kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return as_bool();
    case Kind::kInt:
      return as_integer() != 0;
    case Kind::kFloat:
      return as_double() != 0;
    case Kind::kString:
      return !text().empty();
    case Kind::kSequence:
      return !sequence().items.empty();
    case Kind::kDict:
      return dict().size() > 0;
    case Kind::kGenerator:  // an object without length, whatever it holds
    case Kind::kNamespace:
    case Kind::kMacro:
    case Kind::kLoop:
    case Kind::kMethod:
    case Kind::kFunction:
      return true;
  }
  return true;
}

std::string_view Value::type_name() const {
  switch (kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kSequence:
      return sequence_type(sequence().kind);
    case Kind::kGenerator:
      return "generator";
    case Kind::kDict:
      return "dict";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kMacro:
      return "Macro";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kMethod:
      return "method";
    case Kind::kFunction:
      return "function";
  }
  return "";
}

int Value::depth() const {
  switch (kind()) {
    case Kind::kSequence:
      return sequence().extent.depth;
    case Kind::kGenerator:
      return generator().extent.depth;
    case Kind::kDict:
      return dict().extent().depth;
    case Kind::kMethod:
      return 1 + method().self.depth();
    default:
      return 0;
  }
}

uint64_t Value::weight() const {
  switch (kind()) {
    case Kind::kString:
      return 1 + text().size() / kBytesPerStep;
    case Kind::kSequence:
      return sequence().extent.weight;
    case Kind::kGenerator:
      return generator().extent.weight;
    case Kind::kDict:
      return dict().extent().weight;
    default:
      return 1;
  }
}

bool Value::same_as(const Value& other) const {
  if (kind() != other.kind()) return false;
  switch (kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
    case Kind::kString:
      return values_equal(*this, other);
    case Kind::kSequence:
      return &sequence() == &other.sequence();
    case Kind::kGenerator:
      return &generator() == &other.generator();
    case Kind::kDict:
      return &dict() == &other.dict();
    case Kind::kNamespace:
      return &space() == &other.space();
    case Kind::kMacro:
      return &macro() == &other.macro();
    case Kind::kLoop:
      return &loop() == &other.loop();
    case Kind::kMethod:
      return method().method == other.method().method && method().self.same_as(other.method().self);
    case Kind::kFunction:
      return &function() == &other.function();
  }
  return false;
}

void Extent::add(const Value& item) {
  depth = std::max(depth, item.depth() + 1);
  const uint64_t more = item.weight();
  weight = weight > std::numeric_limits<uint64_t>::max() - more ? std::numeric_limits<uint64_t>::max()
                                                                : weight + more;
}

size_t Dict::index_of(std::string_view key) const {
  if (size() > kUnindexedKeys) {
    const auto found = strings_.find(key);
    return found == strings_.end() ? size() : found->second;
  }
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
    return entry.first.is_string() && entry.first.text() == key;
  });
  return static_cast<size_t>(found - entries_.begin());
}

size_t Dict::index_of(const Value& key) const {
  if (key.is_string()) return index_of(std::string_view(key.text()));
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const auto& entry) { return values_equal(entry.first, key); });
  return static_cast<size_t>(found - entries_.begin());
}

const Value* Dict::find(std::string_view key) const {
  const size_t index = index_of(key);
  return index == size() ? nullptr : &entries_[index].second;
}

const Value* Dict::find(const Value& key) const {
  const size_t index = index_of(key);
  return index == size() ? nullptr : &entries_[index].second;
}

void Dict::set(const Value& key, Value value) {
  extent_.add(key);
  extent_.add(value);
  if (!key.is_string()) extent_.weight += size();  // found by search, also when dicts are compared
  if (const size_t index = index_of(key); index < size()) {
    entries_[index].second = std::move(value);
    return;
  }
  entries_.emplace_back(key, std::move(value));
  if (entries_.size() == kUnindexedKeys + 1) {
    for (size_t i = 0; i < entries_.size(); ++i)
      if (entries_[i].first.is_string()) strings_.emplace(entries_[i].first.text(), i);
  } else if (entries_.size() > kUnindexedKeys && key.is_string()) {
    strings_.emplace(entries_.back().first.text(), entries_.size() - 1);
  }
}

const Value* Namespace::find(std::string_view name) const {
  for (const auto& [key, value] : members)
    if (key == name) return &value;
  return nullptr;
}

void Namespace::set(std::string_view name, Value value) {
  for (auto& [key, old] : members) {
    if (key != name) continue;
    old = std::move(value);
    return;
  }
  members.emplace_back(name, std::move(value));
}

bool is_hashable(const Value& value) {
  if (value.is(Kind::kDict)) return false;
  if (!value.is(Kind::kSequence)) return true;
  const Sequence& sequence = value.sequence();
  if (sequence.kind == SequenceKind::kRange) return true;
  return sequence.kind == SequenceKind::kTuple &&
         std::all_of(sequence.items.begin(), sequence.items.end(), is_hashable);
}

namespace {

bool numbers_equal(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return a.as_integer() == b.as_integer();
  return a.as_double() == b.as_double();
}

bool sequences_equal(const Sequence& a, const Sequence& b) {
  return &a == &b || (a.kind == b.kind && a.items.size() == b.items.size() &&
                      std::equal(a.items.begin(), a.items.end(), b.items.begin(), values_equal));
}

bool dicts_equal(const Dict& a, const Dict& b) {
  if (&a == &b) return true;
  if (a.size() != b.size()) return false;
  return std::all_of(a.entries().begin(), a.entries().end(), [&](const auto& entry) {
    const Value* other = b.find(entry.first);
    return other != nullptr && values_equal(entry.second, *other);
  });
}

tl::unexpected<Error> no_order(const Value& a, const Value& b) {
  return invalid("'<' not supported between instances of '{}' and '{}'", a.type_name(), b.type_name());
}

}  // namespace

bool values_equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return numbers_equal(a, b);
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      return a.text() == b.text();
    case Kind::kSequence:
      return sequences_equal(a.sequence(), b.sequence());
    case Kind::kDict:
      return dicts_equal(a.dict(), b.dict());
    default:
      return a.same_as(b);
  }
}

Result<bool> value_less(const Value& a, const Value& b) {
  if (a.is_undefined() || b.is_undefined())
    return invalid("{}", (a.is_undefined() ? a : b).undefined_message());
  if (a.is_integral() && b.is_integral()) return a.as_integer() < b.as_integer();
  if (a.is_number() && b.is_number()) return a.as_double() < b.as_double();
  if (a.is_string() && b.is_string()) return a.text() < b.text();  // UTF-8 keeps the order of code points
  if (!a.is(Kind::kSequence) || !b.is(Kind::kSequence)) return no_order(a, b);
  const Sequence& left = a.sequence();
  const Sequence& right = b.sequence();
  if (left.kind != right.kind || left.kind > SequenceKind::kTuple) return no_order(a, b);
  for (size_t i = 0; i < std::min(left.items.size(), right.items.size()); ++i)
    if (!values_equal(left.items[i], right.items[i])) return value_less(left.items[i], right.items[i]);
  return left.items.size() < right.items.size();
}

}  // namespace cadre::jinja
