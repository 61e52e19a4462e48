#include "cadre/text/string_encoding.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace cadre {
namespace {

/// Sequences of `left` continuation bytes whose payload lies between `first` and `last`, after `lead`.
void add_utf8(RegularBuilder& regular, RegularBuilder::Id lead, char32_t first, char32_t last, int left,
              std::vector<RegularBuilder::Id>& out) {
  if (left == 0) {
    out.push_back(lead);
    return;
  }
  const int shift = 6 * (left - 1);
  const char32_t mask = (char32_t{1} << shift) - 1;
  const auto tail = [&](char32_t from, char32_t to, char32_t low, char32_t high) {
    const auto byte = [&](char32_t value) { return static_cast<uint8_t>(0x80 | ((value >> shift) & 0x3F)); };
    add_utf8(regular, regular.sequence(lead, regular.bytes(byte(from), byte(to))), low, high, left - 1, out);
  };
  const char32_t high_first = first >> shift;
  const char32_t high_last = last >> shift;
  if (high_first == high_last) {
    tail(first, first, first & mask, last & mask);
    return;
  }
  char32_t full_first = high_first;
  char32_t full_last = high_last;
  if ((first & mask) != 0) {
    tail(first, first, first & mask, mask);
    ++full_first;
  }
  const bool cut_last = (last & mask) != mask;
  if (cut_last) --full_last;
  if (full_first <= full_last) tail(full_first << shift, full_last << shift, 0, mask);
  if (cut_last) tail(last, last, 0, last & mask);
}

/// The spelling of a character that JSON wants escaped.
std::string escape(char32_t character) {
  switch (character) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return fmt::format("\\u{:04x}", static_cast<uint32_t>(character));
  }
}

bool is_escaped(char32_t character) { return character < 0x20 || character == '"' || character == '\\'; }

}  // namespace

RegularBuilder::Id utf8_range(RegularBuilder& regular, char32_t first, char32_t last) {
  // Ranges in which all code points have encodings of one length: end, first byte, bytes that follow.
  struct Length {
    char32_t first, last;
    uint8_t lead;
    int following;
  };
  constexpr Length kLengths[] = {{0, 0x7F, 0, 0},
                                 {0x80, 0x7FF, 0xC0, 1},
                                 {0x800, 0xD7FF, 0xE0, 2},
                                 {0xE000, 0xFFFF, 0xE0, 2},
                                 {0x10000, 0x10FFFF, 0xF0, 3}};
  std::vector<RegularBuilder::Id> parts;
  for (const Length& length : kLengths) {
    const char32_t low = std::max(first, length.first);
    const char32_t high = std::min(last, length.last);
    if (low > high) continue;
    const int shift = 6 * length.following;
    const char32_t mask = (char32_t{1} << shift) - 1;
    for (char32_t lead = low >> shift; lead <= high >> shift; ++lead) {
      const char32_t from = lead == low >> shift ? low & mask : 0;
      const char32_t to = lead == high >> shift ? high & mask : mask;
      // Leads between the two ends share their continuation, so they go together.
      char32_t lead_last = lead;
      if (from == 0 && to == mask)
        while (lead_last < high >> shift && (lead_last + 1 < high >> shift || (high & mask) == mask))
          ++lead_last;
      const auto byte = [&](char32_t value) { return static_cast<uint8_t>(length.lead | value); };
      add_utf8(regular, regular.bytes(byte(lead), byte(lead_last)), from, to, length.following, parts);
      lead = lead_last;
    }
  }
  return regular.either(parts);
}

RegularBuilder::Id json_character(RegularBuilder& regular) {
  const auto hex =
      regular.either({regular.bytes('0', '9'), regular.bytes('a', 'f'), regular.bytes('A', 'F')});
  const auto d = regular.either({regular.bytes('d', 'd'), regular.bytes('D', 'D')});
  const auto not_d =
      regular.either({regular.bytes('0', '9'), regular.bytes('a', 'c'), regular.bytes('e', 'f'),
                      regular.bytes('A', 'C'), regular.bytes('E', 'F')});
  const auto high =
      regular.either({regular.bytes('8', '9'), regular.bytes('a', 'b'), regular.bytes('A', 'B')});
  const auto low = regular.either({regular.bytes('c', 'f'), regular.bytes('C', 'F')});
  const auto plain = regular.either(
      {regular.sequence({not_d, hex, hex, hex}), regular.sequence({d, regular.bytes('0', '7'), hex, hex})});
  const auto pair = regular.sequence({d, high, hex, hex, regular.literal("\\u"), d, low, hex, hex});
  std::vector<RegularBuilder::Id> escapes{
      regular.sequence(regular.literal("u"), regular.either({plain, pair}))};
  for (const char c : std::string_view("\"\\/bfnrt"))
    escapes.push_back(regular.bytes(static_cast<uint8_t>(c), static_cast<uint8_t>(c)));
  return regular.either({regular.sequence(regular.literal("\\"), regular.either(escapes)),
                         utf8_range(regular, ' ', '!'), utf8_range(regular, '#', '['),
                         utf8_range(regular, ']', 0x10FFFF)});
}

RegularBuilder::Id encoded_range(RegularBuilder& regular, char32_t first, char32_t last,
                                 StringEncoding encoding) {
  if (encoding == StringEncoding::kRaw) return utf8_range(regular, first, last);
  std::vector<RegularBuilder::Id> parts;
  const auto plain = [&](char32_t low, char32_t high) {
    low = std::max(low, first);
    high = std::min(high, last);
    if (low <= high) parts.push_back(utf8_range(regular, low, high));
  };
  plain(0x20, '!');
  plain('#', '[');
  plain(']', 0x10FFFF);
  for (char32_t character = first; character <= std::min<char32_t>(last, '\\'); ++character)
    if (is_escaped(character)) parts.push_back(regular.literal(escape(character)));
  return regular.either(parts);
}

std::string encode_string(std::string_view text, StringEncoding encoding) {
  if (encoding == StringEncoding::kRaw) return std::string(text);
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (is_escaped(byte))
      out += escape(byte);
    else
      out += c;
  }
  return out;
}

}  // namespace cadre
