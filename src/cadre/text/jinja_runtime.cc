#include "cadre/text/jinja_runtime.h"

#include <algorithm>

#include "cadre/text/jinja_text.h"
#include "cadre/text/utf8.h"

namespace cadre::jinja {

Result<std::string_view> Bound::text(size_t index, std::string_view otherwise) const {
  const Value* value = find(index);
  if (value == nullptr) return otherwise;
  if (!value->is_string()) return invalid("expected a string as argument, found {}", value->type_name());
  return std::string_view(value->text());
}

Result<int64_t> Bound::integer(size_t index, int64_t otherwise) const {
  const Value* value = find(index);
  if (value == nullptr || value->is_none()) return otherwise;
  if (!value->is_integral()) return invalid("expected an integer as argument, found {}", value->type_name());
  constexpr Int kHighest = Int{1} << 62;
  const Int integer = value->as_integer();
  if (integer > kHighest || integer < -kHighest) return invalid("integer argument {} is too large", integer);
  return static_cast<int64_t>(integer);
}

Result<Value> call_builtin(Runtime& runtime, const Builtin& builtin, const Value& self,
                           const CallArguments& arguments) {
  Bound bound;
  bound.all_ = &arguments;
  if (builtin.variadic) return builtin.function(runtime, self, bound);
  const auto& parameters = builtin.parameters;
  const auto count = static_cast<size_t>(std::count_if(parameters.begin(), parameters.end(),
                                                       [](std::string_view name) { return !name.empty(); }));
  if (arguments.positional.size() > count)
    return invalid("'{}' takes at most {} arguments, {} given", builtin.name, count,
                   arguments.positional.size());
  for (size_t i = 0; i < arguments.positional.size(); ++i) bound.values_[i] = arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(parameters.begin(), parameters.begin() + count, name);
    if (found == parameters.begin() + count) return invalid("'{}' has no argument '{}'", builtin.name, name);
    auto& slot = bound.values_[static_cast<size_t>(found - parameters.begin())];
    if (slot) return invalid("'{}' got two values for its argument '{}'", builtin.name, name);
    slot = value;
  }
  for (size_t i = 0; i < builtin.required; ++i)
    if (!bound.values_[i]) return invalid("'{}' lacks its argument '{}'", builtin.name, parameters[i]);
  return builtin.function(runtime, self, bound);
}

const Builtin* find_builtin(std::span<const Builtin> table, std::string_view name) {
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const Builtin& entry) { return entry.name == name; });
  return found == table.end() ? nullptr : &*found;
}

Status Runtime::charge(uint64_t steps) {
  if (steps > steps_left_)
    return fail(ErrorKind::kTooLarge, "the template needs more than the {} steps of work allowed", steps_);
  steps_left_ -= steps;
  return {};
}

Result<Value> Runtime::make_text(std::string text) {
  CADRE_CHECK_OK(charge_text(text.size()));
  return Value::string(std::move(text));
}

namespace {

Status check_depth(int depth) {
  if (depth > Value::kMaxDepth)
    return fail(ErrorKind::kTooLarge, "a value is nested deeper than {} levels", Value::kMaxDepth);
  return {};
}

Extent extent_of(const Values& items) {
  Extent extent;
  for (const Value& item : items) extent.add(item);
  return extent;
}

}  // namespace

Result<Value> Runtime::make_sequence(Values items, SequenceKind kind) {
  CADRE_CHECK_OK(charge(1 + items.size()));
  const Extent extent = extent_of(items);
  CADRE_CHECK_OK(check_depth(extent.depth));
  return Value(std::make_shared<const Sequence>(Sequence{kind, std::move(items), extent}));
}

Result<Value> Runtime::make_generator(Values items) {
  CADRE_CHECK_OK(charge(1 + items.size()));
  const Extent extent = extent_of(items);
  CADRE_CHECK_OK(check_depth(extent.depth));
  return Value(std::make_shared<Generator>(Generator{.items = std::move(items), .extent = extent}));
}

Result<Value> Runtime::make_dict(Dict dict) {
  CADRE_CHECK_OK(charge(1 + dict.size()));
  CADRE_CHECK_OK(check_depth(dict.extent().depth));
  return Value(std::shared_ptr<const Dict>(std::make_shared<Dict>(std::move(dict))));
}

Result<Value> Runtime::make_namespace(Namespace space) {
  CADRE_CHECK_OK(charge(8));  // they live as long as the rendering
  namespaces_.push_back(std::move(space));
  return Value(&namespaces_.back());
}

Status Runtime::set_item(Dict& dict, const Value& key, Value value) {
  if (!is_hashable(key)) return invalid("a {} cannot be a key", key.type_name());
  CADRE_CHECK_OK(charge(1 + key.weight() + (key.is_string() ? 0 : dict.size())));
  dict.set(key, std::move(value));
  return {};
}

Result<Values> Runtime::iterate(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return Values();
    case Kind::kSequence:
      CADRE_CHECK_OK(charge(value.sequence().items.size()));
      return value.sequence().items;
    case Kind::kGenerator: {
      Generator& source = value.generator();
      CADRE_CHECK_OK(charge(source.items.size() - source.next));
      const size_t from = std::exchange(source.next, source.items.size());
      return Values(source.items.begin() + static_cast<ptrdiff_t>(from), source.items.end());
    }
    case Kind::kDict: {
      CADRE_CHECK_OK(charge(value.dict().size()));
      Values keys;
      for (const auto& entry : value.dict().entries()) keys.push_back(entry.first);
      return keys;
    }
    case Kind::kString: {
      const std::string& text = value.text();
      CADRE_CHECK_OK(charge(text.size()));
      Values letters;
      for (size_t at = 0; at < text.size();) {
        const size_t length = decode_utf8(text, at).length;
        letters.push_back(Value::string(text.substr(at, length)));
        at += length;
      }
      return letters;
    }
    default:
      return invalid("'{}' object is not iterable", value.type_name());
  }
}

Result<bool> Runtime::equal(const Value& a, const Value& b) {
  CADRE_CHECK_OK(charge(std::min(a.weight(), b.weight())));
  return values_equal(a, b);
}

Result<bool> Runtime::less(const Value& a, const Value& b) {
  CADRE_CHECK_OK(charge(std::min(a.weight(), b.weight())));
  return value_less(a, b);
}

Result<std::string> Runtime::str(const Value& value) {
  CADRE_CHECK_OK(charge(value.weight()));
  return value_str(value);
}

}  // namespace cadre::jinja
