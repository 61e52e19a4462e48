#include "cadre/text/jinja_operators.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cadre/text/jinja_format.h"
#include "cadre/text/jinja_loop.h"
#include "cadre/text/jinja_text.h"

namespace cadre::jinja {
namespace {

constexpr std::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "**"};

tl::unexpected<Error> unsuitable(ArithmeticOp op, const Value& a, const Value& b) {
  return invalid("unsupported operand types for {}: '{}' and '{}'", kSymbols[static_cast<size_t>(op)],
                 a.type_name(), b.type_name());
}

/// Products of 64-bit operands fit an Int, so checking the operands is enough.
bool fits_64_bits(Int value) {
  return value >= std::numeric_limits<int64_t>::min() && value <= std::numeric_limits<int64_t>::max();
}

tl::unexpected<Error> too_large() {
  return fail(ErrorKind::kTooLarge, "integer arithmetic beyond 64 bits is not supported");
}

Int floor_divide(Int a, Int b) {
  const Int quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

double floor_modulo(double a, double b) {
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

/// base ** exponent for exponent >= 0.
Result<Value> integer_power(Int base, Int exponent) {
  Int result = 1;
  if (base == 0 || base == 1 || base == -1) exponent = exponent == 0 ? 0 : 2 - exponent % 2;
  for (; exponent > 0; --exponent) {  // ends after 64 turns: the result doubles at least
    result *= base;
    if (!fits_64_bits(result)) return too_large();
  }
  return Value::integer(result);
}

Result<Value> float_arithmetic(ArithmeticOp op, double a, double b) {
  switch (op) {
    case ArithmeticOp::kAdd:
      return Value::number(a + b);
    case ArithmeticOp::kSubtract:
      return Value::number(a - b);
    case ArithmeticOp::kMultiply:
      return Value::number(a * b);
    case ArithmeticOp::kPower:
      if (a < 0 && b != std::floor(b))
        return invalid("a negative number to a fractional power is not supported");
      if (a == 0 && b < 0) return invalid("0.0 cannot be raised to a negative power");
      return Value::number(std::pow(a, b));
    default:
      break;
  }
  if (b == 0) return invalid("division by zero");
  if (op == ArithmeticOp::kDivide) return Value::number(a / b);
  if (op == ArithmeticOp::kModulo) return Value::number(floor_modulo(a, b));
  return Value::number(std::floor((a - floor_modulo(a, b)) / b + 0.5));
}

Result<Value> number_arithmetic(ArithmeticOp op, const Value& a, const Value& b) {
  if (!a.is_integral() || !b.is_integral()) return float_arithmetic(op, a.as_double(), b.as_double());
  const Int x = a.as_integer();
  const Int y = b.as_integer();
  if (!fits_64_bits(x) || !fits_64_bits(y)) return too_large();
  switch (op) {
    case ArithmeticOp::kAdd:
      return Value::integer(x + y);
    case ArithmeticOp::kSubtract:
      return Value::integer(x - y);
    case ArithmeticOp::kMultiply:
      return Value::integer(x * y);
    case ArithmeticOp::kDivide:
      return float_arithmetic(op, static_cast<double>(x), static_cast<double>(y));
    case ArithmeticOp::kPower:
      return y >= 0 ? integer_power(x, y)
                    : float_arithmetic(op, static_cast<double>(x), static_cast<double>(y));
    case ArithmeticOp::kFloorDivide:
      if (y == 0) return invalid("integer division or modulo by zero");
      return Value::integer(floor_divide(x, y));
    case ArithmeticOp::kModulo:
      if (y == 0) return invalid("integer division or modulo by zero");
      return Value::integer(x - floor_divide(x, y) * y);
  }
  return unsuitable(op, a, b);
}

bool is_list_or_tuple(const Value& value) {
  return value.is(Kind::kSequence) && value.sequence().kind <= SequenceKind::kTuple;
}

Result<Value> join(Runtime& runtime, const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) {
    CADRE_CHECK_OK(runtime.charge_text(a.text().size() + b.text().size()));
    return Value::string(a.text() + b.text());
  }
  if (!is_list_or_tuple(a) || !is_list_or_tuple(b) || a.sequence().kind != b.sequence().kind)
    return unsuitable(ArithmeticOp::kAdd, a, b);
  CADRE_CHECK_OK(runtime.charge(a.sequence().items.size() + b.sequence().items.size()));
  Values items = a.sequence().items;
  items.insert(items.end(), b.sequence().items.begin(), b.sequence().items.end());
  return runtime.make_sequence(std::move(items), a.sequence().kind);
}

/// A string, list or tuple `count` times over.
Result<Value> repeat(Runtime& runtime, const Value& value, Int count) {
  const size_t length = value.is_string() ? value.text().size() : value.sequence().items.size();
  constexpr Int kMost = Int{1} << 32;  // far beyond any budget, and far from overflow below
  const auto times = length == 0 ? 0 : static_cast<size_t>(std::clamp<Int>(count, 0, kMost));
  if (value.is_string()) {
    CADRE_CHECK_OK(runtime.charge_text(times * length));
    std::string out;
    for (size_t i = 0; i < times; ++i) out += value.text();
    return Value::string(std::move(out));
  }
  CADRE_CHECK_OK(runtime.charge(times * length));
  Values out;
  for (size_t i = 0; i < times; ++i)
    out.insert(out.end(), value.sequence().items.begin(), value.sequence().items.end());
  return runtime.make_sequence(std::move(out), value.sequence().kind);
}

Result<bool> contains(Runtime& runtime, const Value& container, const Value& item) {
  if (container.is_string()) {
    if (!item.is_string())
      return invalid("'in <string>' requires a string on its left, not {}", item.type_name());
    CADRE_CHECK_OK(runtime.charge_text(container.text().size()));
    return container.text().find(item.text()) != std::string::npos;
  }
  if (container.is(Kind::kDict)) {
    if (!is_hashable(item)) return invalid("unhashable type: '{}'", item.type_name());
    if (!item.is_string()) CADRE_CHECK_OK(runtime.charge(container.weight()));
    return container.dict().find(item) != nullptr;
  }
  CADRE_TRY(const Values items, runtime.iterate(container));
  for (const Value& candidate : items) {
    CADRE_TRY(const bool same, runtime.equal(candidate, item));
    if (same) return true;
  }
  return false;
}

/// "dict object", "'None'": how Jinja names what lacks an attribute.
std::string object_name(const Value& value) {
  return value.is_none() ? "None" : fmt::format("{} object", value.type_name());
}

Value no_attribute(const Value& object, std::string_view name) {
  return Value::undefined(fmt::format("'{}' has no attribute '{}'", object_name(object), name));
}

/// Charges for linear searches through members; small ones are free.
Result<const Value*> find_member(Runtime& runtime, const Namespace& space, std::string_view name) {
  CADRE_CHECK_OK(runtime.charge(space.members.size() / kBytesPerStep));
  return space.find(name);
}

/// What is reached by name before items are: methods, members of a namespace, facts of a loop.
Result<std::optional<Value>> own_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (object.is(Kind::kNamespace)) {
    CADRE_TRY(const Value* member, find_member(runtime, object.space(), name));
    return member != nullptr ? std::optional(*member) : std::nullopt;
  }
  if (object.is(Kind::kLoop)) {
    if (std::optional<Value> fact = loop_attribute(object.loop(), name)) return fact;
  }
  if (const Builtin* method = find_method(object, name))
    return std::optional(Value(std::make_shared<const BoundMethod>(BoundMethod{method, object})));
  return std::optional<Value>();
}

Result<std::optional<Value>> own_item(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is(Kind::kDict)) {
    if (!is_hashable(key)) return std::optional<Value>();
    if (!key.is_string()) CADRE_CHECK_OK(runtime.charge(object.weight()));
    const Value* item = object.dict().find(key);
    return item != nullptr ? std::optional(*item) : std::nullopt;
  }
  if (!key.is_integral()) return std::optional<Value>();
  Int index = key.as_integer();
  if (object.is(Kind::kSequence) && object.sequence().kind <= SequenceKind::kRange) {
    const Values& items = object.sequence().items;
    const Int length = static_cast<Int>(items.size());
    if (index < 0) index += length;
    return index >= 0 && index < length ? std::optional(items[static_cast<size_t>(index)]) : std::nullopt;
  }
  if (object.is_string()) {
    CADRE_CHECK_OK(runtime.charge_text(object.text().size()));
    const auto length = static_cast<Int>(text_length(object.text()));
    if (index < 0) index += length;
    if (index < 0 || index >= length) return std::optional<Value>();
    const SliceBounds one{.first = static_cast<int64_t>(index), .step = 1, .count = 1};
    return std::optional(Value::string(slice_text(object.text(), one)));
  }
  return std::optional<Value>();
}

