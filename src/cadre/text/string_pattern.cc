#include "cadre/text/string_pattern.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "cadre/text/utf8.h"

namespace cadre {
namespace {

using Id = RegularBuilder::Id;

constexpr size_t kMaxPatternBytes = 4096;
constexpr int kMaxGroupDepth = 50;
constexpr int64_t kMaxRepeat = 100'000;
constexpr char32_t kLastCodePoint = 0x10FFFF;

/// Code points, as ranges.
using Ranges = std::vector<std::pair<char32_t, char32_t>>;

const Ranges& digit_ranges() {
  static const Ranges kRanges{{'0', '9'}};
  return kRanges;
}
const Ranges& word_ranges() {
  static const Ranges kRanges{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
  return kRanges;
}
/// WhiteSpace and LineTerminator of ECMA-262.
const Ranges& space_ranges() {
  static const Ranges kRanges{{9, 13},          {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680},
                              {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
                              {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
  return kRanges;
}

Ranges complement(Ranges ranges) {
  std::sort(ranges.begin(), ranges.end());
  Ranges result;
  char32_t next = 0;
  for (const auto& [first, last] : ranges) {
    if (first > next) result.emplace_back(next, first - 1);
    next = std::max<char32_t>(next, last + 1);
  }
  if (next <= kLastCodePoint) result.emplace_back(next, kLastCodePoint);
  return result;
}

class PatternParser {
 public:
  PatternParser(RegularBuilder& regular, std::string_view pattern, StringEncoding encoding)
      : regular_(regular), pattern_(pattern), encoding_(encoding) {}

  Result<Id> parse() {
    if (pattern_.size() > kMaxPatternBytes)
      return fail(ErrorKind::kTooLarge, "longer than {} bytes", kMaxPatternBytes);
    if (!is_valid_utf8(pattern_)) return invalid("not valid UTF-8");
    const Id anything = any_string(regular_, 0, RegularBuilder::kUnbounded, encoding_);
    std::vector<Id> alternatives;
    do {
      const bool from_start = take('^');
      CADRE_TRY(Id alternative, parse_terms(0));
      const bool to_end = take('$');
      if (!from_start) alternative = regular_.sequence(anything, alternative);
      if (!to_end) alternative = regular_.sequence(alternative, anything);
      alternatives.push_back(alternative);
    } while (take('|'));
    if (!at_end()) return unsupported(peek() == '$' ? "'$' inside of a pattern" : "an unopened ')'");
    return regular_.either(alternatives);
  }

 private:
  bool at_end() const { return at_ >= pattern_.size(); }
  char peek() const { return at_end() ? '\0' : pattern_[at_]; }
  bool take(char c) {
    if (at_end() || pattern_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool take(std::string_view text) {
    if (!pattern_.substr(at_).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }
  tl::unexpected<Error> unsupported(std::string_view what) const {
    return invalid("byte {}: {} is not supported", at_, what);
  }

  Id one_of(const Ranges& ranges) {
    std::vector<Id> parts;
    for (const auto& [first, last] : ranges) parts.push_back(encoded_range(regular_, first, last, encoding_));
    return regular_.either(parts);
  }

  /// Terms up to the end of an alternative.
  Result<Id> parse_terms(int depth) {
    std::vector<Id> terms;
    while (!at_end() && peek() != '|' && peek() != ')' && peek() != '$') {
      CADRE_TRY(const Id atom, parse_atom(depth));
      CADRE_TRY(const Id term, parse_quantifier(atom));
      terms.push_back(term);
    }
    return regular_.sequence(terms);
  }

  Result<Id> parse_group(int depth) {
    if (depth == kMaxGroupDepth)
      return fail(ErrorKind::kTooLarge, "groups nested deeper than {} levels", kMaxGroupDepth);
    if (take("?")) {
      if (take("<")) {
        if (peek() == '=' || peek() == '!') return unsupported("a lookbehind");
        const size_t end = pattern_.find('>', at_);
        if (end == pattern_.npos) return unsupported("a group without the end of its name");
        at_ = end + 1;
      } else if (!take(":")) {
        return unsupported(peek() == '=' || peek() == '!' ? "a lookahead" : "a group of this kind");
      }
    }
    std::vector<Id> alternatives;
    do {
      CADRE_TRY(const Id alternative, parse_terms(depth + 1));
      alternatives.push_back(alternative);
    } while (take('|'));
    if (peek() == '$') return unsupported("'$' inside of a group");
    if (!take(')')) return unsupported("an unclosed group");
    return regular_.either(alternatives);
  }

  Result<Id> parse_atom(int depth) {
    if (take('(')) return parse_group(depth);
    if (take('[')) return parse_class();
    if (take('.')) return one_of(complement({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}));
    if (peek() == '\\') {
      CADRE_TRY(const Ranges ranges, parse_escape(false));
      return one_of(ranges);
    }
    if (peek() == '^') return unsupported("'^' inside of a pattern");
    if (peek() == '*' || peek() == '+' || peek() == '?' || peek() == '{')
      return unsupported("a quantifier without anything before it");
    const Utf8Char character = decode_utf8(pattern_, at_);
    at_ += character.length;
    return one_of({{character.code_point, character.code_point}});
  }

  /// The ranges that an escape stands for; a single one of one code point is a character.
  Result<Ranges> parse_escape(bool in_class) {
    ++at_;
    if (at_end()) return unsupported("a '\\' at the end");
    const char c = pattern_[at_++];
    const auto character = [](char32_t code_point) { return Ranges{{code_point, code_point}}; };
    switch (c) {
      case 'd':
        return digit_ranges();
      case 'D':
        return complement(digit_ranges());
      case 'w':
        return word_ranges();
      case 'W':
        return complement(word_ranges());
      case 's':
        return space_ranges();
      case 'S':
        return complement(space_ranges());
      case 't':
        return character('\t');
      case 'n':
        return character('\n');
      case 'v':
        return character('\v');
      case 'f':
        return character('\f');
      case 'r':
        return character('\r');
      case 'b':
        if (in_class) return character('\b');
        break;
      case 'x':
        if (const auto value = take_hex(2)) return character(*value);
        break;
      case 'u':
        if (const auto value = parse_unicode_escape()) return character(*value);
        break;
      case '0':
        if (peek() < '0' || peek() > '9') return character(0);
        break;
      default:
        if (std::string_view("^$\\.*+?()[]{}|/-").find(c) != std::string_view::npos)
          return character(static_cast<uint8_t>(c));
    }
    at_ -= 2;
    return unsupported(
        fmt::format("the escape '{}'", pattern_.substr(at_, 1 + decode_utf8(pattern_, at_ + 1).length)));
  }

  std::optional<char32_t> take_hex(size_t digits) {
    char32_t value = 0;
    if (pattern_.size() - at_ < digits) return std::nullopt;
    for (size_t i = 0; i < digits; ++i) {
      const char c = pattern_[at_ + i];
      const bool letter = (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
      if (!letter && (c < '0' || c > '9')) return std::nullopt;
      value = value * 16 + static_cast<char32_t>(letter ? (c | 0x20) - 'a' + 10 : c - '0');
    }
    at_ += digits;
    return value;
  }

  /// What follows `\u`.
  std::optional<char32_t> parse_unicode_escape() {
    std::optional<char32_t> value;
    if (take('{')) {
      const size_t end = pattern_.find('}', at_);
      if (end == pattern_.npos || end == at_ || end - at_ > 6) return std::nullopt;
      value = take_hex(end - at_);
      if (!value) return std::nullopt;
      ++at_;
    } else {
      value = take_hex(4);
      if (value && *value >= 0xD800 && *value < 0xDC00 && take("\\u")) {
        const auto low = take_hex(4);
        if (!low || *low < 0xDC00 || *low > 0xDFFF) return std::nullopt;
        value = 0x10000 + ((*value - 0xD800) << 10) + (*low - 0xDC00);
      }
    }
    if (!value || *value > kLastCodePoint || (*value >= 0xD800 && *value <= 0xDFFF)) return std::nullopt;
    return value;
  }

  Result<Ranges> parse_class_atom() {
    if (peek() == '\\') return parse_escape(true);
    const Utf8Char character = decode_utf8(pattern_, at_);
    at_ += character.length;
    return Ranges{{character.code_point, character.code_point}};
  }

  Result<Id> parse_class() {
    const bool negated = take('^');
    Ranges ranges;
    while (!take(']')) {
      if (at_end()) return unsupported("an unclosed class");
      CADRE_TRY(const Ranges first, parse_class_atom());
      const bool is_range = peek() == '-' && at_ + 1 < pattern_.size() && pattern_[at_ + 1] != ']';
      if (!is_range) {
        ranges.insert(ranges.end(), first.begin(), first.end());
        continue;
      }
      ++at_;
      CADRE_TRY(const Ranges last, parse_class_atom());
      const bool characters = first.size() == 1 && first[0].first == first[0].second && last.size() == 1 &&
                              last[0].first == last[0].second;
      if (!characters || first[0].first > last[0].first)
        return unsupported("a range of this kind in a class");
      ranges.emplace_back(first[0].first, last[0].first);
    }
    return one_of(negated ? complement(std::move(ranges)) : ranges);
  }

  std::optional<int64_t> take_number() {
    const size_t begin = at_;
    int64_t value = 0;
    while (!at_end() && peek() >= '0' && peek() <= '9' && value <= kMaxRepeat)
      value = value * 10 + (pattern_[at_++] - '0');
    return at_ == begin ? std::nullopt : std::optional(value);
  }

  Result<Id> parse_quantifier(Id atom) {
    int64_t least = 1;
    int64_t most = 1;
    if (take('*')) {
      least = 0;
      most = RegularBuilder::kUnbounded;
    } else if (take('+')) {
      most = RegularBuilder::kUnbounded;
    } else if (take('?')) {
      least = 0;
    } else if (take('{')) {
      const auto first = take_number();
      if (!first) return unsupported("a '{' that is no quantifier");
      least = most = *first;
      if (take(',')) most = take_number().value_or(RegularBuilder::kUnbounded);
      if (!take('}')) return unsupported("a '{' that is no quantifier");
      if (least > kMaxRepeat || most > kMaxRepeat)
        return fail(ErrorKind::kTooLarge, "byte {}: more than {} repetitions", at_, kMaxRepeat);
      if (most != RegularBuilder::kUnbounded && least > most)
        return unsupported("a quantifier with its ends swapped");
    } else {
      return atom;
    }
    take('?');  // lazy or greedy: the strings are the same
    return regular_.repeat(atom, least, most);
  }

  RegularBuilder& regular_;
  std::string_view pattern_;
  StringEncoding encoding_;
  size_t at_ = 0;
};

struct Format {
  std::string_view name;
  std::string pattern;
};

/// Patterns of all formats. Days are those that the month has, 29 February in leap years alone.
const std::vector<Format>& formats() {
  static const std::vector<Format> kFormats = [] {
    const std::string leap_year =
        R"((?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00))";
    const std::string date = R"((?:\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-)"
                             R"((?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))|)" +
                             leap_year + "-02-29)";
    const std::string clock = R"((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?)";
    const std::string zone = R"((?:Z|[+\-](?:[01]\d|2[0-3]):[0-5]\d))";
    const std::string time = clock + zone;
    const std::string label = "[a-zA-Z0-9](?:[a-zA-Z0-9\\-]{0,28}[a-zA-Z0-9])?";
    const std::string hostname = label + "(?:\\." + label + "){0,7}";
    const std::string byte = R"((?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d))";
    const std::string atom = "[a-zA-Z0-9!#$%&'*+/=?\\^_`{|}~\\-]{1,20}";
    std::string ipv6 = "[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4}){7}|::";
    // Groups before and after the "::", seven at most together.
    for (int before = 0; before <= 7; ++before) {
      for (int after = before == 0 ? 1 : 0; before + after <= 7; ++after) {
        const auto groups = [](int count) {
          return count == 0 ? std::string()
                            : fmt::format("[0-9a-fA-F]{{1,4}}(?::[0-9a-fA-F]{{1,4}}){{{}}}", count - 1);
        };
        ipv6 += "|" + groups(before) + "::" + groups(after);
      }
    }
    const std::string days = R"((?:\d{1,9}D))";
    const std::string hours = R"(T(?:\d{1,9}H(?:\d{1,9}M(?:\d{1,9}S)?)?|\d{1,9}M(?:\d{1,9}S)?|\d{1,9}S))";
    const std::string months = R"((?:\d{1,9}M(?:\d{1,9}D)?|)" + days + ")";
    return std::vector<Format>{
        {"date", date},
        {"time", time},
        {"date-time", date + "T" + time},
        {"duration",
         "P(?:(?:\\d{1,9}Y" + months + "?|" + months + ")(?:" + hours + ")?|" + hours + "|\\d{1,9}W)"},
        {"uuid", "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"},
        {"email", atom + "(?:\\." + atom + "){0,2}@" + label + "(?:\\." + label + "){1,3}"},
        {"hostname", hostname},
        {"ipv4", byte + "(?:\\." + byte + "){3}"},
        {"ipv6", ipv6},
    };
  }();
  return kFormats;
}

}  // namespace

Result<RegularBuilder::Id> compile_pattern(RegularBuilder& regular, std::string_view pattern,
                                           StringEncoding encoding) {
  return PatternParser(regular, pattern, encoding).parse();
}

Result<RegularBuilder::Id> compile_format(RegularBuilder& regular, std::string_view format,
                                          StringEncoding encoding) {
  std::string names;
  for (const Format& known : formats()) {
    if (known.name == format)
      return compile_pattern(regular, fmt::format("^(?:{})$", known.pattern), encoding);
    names.append(names.empty() ? "" : ", ").append(known.name);
  }
  return fail(ErrorKind::kNotFound, "'{}' is not supported; there are {}", format, names);
}

RegularBuilder::Id any_string(RegularBuilder& regular, int64_t least, int64_t most, StringEncoding encoding) {
  return regular.repeat(encoded_range(regular, 0, kLastCodePoint, encoding), least, most);
}

}  // namespace cadre
