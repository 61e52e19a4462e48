#pragma once
/// How the characters of a string are written in an answer, as expressions over bytes.

#include <string>
#include <string_view>

#include "cadre/text/byte_automaton.h"

namespace cadre {

/// Each string has exactly one spelling in either.
enum class StringEncoding {
  kJson,  ///< between quotes: only `"`, `\\` and control characters are escaped, in the shortest way
  kRaw,   ///< as it is: an argument in DSML
};

/// One code point from `first` to `last` in UTF-8; surrogates are left out.
RegularBuilder::Id utf8_range(RegularBuilder& regular, char32_t first, char32_t last);

/// One code point from `first` to `last` as `encoding` spells it.
RegularBuilder::Id encoded_range(RegularBuilder& regular, char32_t first, char32_t last,
                                 StringEncoding encoding);

/// `text`, valid UTF-8, without quotes around it.
std::string encode_string(std::string_view text, StringEncoding encoding);

/// One character of a JSON string in any of its spellings. Lone surrogates are none.
RegularBuilder::Id json_character(RegularBuilder& regular);

}  // namespace cadre
