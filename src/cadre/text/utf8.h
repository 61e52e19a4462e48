#pragma once
/// UTF-8 as the Unicode Standard defines it (table 3-7): no surrogates, no overlong forms, nothing above
/// U+10FFFF. Where input is wrong, the WHATWG rule counts: each maximal subpart of a well-formed sequence is
/// one error and is shown as one U+FFFD.

#include <cstddef>
#include <string>
#include <string_view>

namespace cadre {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

enum class Utf8Kind {
  kValid,
  kInvalid,    ///< `length` bytes can never be part of a character
  kTruncated,  ///< the text ends inside a character; more bytes could complete it
};

struct Utf8Char {
  char32_t code_point = kReplacementCharacter;  ///< U+FFFD unless kValid
  size_t length = 1;                            ///< bytes read, at least 1
  Utf8Kind kind = Utf8Kind::kInvalid;
};

/// The character that begins at byte `at`, which must be less than text.size().
Utf8Char decode_utf8(std::string_view text, size_t at);

/// How many bytes of `text`, from its start, are whole valid characters.
size_t valid_utf8_prefix(std::string_view text);

inline bool is_valid_utf8(std::string_view text) { return valid_utf8_prefix(text) == text.size(); }

/// Appends the encoding of `code_point`; surrogates and values above U+10FFFF are appended as U+FFFD.
void append_utf8(std::string& text, char32_t code_point);

/// `text` with U+FFFD for each maximal invalid subpart.
std::string replace_invalid_utf8(std::string_view text);

/// Unicode's White_Space property: what a tokenizer's `\s` means.
bool is_white_space(char32_t code_point);

/// Bytes in, whole characters out: what a model says token by token may end inside a character. Incomplete
/// tails are held back, invalid bytes become U+FFFD, so the concatenation of all results equals
/// replace_invalid_utf8 of all bytes, however they were cut. Not thread-safe.
class Utf8Stream {
 public:
  /// Valid UTF-8, possibly empty.
  std::string push(std::string_view bytes);
  /// U+FFFD for a tail that was never completed, else empty. Afterwards the stream is as new.
  std::string finish();

 private:
  std::string tail_;
};

}  // namespace cadre
