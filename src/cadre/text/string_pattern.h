#pragma once
/// The keywords `pattern` and `format` of JSON Schema as regular languages.

#include <string_view>

#include "cadre/base/result.h"
#include "cadre/text/string_encoding.h"

namespace cadre {

/// Strings that contain a match of `pattern`, which is written in the dialect of ECMA-262. Supported are
/// literals, `.`, classes, groups, alternatives, all quantifiers, and `^` and `$` at the ends of the whole
/// pattern or of its alternatives. Errors: what is not regular or not known is refused by name, with the byte
/// where it stands.
Result<RegularBuilder::Id> compile_pattern(RegularBuilder& regular, std::string_view pattern,
                                           StringEncoding encoding);

/// The strings of a `format`: date, time, date-time (RFC 3339, without leap seconds), duration, uuid, email
/// (dotted atoms), hostname (at most 8 labels of at most 30 characters), ipv4, ipv6 (without dotted quads).
/// Errors: kNotFound, with the names there are.
Result<RegularBuilder::Id> compile_format(RegularBuilder& regular, std::string_view format,
                                          StringEncoding encoding);

/// Any string of `least` to `most` characters (RegularBuilder::kUnbounded: any number).
RegularBuilder::Id any_string(RegularBuilder& regular, int64_t least, int64_t most, StringEncoding encoding);

}  // namespace cadre
