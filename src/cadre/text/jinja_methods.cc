// Methods of dicts, lists and loops; those of strings are in jinja_methods_text.cc.
#include <algorithm>

#include "cadre/text/jinja_filters.h"
#include "cadre/text/jinja_loop.h"
#include "cadre/text/jinja_operators.h"

namespace cadre::jinja {
namespace {

Result<Value> refuse_change(Runtime&, const Value& self, const Bound&) {
  return invalid(
      "a {} cannot be changed inside a template (Hugging Face's sandbox refuses it too): build a new one "
      "with +, "
      "or keep it in a namespace",
      self.type_name());
}

Result<Value> dict_get(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const bool found, compare(runtime, CompareOp::kIn, arguments.at(0), self));
  if (found) return *self.dict().find(arguments.at(0));
  return arguments.find(1) != nullptr ? arguments.at(1) : Value::none();
}

Result<Value> dict_keys(Runtime& runtime, const Value& self, const Bound&) {
  CADRE_TRY(Values keys, runtime.iterate(self));
  return runtime.make_sequence(std::move(keys), SequenceKind::kKeys);
}

Result<Value> dict_values(Runtime& runtime, const Value& self, const Bound&) {
  Values values;
  for (const auto& entry : self.dict().entries()) values.push_back(entry.second);
  return runtime.make_sequence(std::move(values), SequenceKind::kValues);
}

Result<Value> dict_items(Runtime& runtime, const Value& self, const Bound&) {
  Values pairs;
  for (const auto& [key, value] : self.dict().entries()) {
    CADRE_TRY(Value pair, runtime.make_sequence({key, value}, SequenceKind::kTuple));
    pairs.push_back(std::move(pair));
  }
  return runtime.make_sequence(std::move(pairs), SequenceKind::kItems);
}

Result<Value> copy(Runtime&, const Value& self, const Bound&) { return self; }

Result<Value> list_count(Runtime& runtime, const Value& self, const Bound& arguments) {
  Int count = 0;
  for (const Value& item : self.sequence().items) {
    CADRE_TRY(const bool same, runtime.equal(item, arguments.at(0)));
    count += same ? 1 : 0;
  }
  return Value::integer(count);
}

Result<Value> list_index(Runtime& runtime, const Value& self, const Bound& arguments) {
  const Values& items = self.sequence().items;
  for (size_t i = 0; i < items.size(); ++i) {
    CADRE_TRY(const bool same, runtime.equal(items[i], arguments.at(0)));
    if (same) return Value::integer(static_cast<Int>(i));
  }
  return invalid("the value is not in the {}", self.type_name());
}

Result<Value> loop_cycle(Runtime&, const Value& self, const Bound& arguments) {
  const Values& choices = arguments.all().positional;
  if (choices.empty()) return invalid("loop.cycle() needs values");
  return choices[self.loop().index % choices.size()];
}

Result<Value> loop_changed(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(Value now, runtime.make_sequence(arguments.all().positional, SequenceKind::kTuple));
  std::optional<Value>& before = self.loop().last_changed;
  if (before) {
    CADRE_TRY(const bool same, runtime.equal(*before, now));
    if (same) return Value::boolean(false);
  }
  before = std::move(now);
  return Value::boolean(true);
}

constexpr Builtin kDictMethods[] = {
    {"get", dict_get, 1, {"key", "default"}},
    {"items", dict_items},
    {"keys", dict_keys},
    {"values", dict_values},
    {"copy", copy},
    {"clear", refuse_change, 0, {}, true},
    {"pop", refuse_change, 0, {}, true},
    {"popitem", refuse_change, 0, {}, true},
    {"setdefault", refuse_change, 0, {}, true},
    {"update", refuse_change, 0, {}, true},
};

constexpr Builtin kListMethods[] = {
    {"count", list_count, 1, {"value"}},
    {"index", list_index, 1, {"value"}},
    {"copy", copy},
    {"append", refuse_change, 0, {}, true},
    {"clear", refuse_change, 0, {}, true},
    {"extend", refuse_change, 0, {}, true},
    {"insert", refuse_change, 0, {}, true},
    {"pop", refuse_change, 0, {}, true},
    {"remove", refuse_change, 0, {}, true},
    {"reverse", refuse_change, 0, {}, true},
    {"sort", refuse_change, 0, {}, true},
};
constexpr size_t kTupleMethods = 2;  ///< tuples have the first so many

constexpr Builtin kLoopMethods[] = {
    {"changed", loop_changed, 0, {}, true},
    {"cycle", loop_cycle, 0, {}, true},
};

}  // namespace

const Builtin* find_method(const Value& self, std::string_view name) {
  switch (self.kind()) {
    case Kind::kString:
      return find_builtin(text_methods(), name);
    case Kind::kDict:
      return find_builtin(kDictMethods, name);
    case Kind::kLoop:
      return find_builtin(kLoopMethods, name);
    case Kind::kSequence:
      if (self.sequence().kind == SequenceKind::kList) return find_builtin(kListMethods, name);
      if (self.sequence().kind <= SequenceKind::kRange)
        return find_builtin(std::span(kListMethods).first(kTupleMethods), name);
      return nullptr;
    default:
      return nullptr;
  }
}

}  // namespace cadre::jinja
