#include "cadre/text/jinja_text.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <cmath>

#include "cadre/text/utf8.h"

namespace cadre::jinja {
namespace {

utf8proc_category_t category(char32_t code) { return utf8proc_category(static_cast<utf8proc_int32_t>(code)); }

char32_t upper_of(char32_t code) {
  return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(code)));
}
char32_t lower_of(char32_t code) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)));
}
char32_t title_of(char32_t code) {
  return static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(code)));
}

constexpr char32_t kSharpS = 0xDF;

void append_upper(std::string& out, char32_t code) {
  if (code == kSharpS)
    out += "SS";
  else
    append_utf8(out, upper_of(code));
}

void append_title(std::string& out, char32_t code) {
  if (code == kSharpS)
    out += "Ss";
  else
    append_utf8(out, title_of(code));
}

/// Start of the code point that ends just before byte `end`.
size_t before(std::string_view text, size_t end) {
  size_t at = end - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

bool is_line_end(char32_t code) {
  return (code >= 0x0A && code <= 0x0D) || (code >= 0x1C && code <= 0x1E) || code == 0x85 || code == 0x2028 ||
         code == 0x2029;
}

}  // namespace

size_t text_length(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }));
}

size_t byte_of(std::string_view text, size_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) at += decode_utf8(text, at).length;
  return at;
}

bool is_space(char32_t code) {
  return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 || code == 0xA0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
         code == 0x202F || code == 0x205F || code == 0x3000;
}

bool is_printable(char32_t code) {
  if (code == ' ') return true;
  switch (category(code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

bool is_letter(char32_t code) {
  const auto kind = category(code);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}
bool is_lower(char32_t code) { return category(code) == UTF8PROC_CATEGORY_LL; }
bool is_upper(char32_t code) { return category(code) == UTF8PROC_CATEGORY_LU; }
bool is_digit(char32_t code) { return category(code) == UTF8PROC_CATEGORY_ND; }
bool is_word(char32_t code) {
  const auto kind = category(code);
  return code == '_' || is_letter(code) || (kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO);
}

std::string to_upper(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char code = decode_utf8(text, at);
    append_upper(out, code.code_point);
    at += code.length;
  }
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char code = decode_utf8(text, at);
    append_utf8(out, lower_of(code.code_point));
    at += code.length;
  }
  return out;
}

std::string capitalize(std::string_view text) {
  if (text.empty()) return {};
  const Utf8Char first = decode_utf8(text, 0);
  std::string out;
  append_title(out, first.code_point);
  return out + to_lower(text.substr(first.length));
}

std::string title_words(std::string_view text) {
  std::string out;
  bool inside_word = false;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char code = decode_utf8(text, at);
    if (inside_word)
      append_utf8(out, lower_of(code.code_point));
    else
      append_title(out, code.code_point);
    inside_word = is_lower(code.code_point) || is_upper(code.code_point) ||
                  category(code.code_point) == UTF8PROC_CATEGORY_LT;
    at += code.length;
  }
  return out;
}

std::string_view strip(std::string_view text, std::optional<std::string_view> chars, Side side) {
  const auto removable = [&](std::string_view one) {
    return chars ? chars->find(one) != std::string_view::npos : is_space(decode_utf8(one, 0).code_point);
  };
  while (side != Side::kRight && !text.empty()) {
    const size_t bytes = decode_utf8(text, 0).length;
    if (!removable(text.substr(0, bytes))) break;
    text.remove_prefix(bytes);
  }
  while (side != Side::kLeft && !text.empty()) {
    const size_t start = before(text, text.size());
    if (!removable(text.substr(start))) break;
    text = text.substr(0, start);
  }
  return text;
}

