#pragma once
/// The `loop` variable of a for loop.

#include <optional>
#include <string_view>

#include "cadre/text/jinja_value.h"

namespace cadre::jinja {

/// Where a running loop is. Owned by its rendering, since a template may keep `loop` in a namespace; the
/// items are given up when the loop ends.
struct LoopState {
  Values items;
  size_t length = 0;
  size_t index = 0;  ///< of the current or last item, from 0
  std::optional<Value> last_changed;
};

/// index, index0, revindex, revindex0, first, last, length, depth, depth0, previtem, nextitem; else nullopt.
/// The methods cycle and changed are found by find_method.
std::optional<Value> loop_attribute(const LoopState& loop, std::string_view name);

}  // namespace cadre::jinja
