// From Oniguruma's dialect of regular expressions to PCRE2's: see pcre2_from_oniguruma.
#include <algorithm>
#include <span>

#include "cadre/text/pre_tokenizer_regex.h"
#include "cadre/text/utf8.h"

namespace cadre {
namespace {

struct Rewrite {
  std::string_view from;
  std::string_view to;
};

/// Escapes that both dialects agree about, and those that only matter outside of classes.
constexpr std::string_view kSame = "tnrfaesSdD";
constexpr std::string_view kSameOutside = "Az";

// \v: any vertical space in PCRE2, U+000B there. \w: PCRE2's has neither marks nor connectors. \h: hex
// digits.
constexpr Rewrite kOutside[] = {{"v", "\\x{0B}"},
                                {"w", "[\\p{L}\\p{M}\\p{N}\\p{Pc}]"},
                                {"W", "[^\\p{L}\\p{M}\\p{N}\\p{Pc}]"},
                                {"h", "[0-9A-Fa-f]"},
                                {"H", "[^0-9A-Fa-f]"}};
constexpr Rewrite kInside[] = {{"v", "\\x{0B}"}, {"w", "\\p{L}\\p{M}\\p{N}\\p{Pc}"}, {"h", "0-9A-Fa-f"}};

/// PCRE2 knows only the short names of general categories.
constexpr Rewrite kCategoryNames[] = {
    {"Letter", "L"},
    {"Lowercase_Letter", "Ll"},
    {"Uppercase_Letter", "Lu"},
    {"Titlecase_Letter", "Lt"},
    {"Modifier_Letter", "Lm"},
    {"Other_Letter", "Lo"},
    {"Mark", "M"},
    {"Nonspacing_Mark", "Mn"},
    {"Spacing_Mark", "Mc"},
    {"Enclosing_Mark", "Me"},
    {"Number", "N"},
    {"Decimal_Number", "Nd"},
    {"Letter_Number", "Nl"},
    {"Other_Number", "No"},
    {"Punctuation", "P"},
    {"Symbol", "S"},
    {"Math_Symbol", "Sm"},
    {"Currency_Symbol", "Sc"},
    {"Modifier_Symbol", "Sk"},
    {"Other_Symbol", "So"},
    {"Separator", "Z"},
    {"Space_Separator", "Zs"},
    {"Other", "C"},
    {"Control", "Cc"},
    {"Format", "Cf"},
    {"Any", "Any"},
    {"Alphabetic", "Alphabetic"},
};

/// Names that Oniguruma reads as POSIX-like sets of its own.
constexpr std::string_view kPosixNames[] = {"Alnum", "Alpha", "Blank", "Cntrl", "Digit",  "Graph", "Lower",
                                            "Print", "Punct", "Space", "Upper", "XDigit", "Word",  "ASCII"};

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  Result<std::string> run() {
    while (at_ < in_.size()) {
      switch (in_[at_]) {
        case '\\':
          CADRE_CHECK_OK(escape(/*in_class=*/false));
          break;
        case '[':
          CADRE_CHECK_OK(character_class());
          break;
        case '(':
          CADRE_CHECK_OK(group());
          break;
        case '{':
          CADRE_CHECK_OK(interval());
          break;
        default:
          out_ += in_[at_++];
      }
    }
    return std::move(out_);
  }

