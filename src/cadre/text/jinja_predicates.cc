// Tests: what stands after `is`.
#include <algorithm>
#include <cmath>

#include "cadre/text/jinja_operators.h"
#include "cadre/text/jinja_text.h"
#include "cadre/text/utf8.h"

namespace cadre::jinja {
namespace {

template <bool (*test)(const Value&)>
Result<Value> plain(Runtime&, const Value& self, const Bound&) {
  return Value::boolean(test(self));
}

bool defined(const Value& value) { return !value.is_undefined(); }
bool undefined(const Value& value) { return value.is_undefined(); }
bool none(const Value& value) { return value.is_none(); }
bool boolean(const Value& value) { return value.is(Kind::kBool); }
bool is_true(const Value& value) { return value.is(Kind::kBool) && value.as_bool(); }
bool is_false(const Value& value) { return value.is(Kind::kBool) && !value.as_bool(); }
bool integer(const Value& value) { return value.is(Kind::kInt); }
bool floating(const Value& value) { return value.is(Kind::kFloat); }
bool number(const Value& value) { return value.is_number(); }
bool string(const Value& value) { return value.is_string(); }
bool mapping(const Value& value) { return value.is(Kind::kDict); }
bool callable(const Value& value) {
  // An undefined value has a method to be called with; that it fails is another matter.
  return value.is_undefined() || value.is(Kind::kMacro) || value.is(Kind::kMethod) ||
         value.is(Kind::kFunction);
}
bool sequence(const Value& value) {
  return value.is_undefined() || value.is_string() || value.is(Kind::kDict) ||
         (value.is(Kind::kSequence) && value.sequence().kind <= SequenceKind::kRange);
}
bool iterable(const Value& value) {
  return value.is_undefined() || value.is_string() || value.is(Kind::kDict) || value.is(Kind::kSequence) ||
         value.is(Kind::kGenerator);
}

/// str.islower() or isupper(): at least one letter of the case, none of the other.
template <bool (*wanted)(char32_t), bool (*other)(char32_t)>
Result<Value> letter_case(Runtime& runtime, const Value& self, const Bound&) {
  CADRE_TRY(const std::string text, runtime.str(self));
  bool found = false;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char letter = decode_utf8(text, at);
    if (other(letter.code_point)) return Value::boolean(false);
    found = found || wanted(letter.code_point);
    at += letter.length;
  }
  return Value::boolean(found);
}

template <int remainder>
Result<Value> parity(Runtime& runtime, const Value& self, const Bound&) {
  CADRE_TRY(const Value rest, arithmetic(runtime, ArithmeticOp::kModulo, self, Value::integer(2)));
  return Value::boolean(values_equal(rest, Value::integer(remainder)));
}

Result<Value> divisible(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const Value rest, arithmetic(runtime, ArithmeticOp::kModulo, self, arguments.at(0)));
  return Value::boolean(values_equal(rest, Value::integer(0)));
}

Result<Value> same_as(Runtime&, const Value& self, const Bound& arguments) {
  return Value::boolean(self.same_as(arguments.at(0)));
}

template <CompareOp op>
Result<Value> comparison(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const bool result, compare(runtime, op, self, arguments.at(0)));
  return Value::boolean(result);
}

constexpr Builtin kTests[] = {
    {"boolean", plain<boolean>},
    {"callable", plain<callable>},
    {"defined", plain<defined>},
    {"divisibleby", divisible, 1, {"num"}},
    {"even", parity<0>},
    {"false", plain<is_false>},
    {"float", plain<floating>},
    {"integer", plain<integer>},
    {"iterable", plain<iterable>},
    {"lower", letter_case<is_lower, is_upper>},
    {"mapping", plain<mapping>},
    {"none", plain<none>},
    {"number", plain<number>},
    {"odd", parity<1>},
    {"sameas", same_as, 1, {"other"}},
    {"sequence", plain<sequence>},
    {"string", plain<string>},
    {"true", plain<is_true>},
    {"undefined", plain<undefined>},
    {"upper", letter_case<is_upper, is_lower>},
    {"in", comparison<CompareOp::kIn>, 1, {"seq"}},
    // Python's operators; the symbols can be named in select() and selectattr() only.
    {"eq", comparison<CompareOp::kEqual>, 1, {"other"}},
    {"equalto", comparison<CompareOp::kEqual>, 1, {"other"}},
    {"==", comparison<CompareOp::kEqual>, 1, {"other"}},
    {"ne", comparison<CompareOp::kNotEqual>, 1, {"other"}},
    {"!=", comparison<CompareOp::kNotEqual>, 1, {"other"}},
    {"lt", comparison<CompareOp::kLess>, 1, {"other"}},
    {"lessthan", comparison<CompareOp::kLess>, 1, {"other"}},
    {"<", comparison<CompareOp::kLess>, 1, {"other"}},
    {"le", comparison<CompareOp::kLessEqual>, 1, {"other"}},
    {"<=", comparison<CompareOp::kLessEqual>, 1, {"other"}},
    {"gt", comparison<CompareOp::kGreater>, 1, {"other"}},
    {"greaterthan", comparison<CompareOp::kGreater>, 1, {"other"}},
    {">", comparison<CompareOp::kGreater>, 1, {"other"}},
    {"ge", comparison<CompareOp::kGreaterEqual>, 1, {"other"}},
    {">=", comparison<CompareOp::kGreaterEqual>, 1, {"other"}},
};

}  // namespace

const Builtin* find_test(std::string_view name) { return find_builtin(kTests, name); }

}  // namespace cadre::jinja