namespace {

std::vector<std::string_view> split_at_space(std::string_view text, int64_t max) {
  std::vector<std::string_view> parts;
  text = strip(text, std::nullopt, Side::kLeft);
  while (!text.empty()) {
    if (max >= 0 && static_cast<int64_t>(parts.size()) == max) {
      parts.push_back(text);
      break;
    }
    size_t end = 0;
    while (end < text.size() && !is_space(decode_utf8(text, end).code_point))
      end += decode_utf8(text, end).length;
    parts.push_back(text.substr(0, end));
    text = strip(text.substr(end), std::nullopt, Side::kLeft);
  }
  return parts;
}

std::vector<std::string_view> rsplit_at_space(std::string_view text, int64_t max) {
  std::vector<std::string_view> parts;
  text = strip(text, std::nullopt, Side::kRight);
  while (!text.empty()) {
    if (max >= 0 && static_cast<int64_t>(parts.size()) == max) {
      parts.push_back(text);
      break;
    }
    size_t start = text.size();
    while (start > 0 && !is_space(decode_utf8(text, before(text, start)).code_point))
      start = before(text, start);
    parts.push_back(text.substr(start));
    text = strip(text.substr(0, start), std::nullopt, Side::kRight);
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

}  // namespace

std::vector<std::string_view> split(std::string_view text, std::optional<std::string_view> separator,
                                    int64_t max) {
  if (!separator) return split_at_space(text, max);
  std::vector<std::string_view> parts;
  while (max < 0 || static_cast<int64_t>(parts.size()) < max) {
    const size_t found = text.find(*separator);
    if (found == std::string_view::npos) break;
    parts.push_back(text.substr(0, found));
    text.remove_prefix(found + separator->size());
  }
  parts.push_back(text);
  return parts;
}

std::vector<std::string_view> rsplit(std::string_view text, std::optional<std::string_view> separator,
                                     int64_t max) {
  if (!separator) return rsplit_at_space(text, max);
  std::vector<std::string_view> parts;
  while (max < 0 || static_cast<int64_t>(parts.size()) < max) {
    const size_t found = text.rfind(*separator);
    if (found == std::string_view::npos) break;
    parts.push_back(text.substr(found + separator->size()));
    text = text.substr(0, found);
  }
  parts.push_back(text);
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t start = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char code = decode_utf8(text, at);
    size_t next = at + code.length;
    if (is_line_end(code.code_point)) {
      if (code.code_point == '\r' && next < text.size() && text[next] == '\n') ++next;
      lines.push_back(text.substr(start, (keep_ends ? next : at) - start));
      start = next;
    }
    at = next;
  }
  if (start < text.size()) lines.push_back(text.substr(start));
  return lines;
}

std::string replace_text(std::string_view text, std::string_view from, std::string_view to, int64_t max) {
  std::string out;
  size_t at = 0;
  for (int64_t done = 0; max < 0 || done < max; ++done) {
    const size_t found = text.find(from, at);
    if (found == std::string_view::npos) break;
    out.append(text.substr(at, found - at)).append(to);
    at = found + from.size();
    if (from.empty()) {
      if (at == text.size()) return out;
      const size_t bytes = decode_utf8(text, at).length;
      out.append(text.substr(at, bytes));
      at += bytes;
    }
  }
  return out.append(text.substr(at));
}

SliceBounds slice_bounds(int64_t length, std::optional<int64_t> start, std::optional<int64_t> stop,
                         int64_t step) {
  const bool back = step < 0;
  const int64_t lowest = back ? -1 : 0;
  const int64_t highest = back ? length - 1 : length;
  const auto clamped = [&](int64_t index) {
    return std::clamp(index < 0 ? std::max(index, -length - 1) + length : index, lowest, highest);
  };
  const int64_t first = start ? clamped(*start) : (back ? highest : lowest);
  const int64_t end = stop ? clamped(*stop) : (back ? lowest : highest);
  const int64_t span = back ? first - end : end - first;
  // A step beyond the length picks one element, as does its clamped form, which cannot overflow.
  step = std::clamp(step, -length - 1, length + 1);
  const int64_t stride = back ? -step : step;
  return {.first = first, .step = step, .count = span <= 0 ? 0 : (span - 1) / stride + 1};
}

std::string slice_text(std::string_view text, const SliceBounds& bounds) {
  if (bounds.count == 0) return {};
  if (bounds.step == 1) {
    const size_t start = byte_of(text, static_cast<size_t>(bounds.first));
    const std::string_view rest = text.substr(start);
    return std::string(rest.substr(0, byte_of(rest, static_cast<size_t>(bounds.count))));
  }
  std::vector<std::string_view> letters;
  for (size_t at = 0; at < text.size(); at += letters.back().size())
    letters.push_back(text.substr(at, decode_utf8(text, at).length));
  std::string out;
  for (int64_t i = 0; i < bounds.count; ++i)
    out += letters[static_cast<size_t>(bounds.first + i * bounds.step)];
  return out;
}

std::string quote_python(std::string_view text) {
  const bool single = text.find('\'') == std::string_view::npos || text.find('"') != std::string_view::npos;
  const char quote = single ? '\'' : '"';
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) {
    const Utf8Char decoded = decode_utf8(text, at);
    const char32_t code = decoded.code_point;
    if (code == static_cast<char32_t>(quote) || code == '\\')
      out.append(1, '\\').append(1, static_cast<char>(code));
    else if (code == '\n')
      out += "\\n";
    else if (code == '\r')
      out += "\\r";
    else if (code == '\t')
      out += "\\t";
    else if (is_printable(code))
      out += text.substr(at, decoded.length);
    else if (code < 0x100)
      out += fmt::format("\\x{:02x}", static_cast<uint32_t>(code));
    else if (code < 0x10000)
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(code));
    else
      out += fmt::format("\\U{:08x}", static_cast<uint32_t>(code));
    at += decoded.length;
  }
  return out += quote;
}

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::string text = fmt::format("{}", value);  // the shortest digits, exponents as Python writes them
  if (text.find_first_of(".e") == text.npos) text += ".0";
  return text;
}

}  // namespace cadre::jinja
