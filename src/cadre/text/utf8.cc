#include "cadre/text/utf8.h"

#include <cstdint>
#include <cstring>

namespace cadre {
namespace {

/// What may follow a lead byte: the number of further bytes, and the range of the first of them (all later
/// ones are 80..BF). `count` 0 means that the byte leads nothing.
struct Lead {
  int count = 0;
  unsigned char lowest = 0x80;
  unsigned char highest = 0xBF;
};

Lead lead_of(unsigned char byte) {
  if (byte < 0xC2 || byte > 0xF4) return {};
  if (byte < 0xE0) return {.count = 1};
  if (byte == 0xE0) return {.count = 2, .lowest = 0xA0};   // below: overlong
  if (byte == 0xED) return {.count = 2, .highest = 0x9F};  // above: surrogates
  if (byte < 0xF0) return {.count = 2};
  if (byte == 0xF0) return {.count = 3, .lowest = 0x90};   // below: overlong
  if (byte == 0xF4) return {.count = 3, .highest = 0x8F};  // above: beyond U+10FFFF
  return {.count = 3};
}

size_t ascii_prefix(std::string_view text, size_t at) {
  constexpr uint64_t kHighBits = 0x8080808080808080;
  while (at + 8 <= text.size()) {
    uint64_t word;
    std::memcpy(&word, text.data() + at, 8);
    if ((word & kHighBits) != 0) break;
    at += 8;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

/// Appends the characters of `text` to `out` until one is truncated; returns where that one begins.
size_t append_replacing(std::string_view text, std::string& out) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t valid = valid_utf8_prefix(text.substr(at));
    out.append(text, at, valid);
    at += valid;
    if (at == text.size()) break;
    const Utf8Char bad = decode_utf8(text, at);
    if (bad.kind == Utf8Kind::kTruncated) break;
    append_utf8(out, kReplacementCharacter);
    at += bad.length;
  }
  return at;
}

}  // namespace

Utf8Char decode_utf8(std::string_view text, size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  if (first < 0x80) return {.code_point = first, .length = 1, .kind = Utf8Kind::kValid};
  const Lead lead = lead_of(first);
  if (lead.count == 0) return {};
  char32_t code_point = first & (0x3F >> lead.count);
  size_t length = 1;
  for (int i = 0; i < lead.count; ++i, ++length) {
    if (at + length == text.size()) return {.length = length, .kind = Utf8Kind::kTruncated};
    const auto next = static_cast<unsigned char>(text[at + length]);
    const unsigned char lowest = i == 0 ? lead.lowest : 0x80;
    const unsigned char highest = i == 0 ? lead.highest : 0xBF;
    if (next < lowest || next > highest) return {.length = length, .kind = Utf8Kind::kInvalid};
    code_point = (code_point << 6) | (next & 0x3F);
  }
  return {.code_point = code_point, .length = length, .kind = Utf8Kind::kValid};
}

size_t valid_utf8_prefix(std::string_view text) {
  size_t at = 0;
  while ((at = ascii_prefix(text, at)) < text.size()) {
    const Utf8Char c = decode_utf8(text, at);
    if (c.kind != Utf8Kind::kValid) break;
    at += c.length;
  }
  return at;
}

void append_utf8(std::string& text, char32_t code_point) {
  if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point < 0xE000)) {
    code_point = kReplacementCharacter;
  }
  const auto put = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

std::string replace_invalid_utf8(std::string_view text) {
  Utf8Stream stream;
  std::string out = stream.push(text);
  out += stream.finish();
  return out;
}

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

std::string Utf8Stream::push(std::string_view bytes) {
  std::string out;
  if (tail_.empty()) {
    tail_ = bytes.substr(append_replacing(bytes, out));
    return out;
  }
  tail_ += bytes;
  tail_.erase(0, append_replacing(tail_, out));
  return out;
}

std::string Utf8Stream::finish() {
  // What is held back is one truncated sequence, hence one maximal subpart.
  std::string out;
  if (!tail_.empty()) append_utf8(out, kReplacementCharacter);
  tail_.clear();
  return out;
}

}  // namespace cadre
