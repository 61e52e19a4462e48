#pragma once
/// Unicode 16.0 for a regular-expression engine that knows 14.0.
///
/// Hugging Face's tokenizers match with Oniguruma, whose tables are of Unicode 16.0; PCRE2 10.42 has those of
/// 14.0. Some 10,000 characters differ (new emoji among them), nearly all of them unassigned before. They are
/// matched as another character of the same category and length, so a match has the same place.

#include <string>
#include <string_view>

namespace cadre {

/// The character to match in place of `code_point`: itself, but for those that the tables disagree about.
char32_t stand_in(char32_t code_point);

/// True if any character of `text` (valid UTF-8) has a stand-in; then `copy` is `text` with all of them
/// replaced, byte for byte as long as `text`. Otherwise `copy` is untouched.
bool replace_by_stand_ins(std::string_view text, std::string& copy);

}  // namespace cadre
