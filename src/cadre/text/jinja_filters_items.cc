// Filters that take a sequence apart or put one together.
#include <algorithm>

#include "cadre/text/jinja_filters.h"
#include "cadre/text/jinja_operators.h"
#include "cadre/text/jinja_text.h"

namespace cadre::jinja {
namespace {

/// item.a.b.0 for a path "a.b.0"; an integer path is an index; no path is the item.
Result<Value> follow_path(Runtime& runtime, Value item, const Value& path) {
  if (path.is_none()) return item;
  if (!path.is_string()) return get_item(runtime, item, path);
  CADRE_CHECK_OK(runtime.charge_text(path.text().size()));
  for (const std::string_view part : split(path.text(), ".", -1)) {
    const bool number =
        !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == part.npos;
    const Value key =
        number ? Value::integer(std::stoi(std::string(part))) : Value::string(std::string(part));
    CADRE_TRY(item, get_item(runtime, item, key));
  }
  return item;
}

/// What is compared in place of `item`: the value at `path`, in lower case unless `case_sensitive`.
Result<Value> sort_key(Runtime& runtime, const Value& item, const Value& path, bool case_sensitive) {
  CADRE_TRY(Value key, follow_path(runtime, item, path));
  if (case_sensitive || !key.is_string()) return key;
  return runtime.make_text(to_lower(key.text()));
}

Value path_argument(const Bound& arguments, size_t index) {
  return arguments.find(index) != nullptr ? arguments.at(index) : Value::none();
}

/// Sorts by keys, stably; `reverse` keeps the order of equals.
Result<Values> sort_by(Runtime& runtime, const Values& items, const Values& keys, bool reverse) {
  std::vector<size_t> order(items.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  Status status;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (!status) return false;
    const Result<bool> less = reverse ? runtime.less(keys[b], keys[a]) : runtime.less(keys[a], keys[b]);
    if (!less) status = tl::unexpected<Error>(less.error());
    return less.value_or(false);
  });
  CADRE_CHECK_OK(status);
  Values sorted;
  for (const size_t index : order) sorted.push_back(items[index]);
  return sorted;
}

/// What a sort compares: the list of the attributes that "a,b" names. A list even of one, as in Jinja, since
/// equal elements of a list need no order.
Result<Value> sort_keys(Runtime& runtime, const Value& item, const Value& path, bool case_sensitive) {
  std::vector<std::string_view> names;
  if (path.is_string()) names = split(path.text(), ",", -1);
  Values parts;
  for (const std::string_view name : names) {
    CADRE_TRY(Value key, sort_key(runtime, item, Value::string(std::string(name)), case_sensitive));
    parts.push_back(std::move(key));
  }
  if (names.empty()) {
    CADRE_TRY(Value key, sort_key(runtime, item, path, case_sensitive));
    parts.push_back(std::move(key));
  }
  return runtime.make_sequence(std::move(parts));
}

Result<Value> sort(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const Values items, runtime.iterate(self));
  Values keys;
  for (const Value& item : items) {
    CADRE_TRY(Value key, sort_keys(runtime, item, path_argument(arguments, 2), arguments.truthy(1)));
    keys.push_back(std::move(key));
  }
  CADRE_TRY(Values sorted, sort_by(runtime, items, keys, arguments.truthy(0)));
  return runtime.make_sequence(std::move(sorted));
}

Result<Value> dictsort(Runtime& runtime, const Value& self, const Bound& arguments) {
  if (!self.is(Kind::kDict)) return invalid("'dictsort' needs a dict, not {}", self.type_name());
  CADRE_TRY(const std::string_view by, arguments.text(1, "key"));
  if (by != "key" && by != "value") return invalid("'dictsort' goes by 'key' or 'value', not '{}'", by);
  Values items;
  Values keys;
  for (const auto& [name, value] : self.dict().entries()) {
    CADRE_TRY(Value key, sort_key(runtime, by == "key" ? name : value, Value::none(), arguments.truthy(0)));
    keys.push_back(std::move(key));
    CADRE_TRY(Value item, runtime.make_sequence({name, value}, SequenceKind::kTuple));
    items.push_back(std::move(item));
  }
  CADRE_TRY(Values sorted, sort_by(runtime, items, keys, arguments.truthy(2)));
  return runtime.make_sequence(std::move(sorted));
}

Result<Value> unique(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const Values items, runtime.iterate(self));
  Dict seen;
  Values kept;
  for (const Value& item : items) {
    CADRE_TRY(const Value key, sort_key(runtime, item, path_argument(arguments, 1), arguments.truthy(0)));
    const size_t before = seen.size();
    CADRE_CHECK_OK(runtime.set_item(seen, key, Value::none()));
    if (seen.size() > before) kept.push_back(item);
  }
  return runtime.make_generator(std::move(kept));
}