 private:
  char peek(size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  bool take(std::string_view text) {
    if (in_.substr(at_, text.size()) != text) return false;
    at_ += text.size();
    return true;
  }
  tl::unexpected<Error> refuse(std::string_view what) const {
    return invalid("{} at byte {} is not supported", what, at_);
  }

  Status group() {
    // Not here: comments, names, conditions, absent groups, (?m), which means "dot matches all" there, and
    // (?i), which there takes in the alternatives that follow.
    static constexpr std::string_view kOpenings[] = {
        "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:"};
    if (peek(1) != '?' && peek(1) != '*') {
      out_ += in_[at_++];
      return {};
    }
    for (const std::string_view opening : kOpenings) {
      if (!take(opening)) continue;
      out_ += opening;
      return {};
    }
    return refuse("this kind of group");
  }

  /// A `{` that begins no interval is a literal in both dialects.
  Status interval() {
    size_t end = at_ + 1;
    const size_t low = end;
    while (end < in_.size() && is_digit(in_[end])) ++end;
    const bool has_low = end > low;
    const bool comma = end < in_.size() && in_[end] == ',';
    if (comma) ++end;
    const size_t high = end;
    while (end < in_.size() && is_digit(in_[end])) ++end;
    const bool has_high = comma && end > high;
    if (end >= in_.size() || in_[end] != '}' || !(has_low || has_high)) {
      out_ += "\\{";
      ++at_;
      return {};
    }
    const char after = end + 1 < in_.size() ? in_[end + 1] : '\0';
    // There `x{2}+` repeats the interval and `x{2}?` makes it optional; here they are possessive and lazy.
    if (after == '+') return refuse("'+' after an interval");
    if (after == '?' && !comma) return refuse("'?' after a fixed interval");
    out_ += '{';
    if (!has_low) out_ += '0';  // `{,3}` is a literal in PCRE2 10.42
    out_ += in_.substr(low, end - low);
    out_ += '}';
    at_ = end + 1;
    return {};
  }

  Status character_class() {
    out_ += in_[at_++];
    if (peek() == '^') out_ += in_[at_++];
    if (peek() == ']') return refuse("']' as the first of a class");
    while (at_ < in_.size() && in_[at_] != ']') {
      if (in_[at_] == '[') return refuse("a class inside a class");
      if (in_.substr(at_, 2) == "&&") return refuse("the intersection of classes");
      if (in_[at_] == '\\') {
        CADRE_CHECK_OK(escape(/*in_class=*/true));
      } else {
        out_ += in_[at_++];
      }
    }
    if (at_ == in_.size()) return refuse("a class without ']'");
    out_ += in_[at_++];
    return {};
  }

  Status escape(bool in_class) {
    if (at_ + 1 == in_.size()) return refuse("'\\' at the end");
    const char c = in_[at_ + 1];
    if (c == 'p' || c == 'P') return property();
    if (c == 'x' || c == 'u') return code_point();
    const bool same = kSame.find(c) != kSame.npos || (!in_class && kSameOutside.find(c) != kSameOutside.npos);
    if (same || !is_alphanumeric(c)) {
      out_ += in_.substr(at_, 2);  // of a character beyond ASCII the rest follows as it is
      at_ += 2;
      return {};
    }
    if (in_class ? rewrite(kInside) : rewrite(kOutside)) return {};
    return refuse(fmt::format("'\\{}'", c));
  }

  bool rewrite(std::span<const Rewrite> table) {
    const auto found = std::find_if(table.begin(), table.end(),
                                    [&](const Rewrite& r) { return r.from == in_.substr(at_ + 1, 1); });
    if (found == table.end()) return false;
    out_ += found->to;
    at_ += 2;
    return true;
  }

  /// \x7F, \x{1F600}, \u3040
  Status code_point() {
    const bool braces = peek(1) == 'x' && peek(2) == '{';
    const size_t digits = at_ + (braces ? 3 : 2);
    const size_t most = braces ? 6 : (peek(1) == 'x' ? 2 : 4);
    size_t end = digits;
    while (end < in_.size() && end - digits < most && is_hex(in_[end])) ++end;
    const bool closed = !braces || (end < in_.size() && in_[end] == '}');
    if (end == digits || !closed || (peek(1) == 'u' && end - digits != 4)) return refuse("this escape");
    // \xHH is a byte there: above 7F it is part of a character.
    if (!braces && peek(1) == 'x' && (end - digits != 2 || in_[digits] > '7')) return refuse("this escape");
    out_ += fmt::format("\\x{{{}}}", in_.substr(digits, end - digits));
    at_ = braces ? end + 1 : end;
    return {};
  }

  Status property() {
    const char kind = peek(1);
    if (peek(2) != '{') return refuse("a property without braces");
    const size_t end = in_.find('}', at_);
    if (end == in_.npos) return refuse("a property without '}'");
    std::string_view name = in_.substr(at_ + 3, end - at_ - 3);
    const bool negative = !name.empty() && name[0] == '^';
    if (negative) name.remove_prefix(1);
    if (name.empty() ||
        !std::all_of(name.begin(), name.end(), [](char c) { return is_alphanumeric(c) || c == '_'; }) ||
        std::find(std::begin(kPosixNames), std::end(kPosixNames), name) != std::end(kPosixNames)) {
      return refuse(fmt::format("the property '{}'", name));
    }
    out_ += fmt::format("\\{}{{{}", kind, negative ? "^" : "");
    const auto* const category = std::find_if(std::begin(kCategoryNames), std::end(kCategoryNames),
                                              [&](const Rewrite& r) { return r.from == name; });
    if (category != std::end(kCategoryNames)) {
      out_ += category->to;
    } else {
      // Longer names are scripts; PCRE2 would take a bare one for the script and its extensions.
      out_ += name.size() <= 2 ? std::string(name) : fmt::format("sc:{}", name);
    }
    out_ += '}';
    at_ = end + 1;
    return {};
  }

  std::string_view in_;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

Result<std::string> pcre2_from_oniguruma(std::string_view pattern) {
  if (!is_valid_utf8(pattern)) return invalid("the pattern is not valid UTF-8");
  // Where PCRE2 has no JIT, this would read on to the end of a long run from each of its blanks, in vain: n^2
  // steps. What matches at the run's start is the same.
  if (pattern == "\\s+$") return "(?<!\\s)\\s+$";
  return Translator(pattern).run();
}

std::string escape_pattern(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    const bool plain = is_alphanumeric(c) || static_cast<unsigned char>(c) >= 0x80 || c == '\n' || c == '\r';
    if (!plain) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

}  // namespace cadre
