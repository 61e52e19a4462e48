#pragma once
/// Python's two ways to format strings: "%s of %d" % (a, b) and "{} of {:>5}".format(a, b).

#include <string>
#include <string_view>

#include "cadre/text/jinja_runtime.h"

namespace cadre::jinja {

/// `text % arguments`: a tuple gives the values one by one, a dict gives %(name)s, anything else is one
/// value. Errors: too few or too many values, an unknown conversion, a width or precision above 1000.
Result<std::string> format_percent(Runtime& runtime, std::string_view text, const Value& arguments);

/// text.format(...): fields {}, {0} and {name} with !s, !r and a format specification. Errors: attribute and
/// nested fields (not supported), a missing argument, a malformed or unsuitable specification.
Result<std::string> format_braces(Runtime& runtime, std::string_view text, const CallArguments& arguments);

}  // namespace cadre::jinja