template <bool largest>
Result<Value> extreme(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const Values items, runtime.iterate(self));
  if (items.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  size_t best = 0;
  Value best_key;
  for (size_t i = 0; i < items.size(); ++i) {
    CADRE_TRY(Value key, sort_key(runtime, items[i], path_argument(arguments, 1), arguments.truthy(0)));
    if (i > 0) {
      CADRE_TRY(const bool better, largest ? runtime.less(best_key, key) : runtime.less(key, best_key));
      if (!better) continue;
    }
    best = i;
    best_key = std::move(key);
  }
  return items[best];
}

Result<Value> sum(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const Values items, runtime.iterate(self));
  Value total = arguments.find(1) != nullptr ? arguments.at(1) : Value::integer(0);
  if (total.is_string()) return invalid("'sum' cannot start with a string; use 'join'");
  for (const Value& item : items) {
    CADRE_TRY(const Value term, follow_path(runtime, item, path_argument(arguments, 0)));
    CADRE_TRY(total, arithmetic(runtime, ArithmeticOp::kAdd, total, term));
  }
  return total;
}

Result<Value> join(Runtime& runtime, const Value& self, const Bound& arguments) {
  std::string separator;
  if (arguments.find(0) != nullptr) {
    CADRE_TRY(separator, runtime.str(arguments.at(0)));
  }
  CADRE_TRY(const Values items, runtime.iterate(self));
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += separator;
    CADRE_TRY(const Value item, follow_path(runtime, items[i], path_argument(arguments, 1)));
    CADRE_TRY(const std::string text, runtime.str(item));
    CADRE_CHECK_OK(runtime.charge_text(separator.size()));
    out += text;
  }
  return runtime.make_text(std::move(out));
}

Result<Value> first(Runtime& runtime, const Value& self, const Bound&) {
  const Value none = Value::undefined("No first item, sequence was empty.");
  if (self.is(Kind::kGenerator)) {
    Generator& source = self.generator();
    return source.next < source.items.size() ? source.items[source.next++] : none;
  }
  CADRE_TRY(const Values items, runtime.iterate(self));
  return items.empty() ? none : items.front();
}

