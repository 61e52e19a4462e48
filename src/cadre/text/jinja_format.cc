#include "cadre/text/jinja_format.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "cadre/text/jinja_text.h"
#include "cadre/text/utf8.h"

namespace cadre::jinja {
namespace {

constexpr int kMaxWidth = 1000;

/// [[fill]align][sign][#][0][width][grouping][.precision][type]
struct Specification {
  std::string fill = " ";
  char align = 0;  ///< '<', '>', '^', '=' or 0: left for text, right for numbers
  char sign = '-';
  bool alternate = false;
  int width = 0;
  char grouping = 0;
  int precision = -1;
  char type = 0;
};

Result<int> read_number(std::string_view& text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (error != std::errc() || value > kMaxWidth)
    return fail(ErrorKind::kTooLarge, "a width or precision above {} in a format", kMaxWidth);
  return value;
}

bool starts_number(std::string_view text) { return !text.empty() && text[0] >= '0' && text[0] <= '9'; }

std::string pad(std::string text, const Specification& spec, bool number) {
  const size_t length = text_length(text);
  const auto width = static_cast<size_t>(spec.width);
  if (length >= width) return text;
  const auto filler = [&](size_t count) {
    std::string out;
    while (count-- > 0) out += spec.fill;
    return out;
  };
  const size_t room = width - length;
  switch (spec.align != 0 ? spec.align : (number ? '>' : '<')) {
    case '<':
      return text + filler(room);
    case '^':
      return filler(room / 2) + text + filler(room - room / 2);
    case '=': {
      const size_t sign = !text.empty() && (text[0] == '-' || text[0] == '+' || text[0] == ' ') ? 1 : 0;
      return text.substr(0, sign) + filler(room) + text.substr(sign);
    }
    default:
      return filler(room) + text;
  }
}

std::string group_digits(const std::string& digits, char separator) {
  const size_t whole = std::min(digits.find_first_not_of("0123456789"), digits.size());
  std::string out;
  for (size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % 3 == 0) out += separator;
    out += digits[i];
  }
  return out + digits.substr(whole);
}

std::string finish_number(bool negative, std::string digits, const Specification& spec) {
  if (spec.grouping != 0) digits = group_digits(digits, spec.grouping);
  if (negative)
    digits.insert(0, 1, '-');
  else if (spec.sign != '-')
    digits.insert(0, 1, spec.sign);
  return pad(std::move(digits), spec, true);
}

Result<std::string> format_float(double value, const Specification& spec) {
  const double size = std::abs(value);
  std::string digits;
  if (!std::isfinite(size)) {
    digits = std::isnan(size) ? "nan" : "inf";
  } else if (spec.type == 0 && spec.precision < 0) {
    digits = float_repr(size);
  } else {
    const bool percent = spec.type == '%';
    const char type = percent ? 'f' : spec.type == 0 ? 'g' : spec.type;
    const char form[] = {'%', '.', '*', type, 0};
    char buffer[1500];  // the largest double has 309 digits before the point
    std::snprintf(buffer, sizeof buffer, form, spec.precision < 0 ? 6 : spec.precision,
                  percent ? size * 100 : size);
    digits = buffer;
    if (percent) digits += '%';
  }
  return finish_number(std::signbit(value) && !std::isnan(value), std::move(digits), spec);
}

Result<std::string> format_integer(Int value, const Specification& spec) {
  const bool negative = value < 0;
  const Int size = negative ? -value : value;
  switch (spec.type) {
    case 0:
    case 'd':
    case 'n':
      return finish_number(negative, fmt::format("{}", size), spec);
    case 'x':
      return finish_number(negative, fmt::format("{}{:x}", spec.alternate ? "0x" : "", size), spec);
    case 'X':
      return finish_number(negative, fmt::format("{}{:X}", spec.alternate ? "0X" : "", size), spec);
    case 'o':
      return finish_number(negative, fmt::format("{}{:o}", spec.alternate ? "0o" : "", size), spec);
    case 'b':
      return finish_number(negative, fmt::format("{}{:b}", spec.alternate ? "0b" : "", size), spec);
    default:
      return format_float(static_cast<double>(value), spec);
  }
}

Result<std::string> format_value(Runtime& runtime, const Value& value, const Specification& spec) {
  const bool integer_type =
      std::string_view("dnxXob").find(spec.type) != std::string_view::npos && spec.type != 0;
  const bool float_type =
      std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos && spec.type != 0;
  if (value.is_integral() && (integer_type || float_type || spec.type == 0))
    return format_integer(value.as_integer(), spec);
  if (value.is(Kind::kFloat) && (float_type || spec.type == 0)) return format_float(value.as_double(), spec);
  if (spec.type != 0 && (spec.type != 's' || value.is_number()))
    return invalid("format '{}' does not suit a {}", spec.type, value.type_name());
  CADRE_TRY(std::string text, runtime.str(value));
  if (spec.precision >= 0) text.resize(byte_of(text, static_cast<size_t>(spec.precision)));
  return pad(std::move(text), spec, false);
}

Result<Specification> parse_specification(std::string_view text) {
  Specification spec;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  const size_t first = text.empty() ? 0 : decode_utf8(text, 0).length;
  if (text.size() > first && is_align(text[first])) {
    spec.fill = text.substr(0, first);
    spec.align = text[first];
    text.remove_prefix(first + 1);
  } else if (!text.empty() && is_align(text[0])) {
    spec.align = text[0];
    text.remove_prefix(1);
  }
  const auto take = [&](std::string_view one_of) -> char {
    if (text.empty() || one_of.find(text[0]) == std::string_view::npos) return 0;
    const char taken = text[0];
    text.remove_prefix(1);
    return taken;
  };
  if (const char sign = take("+- ")) spec.sign = sign;
  spec.alternate = take("#") != 0;
  if (take("0") != 0 && spec.align == 0) {
    spec.fill = "0";
    spec.align = '=';
  }
  if (starts_number(text)) {
    CADRE_TRY(spec.width, read_number(text));
  }
  spec.grouping = take(",_");
  if (take(".") != 0) {
    if (!starts_number(text)) return invalid("a format without digits after '.'");
    CADRE_TRY(spec.precision, read_number(text));
  }
  spec.type = take("sdnxXobeEfFgG%");
  if (!text.empty()) return invalid("format specification with unexpected '{}'", text);
  return spec;
}

/// Hands out the values of a % format.
class PercentArguments {
 public:
  explicit PercentArguments(const Value& arguments) : arguments_(arguments) {
    if (arguments.is(Kind::kSequence) && arguments.sequence().kind == SequenceKind::kTuple)
      tuple_ = &arguments.sequence().items;
  }

