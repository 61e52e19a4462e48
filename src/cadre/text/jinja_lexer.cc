#include "cadre/text/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "cadre/text/jinja_text.h"
#include "cadre/text/utf8.h"

namespace cadre::jinja {
namespace {

constexpr std::string_view kDigits = "0123456789";

bool is_digit_at(std::string_view text, size_t at) {
  return at < text.size() && kDigits.find(text[at]) != kDigits.npos;
}

/// One kind of newline, and no single one at the end, as Jinja reads a template.
std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

/// Resolves the escapes of a string literal as Python does; unknown ones stay as they are.
Result<std::string> unescape(std::string_view body) {
  std::string out;
  const auto append_code = [&](std::string_view digits, int base) {
    uint32_t code = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, base);
    if (error != std::errc() || end != digits.data() + digits.size() || code > 0x10FFFF ||
        (code >= 0xD800 && code < 0xE000))
      return false;
    append_utf8(out, static_cast<char32_t>(code));
    return true;
  };
  for (size_t i = 0; i < body.size(); ++i) {
    if (body[i] != '\\' || i + 1 == body.size()) {
      out += body[i];
      continue;
    }
    const char letter = body[++i];
    constexpr std::string_view kLetters = "\n\\'\"abfnrtv";
    constexpr std::array<std::string_view, 11> kMeanings = {"",   "\\", "'",  "\"", "\a", "\b",
                                                            "\f", "\n", "\r", "\t", "\v"};
    if (const size_t at = kLetters.find(letter); at != kLetters.npos) {
      out += kMeanings[at];
    } else if (letter == 'x' || letter == 'u' || letter == 'U') {
      const size_t count = letter == 'x' ? 2 : letter == 'u' ? 4 : 8;
      const std::string_view digits = body.substr(i + 1, count);
      if (digits.size() != count || !append_code(digits, 16))
        return invalid("bad escape \\{}{} in a string", letter, digits);
      i += count;
    } else if (letter >= '0' && letter <= '7') {
      size_t count = 1;
      while (count < 3 && i + count < body.size() && body[i + count] >= '0' && body[i + count] <= '7')
        ++count;
      if (!append_code(body.substr(i, count), 8)) return invalid("bad octal escape in a string");
      i += count - 1;
    } else if (letter == 'N') {
      return invalid("\\N escapes in strings are not supported");
    } else {
      out.append(1, '\\').append(1, letter);
    }
  }
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  Result<std::vector<Token>> run() {
    while (at_ < source_.size()) {
      Status status = read_text_and_tag();
      if (!status) return invalid("line {}: {}", line_, status.error().message);
    }
    push(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  void push(TokenKind kind, std::string text) { tokens_.push_back({kind, line_, std::move(text)}); }

  std::string_view rest() const { return source_.substr(at_); }

  void advance_to(size_t at) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<ptrdiff_t>(at_),
                                         source_.begin() + static_cast<ptrdiff_t>(at), '\n'));
    at_ = at;
  }
  void advance(size_t bytes) { advance_to(at_ + bytes); }

  /// Skips white space that starts at at_.
  void skip_space() {
    size_t at = at_;
    while (at < source_.size()) {
      const Utf8Char next = decode_utf8(source_, at);
      if (!is_space(next.code_point)) break;
      at += next.length;
    }
    advance_to(at);
  }

  size_t next_tag() const {
    for (size_t at = source_.find('{', at_); at != source_.npos; at = source_.find('{', at + 1))
      if (at + 1 < source_.size() && std::string_view("{%#").find(source_[at + 1]) != std::string_view::npos)
        return at;
    return source_.size();
  }

  /// What the sign of the tag that follows, or lstrip_blocks, leaves of `text`.
  std::string_view trim_before_tag(std::string_view text, char sign, bool print) const {
    if (sign == '-') return strip(text, std::nullopt, Side::kRight);
    if (sign == '+' || print) return text;
    const size_t newline = text.rfind('\n');
    const size_t line = newline == text.npos ? 0 : newline + 1;
    if (line == 0 && !at_line_start_) return text;
    return strip(text.substr(line), std::nullopt, Side::kLeft).empty() ? text.substr(0, line) : text;
  }

  char sign_at(size_t at) const {
    const char sign = at < source_.size() ? source_[at] : '\0';
    return sign == '-' || sign == '+' ? sign : '\0';
  }