Result<Value> last(Runtime& runtime, const Value& self, const Bound&) {
  if (self.is(Kind::kGenerator)) return invalid("'last' of a generator: make it a list first");
  CADRE_TRY(const Values items, runtime.iterate(self));
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Result<Value> list(Runtime& runtime, const Value& self, const Bound&) {
  CADRE_TRY(Values items, runtime.iterate(self));
  return runtime.make_sequence(std::move(items));
}

Result<Value> reverse(Runtime& runtime, const Value& self, const Bound&) {
  CADRE_TRY(Values items, runtime.iterate(self));
  std::reverse(items.begin(), items.end());
  if (self.is(Kind::kGenerator)) return runtime.make_sequence(std::move(items));
  if (!self.is_string()) return runtime.make_generator(std::move(items));
  std::string text;
  for (const Value& letter : items) text += letter.text();
  return Value::string(std::move(text));
}

Result<Value> items_of(Runtime& runtime, const Value& self, const Bound&) {
  if (self.is_undefined()) return runtime.make_generator({});
  if (!self.is(Kind::kDict)) return invalid("'items' needs a dict, not {}", self.type_name());
  Values pairs;
  for (const auto& [key, value] : self.dict().entries()) {
    CADRE_TRY(Value pair, runtime.make_sequence({key, value}, SequenceKind::kTuple));
    pairs.push_back(std::move(pair));
  }
  return runtime.make_generator(std::move(pairs));
}

Result<Value> batch(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const Values items, runtime.iterate(self));
  CADRE_TRY(const int64_t size, arguments.integer(0, 1));
  if (size < 1 || size > 100'000) return invalid("'batch' of {} items", size);
  Values rows;
  for (size_t start = 0; start < items.size(); start += static_cast<size_t>(size)) {
    const size_t end = std::min(items.size(), start + static_cast<size_t>(size));
    Values row(items.begin() + static_cast<ptrdiff_t>(start), items.begin() + static_cast<ptrdiff_t>(end));
    if (arguments.find(1) != nullptr && !arguments.at(1).is_none())
      row.resize(static_cast<size_t>(size), arguments.at(1));
    CADRE_TRY(Value made, runtime.make_sequence(std::move(row)));
    rows.push_back(std::move(made));
  }
  return runtime.make_generator(std::move(rows));
}

/// The filter or test that a call names by its first argument, and the arguments for it.
struct Delegate {
  const Builtin* builtin = nullptr;  ///< null: no name was given
  CallArguments arguments;
};

Result<Delegate> delegate(const CallArguments& all, size_t name_at, const Builtin* (*find)(std::string_view),
                          std::string_view what) {
  Delegate result;
  if (all.positional.size() <= name_at) {
    if (!all.named.empty()) return invalid("named arguments without the name of a {}", what);
    return result;
  }
  const Value& name = all.positional[name_at];
  if (!name.is_string()) return invalid("the name of a {} must be a string, not {}", what, name.type_name());
  result.builtin = find(name.text());
  if (result.builtin == nullptr) return invalid("no {} named '{}'", what, name.text());
  result.arguments.positional.assign(all.positional.begin() + static_cast<ptrdiff_t>(name_at) + 1,
                                     all.positional.end());
  result.arguments.named = all.named;
  return result;
}

Result<Value> map_attribute(Runtime& runtime, const Values& items, const CallArguments& all) {
  Value path;
  Value otherwise;
  for (const auto& [name, value] : all.named) {
    if (name == "attribute")
      path = value;
    else if (name == "default")
      otherwise = value;
    else
      return invalid("'map' has no argument '{}'", name);
  }
  if (path.is_undefined()) return invalid("'map' needs the name of a filter, or attribute=");
  Values out;
  for (const Value& item : items) {
    CADRE_TRY(Value value, follow_path(runtime, item, path));
    out.push_back(value.is_undefined() && !otherwise.is_undefined() ? otherwise : std::move(value));
  }
  return runtime.make_generator(std::move(out));
}

/// What map and select walk over: nothing, where Python's generators never start on a value that is false.
Result<Values> iterate_lazily(Runtime& runtime, const Value& value) {
  return value.truthy() ? runtime.iterate(value) : Result<Values>(Values());
}

Result<Value> map(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const Values items, iterate_lazily(runtime, self));
  const CallArguments& all = arguments.all();
  if (all.positional.empty()) return map_attribute(runtime, items, all);
  CADRE_TRY(const Delegate filter, delegate(all, 0, find_filter, "filter"));
  Values out;
  for (const Value& item : items) {
    CADRE_CHECK_OK(runtime.charge(4));
    CADRE_TRY(Value value, call_builtin(runtime, *filter.builtin, item, filter.arguments));
    out.push_back(std::move(value));
  }
  return runtime.make_generator(std::move(out));
}

/// select, reject and their forms by attribute.
template <bool keep, bool by_attribute>
Result<Value> choose(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const Values items, iterate_lazily(runtime, self));
  const CallArguments& all = arguments.all();
  if (by_attribute && all.positional.empty()) return invalid("the name of an attribute is missing");
  CADRE_TRY(const Delegate test, delegate(all, by_attribute ? 1 : 0, find_test, "test"));
  Values out;
  for (const Value& item : items) {
    CADRE_CHECK_OK(runtime.charge(4));
    Value subject = item;
    if (by_attribute) {
      CADRE_TRY(subject, follow_path(runtime, item, all.positional[0]));
    }
    if (test.builtin != nullptr) {
      CADRE_TRY(subject, call_builtin(runtime, *test.builtin, subject, test.arguments));
    }
    if (subject.truthy() == keep) out.push_back(item);
  }
  return runtime.make_generator(std::move(out));
}

constexpr Builtin kItemFilters[] = {
    {"batch", batch, 1, {"linecount", "fill_with"}},
    {"dictsort", dictsort, 0, {"case_sensitive", "by", "reverse"}},
    {"first", first},
    {"items", items_of},
    {"join", join, 0, {"d", "attribute"}},
    {"last", last},
    {"list", list},
    {"map", map, 0, {}, true},
    {"max", extreme<true>, 0, {"case_sensitive", "attribute"}},
    {"min", extreme<false>, 0, {"case_sensitive", "attribute"}},
    {"reject", choose<false, false>, 0, {}, true},
    {"rejectattr", choose<false, true>, 0, {}, true},
    {"reverse", reverse},
    {"select", choose<true, false>, 0, {}, true},
    {"selectattr", choose<true, true>, 0, {}, true},
    {"sort", sort, 0, {"reverse", "case_sensitive", "attribute"}},
    {"sum", sum, 0, {"attribute", "start"}},
    {"unique", unique, 0, {"case_sensitive", "attribute"}},
};

}  // namespace

std::span<const Builtin> item_filters() { return kItemFilters; }

}  // namespace cadre::jinja