Result<std::optional<int64_t>> slice_part(const Value& value) {
  if (value.is_none()) return std::optional<int64_t>();
  if (!value.is_integral())
    return invalid("slice indices must be integers or None, not {}", value.type_name());
  constexpr Int kFar = std::numeric_limits<int64_t>::max() / 4;
  return std::optional(static_cast<int64_t>(std::clamp<Int>(value.as_integer(), -kFar, kFar)));
}

}  // namespace

Result<Value> arithmetic(Runtime& runtime, ArithmeticOp op, const Value& a, const Value& b) {
  if (op == ArithmeticOp::kModulo && a.is_string()) {
    CADRE_TRY(std::string text, format_percent(runtime, a.text(), b));
    return runtime.make_text(std::move(text));
  }
  if (a.is_undefined() || b.is_undefined())
    return invalid("{}", (a.is_undefined() ? a : b).undefined_message());
  if (a.is_number() && b.is_number()) return number_arithmetic(op, a, b);
  if (op == ArithmeticOp::kAdd) return join(runtime, a, b);
  if (op == ArithmeticOp::kMultiply) {
    const auto repeatable = [](const Value& value) { return value.is_string() || is_list_or_tuple(value); };
    if (repeatable(a) && b.is_integral()) return repeat(runtime, a, b.as_integer());
    if (repeatable(b) && a.is_integral()) return repeat(runtime, b, a.as_integer());
  }
  return unsuitable(op, a, b);
}