  Result<Value> next() {
    const size_t available = tuple_ != nullptr ? tuple_->size() : 1;
    if (used_ >= available) return invalid("not enough arguments for format string");
    const size_t index = used_++;
    return tuple_ != nullptr ? (*tuple_)[index] : arguments_;
  }

  Result<Value> named(std::string_view name) {
    if (!arguments_.is(Kind::kDict)) return invalid("format requires a mapping");
    const Value* value = arguments_.dict().find(name);
    if (value == nullptr) return invalid("format key '{}' is not in the mapping", name);
    return *value;
  }

  Status finish() const {
    // Python takes what can be indexed for a mapping, of which nothing need be used.
    const bool mapping =
        arguments_.is(Kind::kDict) || arguments_.is(Kind::kSequence) || arguments_.is_undefined();
    if (tuple_ != nullptr ? used_ < tuple_->size() : used_ == 0 && !mapping)
      return invalid("not all arguments converted during string formatting");
    return {};
  }

 private:
  const Value& arguments_;
  const Values* tuple_ = nullptr;
  size_t used_ = 0;
};

/// Reads flags, width and precision of a % conversion.
Result<Specification> percent_specification(std::string_view& text) {
  Specification spec;
  spec.align = '>';
  for (bool more = true; more && !text.empty();) {
    switch (text[0]) {
      case '-':
        spec.align = '<';
        spec.fill = " ";
        break;
      case '0':
        if (spec.align != '<') {
          spec.align = '=';
          spec.fill = "0";
        }
        break;
      case '+':
        spec.sign = '+';
        break;
      case ' ':
        if (spec.sign != '+') spec.sign = ' ';
        break;
      case '#':
        spec.alternate = true;
        break;
      default:
        more = false;
        continue;
    }
    text.remove_prefix(1);
  }
  if (starts_number(text)) {
    CADRE_TRY(spec.width, read_number(text));
  }
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    spec.precision = 0;
    if (starts_number(text)) {
      CADRE_TRY(spec.precision, read_number(text));
    }
  }
  return spec;
}

Result<std::string> format_conversion(Runtime& runtime, const Value& value, Specification spec,
                                      char conversion) {
  switch (conversion) {
    case 's':
    case 'r':
    case 'a': {
      if (spec.align == '=') spec.align = '>';
      spec.fill = " ";
      CADRE_CHECK_OK(runtime.charge(value.weight()));
      return format_value(runtime, Value::string(conversion == 's' ? value_str(value) : value_repr(value)),
                          spec);
    }
    case 'd':
    case 'i':
    case 'u':
      if (!value.is_number())
        return invalid("%{} format: a number is required, not {}", conversion, value.type_name());
      spec.type = 'd';
      if (value.is(Kind::kFloat)) {
        if (!(std::abs(value.as_double()) < 9e18)) return invalid("%d of {}", value.as_double());
        return format_integer(static_cast<Int>(value.as_double()), spec);
      }
      return format_integer(value.as_integer(), spec);
    case 'x':
    case 'X':
    case 'o':
      spec.type = conversion;
      if (!value.is_integral())
        return invalid("%{} format: an integer is required, not {}", conversion, value.type_name());
      return format_integer(value.as_integer(), spec);
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
      spec.type = conversion;
      if (!value.is_number()) return invalid("must be real number, not {}", value.type_name());
      return format_float(value.as_double(), spec);
    default:
      return invalid("unsupported format character '{}'", conversion);
  }
}

}  // namespace

