// Functions that every template can call.
#include <algorithm>

#include "cadre/text/jinja_operators.h"

namespace cadre::jinja {
namespace {

constexpr Int kLongestRange = 100'000;  // MAX_RANGE of Jinja's sandbox

Result<Value> range(Runtime& runtime, const Value&, const Bound& arguments) {
  const bool one = arguments.find(1) == nullptr;
  CADRE_TRY(const int64_t first, arguments.integer(0, 0));
  CADRE_TRY(const int64_t second, arguments.integer(1, 0));
  CADRE_TRY(const int64_t step, arguments.integer(2, 1));
  if (step == 0) return invalid("range() step must not be zero");
  const Int start = one ? 0 : first;
  const Int stop = one ? first : second;
  const Int span = step > 0 ? stop - start : start - stop;
  const Int stride = step > 0 ? step : -Int{step};
  const Int count = span <= 0 ? 0 : (span - 1) / stride + 1;
  if (count > kLongestRange)
    return fail(ErrorKind::kTooLarge, "range() of {} elements, at most {} are allowed", count, kLongestRange);
  Values items;
  for (Int i = 0; i < count; ++i) items.push_back(Value::integer(start + i * step));
  return runtime.make_sequence(std::move(items), SequenceKind::kRange);
}

Status add_pair(Runtime& runtime, Dict& dict, const Value& pair) {
  CADRE_TRY(const Values parts, runtime.iterate(pair));
  if (parts.size() != 2) return invalid("dict() needs pairs, found {} elements", parts.size());
  return runtime.set_item(dict, parts[0], parts[1]);
}

/// The entries that dict(...) or namespace(...) is called with.
Result<Dict> collect_entries(Runtime& runtime, const CallArguments& all) {
  Dict dict;
  if (all.positional.size() > 1)
    return invalid("expected at most 1 argument, {} given", all.positional.size());
  for (const Value& source : all.positional) {
    if (source.is(Kind::kDict)) {
      for (const auto& [key, value] : source.dict().entries())
        CADRE_CHECK_OK(runtime.set_item(dict, key, value));
      continue;
    }
    CADRE_TRY(const Values pairs, runtime.iterate(source));
    for (const Value& pair : pairs) CADRE_CHECK_OK(add_pair(runtime, dict, pair));
  }
  for (const auto& [name, value] : all.named)
    CADRE_CHECK_OK(runtime.set_item(dict, Value::string(name), value));
  return dict;
}

Result<Value> make_dict(Runtime& runtime, const Value&, const Bound& arguments) {
  CADRE_TRY(Dict dict, collect_entries(runtime, arguments.all()));
  return runtime.make_dict(std::move(dict));
}

Result<Value> make_namespace(Runtime& runtime, const Value&, const Bound& arguments) {
  CADRE_TRY(const Dict dict, collect_entries(runtime, arguments.all()));
  Namespace space;
  for (const auto& [key, value] : dict.entries()) {
    if (!key.is_string()) return invalid("names in a namespace must be strings");
    space.members.emplace_back(key.text(), value);
  }
  CADRE_CHECK_OK(runtime.charge(space.members.size()));
  return runtime.make_namespace(std::move(space));
}

Result<Value> raise_exception(Runtime& runtime, const Value&, const Bound& arguments) {
  CADRE_TRY(const std::string message, runtime.str(arguments.at(0)));
  return invalid("the template refuses these messages: {}", message);
}

/// Only plain conversions: a width such as %1000000d is not passed to the C library.
Result<Value> strftime_now(Runtime& runtime, const Value&, const Bound& arguments) {
  CADRE_TRY(const std::string_view format, arguments.text(0));
  CADRE_CHECK_OK(runtime.charge(1 + format.size()));
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    std::string conversion = "%";
    if (++i < format.size() && format[i] == '-') conversion += format[i++];
    constexpr std::string_view kKnown = "aAbBcdDeFHIjklmMnpPrRsStTuUVwWxXyYzZ%";
    if (i >= format.size() || kKnown.find(format[i]) == kKnown.npos)
      return invalid("strftime_now: '{}' has a conversion that is not supported", format);
    conversion += format[i];
    char buffer[100];
    out.append(buffer, std::strftime(buffer, sizeof buffer, conversion.c_str(), &runtime.now()));
  }
  return runtime.make_text(std::move(out));
}

constexpr Builtin kGlobals[] = {
    {"dict", make_dict, 0, {}, true},
    {"namespace", make_namespace, 0, {}, true},
    {"raise_exception", raise_exception, 1, {"message"}},
    {"range", range, 1, {"start", "stop", "step"}},
    {"strftime_now", strftime_now, 1, {"format"}},
};

}  // namespace

const Builtin* find_global(std::string_view name) { return find_builtin(kGlobals, name); }

}  // namespace cadre::jinja
