#include "cadre/text/pre_tokenizer_unicode.h"

#include <algorithm>
#include <array>
#include <bitset>

#include "cadre/text/utf8.h"

namespace cadre {
namespace {

struct StandIn {
  char32_t first;
  char32_t last;
  char32_t by;
};

constexpr StandIn kStandIns[] = {
#include "cadre/text/pre_tokenizer_unicode.inc"
};

/// Which blocks of 256 code points hold any: text rarely meets one, so most characters stop here.
std::bitset<0x1100> blocks_with_stand_ins() {
  std::bitset<0x1100> blocks;
  for (const StandIn& range : kStandIns) {
    for (char32_t block = range.first >> 8; block <= range.last >> 8; ++block) blocks.set(block);
  }
  return blocks;
}

}  // namespace

char32_t stand_in(char32_t code_point) {
  static const std::bitset<0x1100> blocks = blocks_with_stand_ins();
  if (!blocks[code_point >> 8]) return code_point;
  const StandIn* range = std::lower_bound(std::begin(kStandIns), std::end(kStandIns), code_point,
                                          [](const StandIn& r, char32_t c) { return r.last < c; });
  const bool inside = range != std::end(kStandIns) && range->first <= code_point;
  return inside ? range->by : code_point;
}

bool replace_by_stand_ins(std::string_view text, std::string& copy) {
  bool found = false;
  for (size_t at = 0; at < text.size();) {
    // Below U+0800, that is up to two bytes, the tables agree.
    if (static_cast<unsigned char>(text[at]) < 0xE0) {
      ++at;
      continue;
    }
    const Utf8Char c = decode_utf8(text, at);
    if (const char32_t by = stand_in(c.code_point); by != c.code_point) {
      if (!found) copy = text;
      found = true;
      std::string bytes;
      append_utf8(bytes, by);
      std::copy(bytes.begin(), bytes.end(), copy.begin() + static_cast<std::ptrdiff_t>(at));
    }
    at += c.length;
  }
  return found;
}

}  // namespace cadre