Result<Value> signed_number(bool minus, const Value& a) {
  if (a.is_undefined()) return invalid("{}", a.undefined_message());
  if (!a.is_number()) return invalid("bad operand type for unary {}: '{}'", minus ? '-' : '+', a.type_name());
  if (a.is(Kind::kFloat)) return Value::number(minus ? -a.as_double() : a.as_double());
  return Value::integer(minus ? -a.as_integer() : a.as_integer());
}

Result<bool> compare(Runtime& runtime, CompareOp op, const Value& a, const Value& b) {
  const auto inverted = [](Result<bool> result) { return result ? Result<bool>(!*result) : result; };
  switch (op) {
    case CompareOp::kEqual:
      return runtime.equal(a, b);
    case CompareOp::kNotEqual:
      return inverted(runtime.equal(a, b));
    case CompareOp::kIn:
      return contains(runtime, b, a);
    case CompareOp::kNotIn:
      return inverted(contains(runtime, b, a));
    case CompareOp::kLess:
      return runtime.less(a, b);
    case CompareOp::kGreater:
      return runtime.less(b, a);
    case CompareOp::kLessEqual:
    case CompareOp::kGreaterEqual:
      break;
  }
  const bool swapped = op == CompareOp::kGreaterEqual;
  CADRE_TRY(const bool less, swapped ? runtime.less(b, a) : runtime.less(a, b));
  return less ? Result<bool>(true) : runtime.equal(a, b);  // not !(b < a): NaN is neither
}

Result<Value> get_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (object.is_undefined()) return invalid("{}", object.undefined_message());
  CADRE_TRY(std::optional<Value> own, own_attribute(runtime, object, name));
  if (own) return *std::move(own);
  if (object.is(Kind::kDict)) {
    if (const Value* item = object.dict().find(name)) return *item;
  }
  return no_attribute(object, name);
}

Result<Value> get_item(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is_undefined()) return invalid("{}", object.undefined_message());
  CADRE_TRY(std::optional<Value> item, own_item(runtime, object, key));
  if (item) return *std::move(item);
  if (key.is_string()) {
    CADRE_TRY(std::optional<Value> own, own_attribute(runtime, object, key.text()));
    if (own) return *std::move(own);
    return no_attribute(object, key.text());
  }
  CADRE_CHECK_OK(runtime.charge(key.weight()));
  return Value::undefined(fmt::format("{} has no element {}", object_name(object), value_repr(key)));
}

Result<Value> get_slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
                        const Value& step) {
  if (object.is_undefined()) return invalid("{}", object.undefined_message());
  CADRE_TRY(const std::optional<int64_t> first, slice_part(start));
  CADRE_TRY(const std::optional<int64_t> end, slice_part(stop));
  CADRE_TRY(const std::optional<int64_t> stride, slice_part(step));
  if (stride == 0) return invalid("slice step cannot be zero");
  if (object.is_string()) {
    CADRE_CHECK_OK(runtime.charge(1 + object.text().size() / (stride.value_or(1) == 1 ? kBytesPerStep : 1)));
    const auto length = static_cast<int64_t>(text_length(object.text()));
    return Value::string(slice_text(object.text(), slice_bounds(length, first, end, stride.value_or(1))));
  }
  if (!object.is(Kind::kSequence) || object.sequence().kind > SequenceKind::kRange)
    return invalid("'{}' object cannot be sliced", object.type_name());
  const Values& items = object.sequence().items;
  const SliceBounds bounds = slice_bounds(static_cast<int64_t>(items.size()), first, end, stride.value_or(1));
  Values picked;
  for (int64_t i = 0; i < bounds.count; ++i)
    picked.push_back(items[static_cast<size_t>(bounds.first + i * bounds.step)]);
  return runtime.make_sequence(std::move(picked), object.sequence().kind);
}

}  // namespace cadre::jinja
