#pragma once
/// From text to jinja_ast.h.

#include <string_view>

#include "cadre/text/jinja_ast.h"

namespace cadre::jinja {

/// Blocks in blocks and brackets in brackets may go this deep; a template nested deeper is refused.
inline constexpr int kMaxNesting = 100;
/// Levels of one expression, which a long chain such as a + b + c + ... also adds to.
inline constexpr int kMaxExprDepth = 300;

/// Parses a whole template. Errors start with "line N: " and name what is wrong or not supported.
Result<Body> parse_template(std::string_view source);

}  // namespace cadre::jinja
