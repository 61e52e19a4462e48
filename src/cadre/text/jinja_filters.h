#pragma once
/// What the files of filters and methods share.

#include <span>

#include "cadre/text/jinja_runtime.h"

namespace cadre::jinja {

/// Filters that take a sequence apart; find_filter looks here too.
std::span<const Builtin> item_filters();

/// Methods of strings; find_method looks here.
std::span<const Builtin> text_methods();

/// str.replace, charging for the result before it is made. count < 0 is no limit.
Result<Value> replace_charged(Runtime& runtime, std::string_view text, std::string_view from,
                              std::string_view to, int64_t count);

}  // namespace cadre::jinja
