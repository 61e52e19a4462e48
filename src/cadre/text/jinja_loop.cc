#include "cadre/text/jinja_loop.h"

namespace cadre::jinja {

std::optional<Value> loop_attribute(const LoopState& loop, std::string_view name) {
  const size_t length = loop.length;
  const auto number = [](size_t value) { return Value::integer(static_cast<Int>(value)); };
  if (name == "index") return number(loop.index + 1);
  if (name == "index0") return number(loop.index);
  if (name == "revindex") return number(length - loop.index);
  if (name == "revindex0") return number(length - loop.index - 1);
  if (name == "first") return Value::boolean(loop.index == 0);
  if (name == "last") return Value::boolean(loop.index + 1 == length);
  if (name == "length") return number(length);
  if (name == "depth") return Value::integer(1);  // counts recursion, which we do not have
  if (name == "depth0") return Value::integer(0);
  if (name == "previtem")
    return loop.index > 0 && !loop.items.empty() ? loop.items[loop.index - 1]
                                                 : Value::undefined("there is no previous item");
  if (name == "nextitem")
    return loop.index + 1 < loop.items.size() ? loop.items[loop.index + 1]
                                              : Value::undefined("there is no next item");
  return std::nullopt;
}

}  // namespace cadre::jinja
