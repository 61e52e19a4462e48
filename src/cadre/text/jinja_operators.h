#pragma once
/// Operators of expressions, with Python's meaning: arithmetic, comparison, membership, attributes, items and
/// slices. Everything that walks a value charges the Runtime for it.

#include <optional>
#include <string_view>

#include "cadre/text/jinja_runtime.h"

namespace cadre::jinja {

enum class ArithmeticOp : uint8_t { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
enum class CompareOp : uint8_t { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };

/// Numbers, joining and repeating of strings and lists, and % formatting. Errors: unsuitable types, division
/// by zero, integer operands beyond 64 bits.
Result<Value> arithmetic(Runtime& runtime, ArithmeticOp op, const Value& a, const Value& b);
/// -a or +a.
Result<Value> signed_number(bool minus, const Value& a);
Result<bool> compare(Runtime& runtime, CompareOp op, const Value& a, const Value& b);

/// object.name: a method, else an item; undefined when there is neither. Errors: `object` is undefined.
Result<Value> get_attribute(Runtime& runtime, const Value& object, std::string_view name);
/// object[key]: an item, else a method of that name; undefined when there is neither. Errors: as above.
Result<Value> get_item(Runtime& runtime, const Value& object, const Value& key);
/// object[start:stop:step]; none is a part not given. Errors: not a sequence or string, parts that are no
/// integers, a step of 0.
Result<Value> get_slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
                        const Value& step);

}  // namespace cadre::jinja
