#pragma once
/// Strings as Python has them, over UTF-8: lengths and indices count code points, white space, case and
/// printability are Unicode's. Case mapping is one code point to one (except that upper("ß") is "SS");
/// Python's other many-character mappings, all rare, are not made. Functions are pure and thread-safe; they
/// expect valid UTF-8 and read an invalid byte as U+FFFD.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cadre::jinja {

/// Number of code points.
size_t text_length(std::string_view text);
/// Byte where code point `index` starts; text.size() when there are not so many.
size_t byte_of(std::string_view text, size_t index);

bool is_space(char32_t code);      ///< str.isspace(), which is also \s of a Python regex
bool is_printable(char32_t code);  ///< str.isprintable()
bool is_letter(char32_t code);
bool is_lower(char32_t code);
bool is_upper(char32_t code);
bool is_digit(char32_t code);  ///< general category Nd
bool is_word(char32_t code);   ///< \w: letters, numbers, underscore

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string capitalize(std::string_view text);
/// str.title(): every run of letters starts with a capital.
std::string title_words(std::string_view text);

enum class Side { kBoth, kLeft, kRight };
/// str.strip(chars) and its one-sided forms; nullopt strips white space.
std::string_view strip(std::string_view text, std::optional<std::string_view> chars, Side side);

/// str.split(separator, max): nullopt splits at runs of white space; max < 0 is no limit. A separator must
/// not be empty. The views point into `text`.
std::vector<std::string_view> split(std::string_view text, std::optional<std::string_view> separator,
                                    int64_t max);
/// str.rsplit: counts from the right.
std::vector<std::string_view> rsplit(std::string_view text, std::optional<std::string_view> separator,
                                     int64_t max);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);
/// str.replace(from, to, max), max < 0 is no limit. An empty `from` matches between all code points.
std::string replace_text(std::string_view text, std::string_view from, std::string_view to, int64_t max);

/// Elements picked by a Python slice of a sequence of `length` elements: first, first + step, ... count of
/// them.
struct SliceBounds {
  int64_t first = 0;
  int64_t step = 1;
  int64_t count = 0;
};
/// `step` must not be 0.
SliceBounds slice_bounds(int64_t length, std::optional<int64_t> start, std::optional<int64_t> stop,
                         int64_t step);
std::string slice_text(std::string_view text, const SliceBounds& bounds);

/// repr() of a str: quoted, with escapes for quotes, control and other unprintable characters.
std::string quote_python(std::string_view text);
/// repr() of a float: the shortest digits that read back the same, "1.0", "1e+16", "inf", "nan".
std::string float_repr(double value);

}  // namespace cadre::jinja