Result<std::string> format_percent(Runtime& runtime, std::string_view text, const Value& arguments) {
  PercentArguments values(arguments);
  std::string out;
  while (!text.empty()) {
    const size_t mark = std::min(text.find('%'), text.size());
    out += text.substr(0, mark);
    text.remove_prefix(mark);
    if (text.empty()) break;
    text.remove_prefix(1);
    std::optional<std::string_view> name;
    if (text.starts_with('(')) {
      const size_t end = text.find(')');
      if (end == std::string_view::npos) return invalid("incomplete format key");
      name = text.substr(1, end - 1);
      text.remove_prefix(end + 1);
    }
    CADRE_TRY(const Specification spec, percent_specification(text));
    if (text.empty()) return invalid("incomplete format");
    const char conversion = text[0];
    text.remove_prefix(1);
    if (conversion == '%') {
      out += '%';
      continue;
    }
    CADRE_TRY(const Value value, name ? values.named(*name) : values.next());
    CADRE_TRY(const std::string piece, format_conversion(runtime, value, spec, conversion));
    CADRE_CHECK_OK(runtime.charge_text(piece.size()));
    out += piece;
  }
  CADRE_CHECK_OK(values.finish());
  return out;
}

namespace {

/// The value that a replacement field names; `automatic` numbers the empty ones.
Result<Value> field_value(std::string_view name, const CallArguments& arguments, size_t& automatic) {
  if (name.empty() || starts_number(name)) {
    size_t index = automatic;
    if (name.empty()) {
      ++automatic;
    } else {
      const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
      if (error != std::errc() || end != name.data() + name.size())
        return invalid("format field '{{{}}}' is not supported", name);
    }
    if (index >= arguments.positional.size())
      return invalid("format field {} has no argument ({} given)", index, arguments.positional.size());
    return arguments.positional[index];
  }
  for (const auto& [key, value] : arguments.named)
    if (key == name) return value;
  if (name.find_first_of(".[") != std::string_view::npos)
    return invalid("format field '{{{}}}': attributes and items are not supported", name);
  return invalid("format field '{{{}}}' has no argument of that name", name);
}

Result<std::string> format_field(Runtime& runtime, std::string_view field, const CallArguments& arguments,
                                 size_t& automatic) {
  const size_t colon = std::min(field.find(':'), field.size());
  std::string_view name = field.substr(0, colon);
  const std::string_view rest = field.substr(std::min(colon + 1, field.size()));
  char conversion = 0;
  if (const size_t mark = name.find('!'); mark != std::string_view::npos) {
    if (mark + 2 != name.size() || (name[mark + 1] != 's' && name[mark + 1] != 'r'))
      return invalid("format field '{{{}}}': only !s and !r are supported", field);
    conversion = name[mark + 1];
    name = name.substr(0, mark);
  }
  CADRE_TRY(Value value, field_value(name, arguments, automatic));
  CADRE_TRY(const Specification spec, parse_specification(rest));
  if (rest.empty() && conversion == 0) return runtime.str(value);
  CADRE_CHECK_OK(runtime.charge(value.weight()));
  if (conversion == 's') value = Value::string(value_str(value));
  if (conversion == 'r') value = Value::string(value_repr(value));
  return format_value(runtime, value, spec);
}

}  // namespace

Result<std::string> format_braces(Runtime& runtime, std::string_view text, const CallArguments& arguments) {
  std::string out;
  size_t automatic = 0;
  while (!text.empty()) {
    const size_t mark = std::min(text.find_first_of("{}"), text.size());
    out += text.substr(0, mark);
    text.remove_prefix(mark);
    if (text.empty()) break;
    if (text.size() > 1 && text[1] == text[0]) {
      out += text[0];
      text.remove_prefix(2);
      continue;
    }
    if (text[0] == '}') return invalid("single '}}' in format string");
    const size_t end = text.find_first_of("{}", 1);
    if (end == std::string_view::npos) return invalid("'{{' without '}}' in format string");
    if (text[end] == '{') return invalid("nested fields in a format string are not supported");
    CADRE_TRY(const std::string piece, format_field(runtime, text.substr(1, end - 1), arguments, automatic));
    CADRE_CHECK_OK(runtime.charge_text(piece.size()));
    out += piece;
    text.remove_prefix(end + 1);
  }
  return out;
}

}  // namespace cadre::jinja