  Status read_text_and_tag() {
    const size_t tag = next_tag();
    std::string_view text = source_.substr(at_, tag - at_);
    if (tag == source_.size()) {
      push(TokenKind::kText, std::string(text));
      advance_to(tag);
      return {};
    }
    const char kind = source_[tag + 1];
    const char sign = sign_at(tag + 2);
    text = trim_before_tag(text, sign, kind == '{');
    if (!text.empty()) push(TokenKind::kText, std::string(text));
    advance_to(tag + 2 + (sign != 0 ? 1 : 0));
    if (kind == '#') return skip_comment();
    if (kind == '{') return read_tag(TokenKind::kPrintBegin, TokenKind::kPrintEnd, "}}");
    if (const size_t raw = raw_tag_length("raw", false); raw > 0) return read_raw(raw);
    return read_tag(TokenKind::kBlockBegin, TokenKind::kBlockEnd, "%}");
  }

  /// Handles the white space after a closing tag of which `sign` is the character before the bracket.
  void after_tag(char sign, bool print) {
    const size_t start = at_;
    if (sign == '-')
      skip_space();
    else if (!print && sign != '+' && rest().starts_with('\n'))
      advance(1);
    at_line_start_ = at_ > start && source_[at_ - 1] == '\n';
  }

  Status skip_comment() {
    const size_t end = source_.find("#}", at_);
    if (end == source_.npos) return invalid("a comment is not closed with #}}");
    const char sign = end > at_ ? sign_at(end - 1) : '\0';
    advance_to(end + 2);
    after_tag(sign, false);
    return {};
  }

  /// Length of what is left of a tag `raw` or `endraw` at at_, up to and with "%}"; 0 when it is another tag.
  size_t raw_tag_length(std::string_view name, bool plus_allowed) const {
    std::string_view text = strip(rest(), std::nullopt, Side::kLeft);
    if (!text.starts_with(name)) return 0;
    text = strip(text.substr(name.size()), std::nullopt, Side::kLeft);
    if (text.starts_with('-') || (plus_allowed && text.starts_with('+'))) text.remove_prefix(1);
    if (!text.starts_with("%}")) return 0;
    return static_cast<size_t>(text.data() - rest().data()) + 2;
  }

  Status read_raw(size_t tag_length) {
    const char sign = source_[at_ + tag_length - 3];
    advance(tag_length);
    if (sign == '-') skip_space();
    const size_t body = at_;
    const int first_line = line_;
    for (size_t tag = source_.find("{%", at_); tag != source_.npos; tag = source_.find("{%", tag + 2)) {
      const char end_sign = sign_at(tag + 2);
      advance_to(tag + 2 + (end_sign != 0 ? 1 : 0));
      const size_t length = raw_tag_length("endraw", true);
      if (length == 0) continue;
      at_line_start_ = false;
      const std::string_view text = trim_before_tag(source_.substr(body, tag - body), end_sign, false);
      tokens_.push_back({TokenKind::kText, first_line, std::string(text)});
      const char last_sign = source_[at_ + length - 3];
      advance(length);
      after_tag(last_sign, false);
      return {};
    }
    return invalid("a raw block is not closed with endraw");
  }

  Status read_tag(TokenKind begin, TokenKind end, std::string_view bracket) {
    push(begin, std::string(begin == TokenKind::kPrintBegin ? "{{" : "{%"));
    brackets_.clear();
    while (true) {
      skip_space();
      if (at_ >= source_.size()) return invalid("a tag is not closed with {}", bracket);
      if (brackets_.empty()) {
        const char sign = sign_at(at_);
        const bool signed_end =
            (sign == '-' || (sign == '+' && bracket == "%}")) && rest().substr(1).starts_with(bracket);
        if (signed_end || rest().starts_with(bracket)) {
          push(end, std::string(bracket));
          advance(bracket.size() + (signed_end ? 1 : 0));
          after_tag(signed_end ? sign : '\0', end == TokenKind::kPrintEnd);
          return {};
        }
      }
      CADRE_CHECK_OK(read_token());
    }
  }

  Status read_token() {
    const char first = source_[at_];
    if (is_digit_at(source_, at_)) return read_number();
    if (first == '"' || first == '\'') return read_string(first);
    if (const size_t length = name_length(); length > 0) {
      push(TokenKind::kName, std::string(rest().substr(0, length)));
      advance(length);
      return {};
    }
    return read_operator();
  }

  size_t name_length() const {
    size_t length = 0;
    while (at_ + length < source_.size()) {
      const Utf8Char next = decode_utf8(source_, at_ + length);
      if (!is_word(next.code_point)) break;
      length += next.length;
    }
    return length;
  }

  /// End of digits with single underscores between them, from `at`; `at` itself when there are none.
  size_t digits_end(size_t at, std::string_view allowed = kDigits) const {
    const auto digit = [&](size_t i) {
      return i < source_.size() && allowed.find(source_[i]) != allowed.npos;
    };
    if (!digit(at)) return at;
    while (digit(at) || (at < source_.size() && source_[at] == '_' && digit(at + 1))) ++at;
    return at;
  }

  Status read_number() {
    const size_t whole = digits_end(at_);
    size_t end = whole;
    const bool item_of_item = at_ > 0 && source_[at_ - 1] == '.';  // a.0.1 is two indices
    if (!item_of_item) {
      if (end < source_.size() && source_[end] == '.') end = std::max(digits_end(end + 1), end);
      if (end == whole + 1) end = whole;
      if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
        const size_t sign = sign_at(end + 1) != 0 ? 1 : 0;
        if (const size_t exponent = digits_end(end + 1 + sign); exponent > end + 1 + sign) end = exponent;
      }
    }
    return end > whole ? push_number(TokenKind::kFloat, end) : read_integer(whole);
  }

  Status push_number(TokenKind kind, size_t end) {
    std::string text(source_.substr(at_, end - at_));
    std::erase(text, '_');
    push(kind, std::move(text));
    advance_to(end);
    return {};
  }

  Status read_integer(size_t decimal_end) {
    const std::string prefix = to_lower(rest().substr(0, 2));
    const int base = prefix == "0x" ? 16 : prefix == "0o" ? 8 : prefix == "0b" ? 2 : 10;
    if (base == 10) {
      if (source_[at_] == '0' &&
          source_.substr(at_, decimal_end - at_).find_first_not_of("0_") != source_.npos)
        return invalid("a number may not start with 0");
      return push_number(TokenKind::kInteger, decimal_end);
    }
    const size_t end = digits_end(
        at_ + 2,
        std::string_view("0123456789abcdefABCDEF").substr(0, base == 16 ? 22 : static_cast<size_t>(base)));
    std::string digits(source_.substr(at_ + 2, end - at_ - 2));
    std::erase(digits, '_');
    int64_t value = 0;
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (digits.empty() || error != std::errc())
      return invalid("bad number '{}'", rest().substr(0, end - at_));
    push(TokenKind::kInteger, fmt::format("{}", value));
    advance_to(end);
    return {};
  }

  Status read_string(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return invalid("a string is not closed with {}", quote);
    CADRE_TRY(std::string text, unescape(source_.substr(at_ + 1, end - at_ - 1)));
    push(TokenKind::kString, std::move(text));
    advance_to(end + 1);
    return {};
  }

  Status read_operator() {
    constexpr std::string_view kTwo[] = {"//", "**", "==", "!=", ">=", "<="};
    constexpr std::string_view kOne = "+-/*%~[](){}><=.:|,;";
    const auto two = std::find(std::begin(kTwo), std::end(kTwo), rest().substr(0, 2));
    const size_t length = two != std::end(kTwo) ? 2 : 1;
    const std::string symbol(rest().substr(0, length));
    if (length == 1 && kOne.find(symbol) == kOne.npos) {
      const size_t bytes = decode_utf8(source_, at_).length;
      return invalid("unexpected character '{}'", rest().substr(0, bytes));
    }
    CADRE_CHECK_OK(balance(symbol[0]));
    push(TokenKind::kOperator, symbol);
    advance(length);
    return {};
  }

  Status balance(char symbol) {
    if (symbol == '(') brackets_ += ')';
    if (symbol == '[') brackets_ += ']';
    if (symbol == '{') brackets_ += '}';
    if (symbol != ')' && symbol != ']' && symbol != '}') return {};
    if (brackets_.empty()) return invalid("unexpected '{}'", symbol);
    if (brackets_.back() != symbol)
      return invalid("unexpected '{}', expected '{}'", symbol, brackets_.back());
    brackets_.pop_back();
    return {};
  }

  std::string_view source_;
  size_t at_ = 0;
  int line_ = 1;
  bool at_line_start_ = true;  ///< what comes next in the text begins a line
  std::string brackets_;       ///< closing brackets that are awaited
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source) {
  if (!is_valid_utf8(source))
    return invalid("the template is not UTF-8 (byte {})", valid_utf8_prefix(source));
  const std::string normalized = normalize_newlines(source);
  return Lexer(normalized).run();
}

std::string describe_token(const Token& token) {
  switch (token.kind) {
    case TokenKind::kText:
      return "text";
    case TokenKind::kEnd:
      return "end of template";
    case TokenKind::kString:
      return "a string";
    default:
      return fmt::format("'{}'", token.text);
  }
}

}  // namespace cadre::jinja
