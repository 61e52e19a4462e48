// Filters on one value: text, numbers, JSON. Those on sequences are in jinja_filters_items.cc.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "cadre/text/jinja_filters.h"
#include "cadre/text/jinja_format.h"
#include "cadre/text/jinja_text.h"
#include "cadre/text/utf8.h"

namespace cadre::jinja {
namespace {

template <std::string (*change)(std::string_view)>
Result<Value> text_filter(Runtime& runtime, const Value& self, const Bound&) {
  CADRE_TRY(const std::string text, runtime.str(self));
  return runtime.make_text(change(text));
}

/// Every word starts with a capital; words are parted by white space, hyphens and opening brackets.
std::string title_filter(std::string_view text) {
  std::string out;
  bool starts = true;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char letter = decode_utf8(text, at);
    const std::string_view piece = text.substr(at, letter.length);
    out += starts ? to_upper(piece) : to_lower(piece);
    starts = is_space(letter.code_point) || piece.find_first_of("-({[<") != std::string_view::npos;
    at += letter.length;
  }
  return out;
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '\'')
      out += "&#39;";
    else if (c == '"')
      out += "&#34;";
    else
      out += c;
  }
  return out;
}

std::string same_text(std::string_view text) { return std::string(text); }

Result<Value> trim(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const std::string text, runtime.str(self));
  std::optional<std::string_view> chars;
  if (arguments.find(0) != nullptr && !arguments.at(0).is_none()) {
    CADRE_TRY(chars, arguments.text(0));
  }
  return runtime.make_text(std::string(strip(text, chars, Side::kBoth)));
}

Result<Value> replace(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const std::string text, runtime.str(self));
  CADRE_TRY(const std::string from, runtime.str(arguments.at(0)));
  CADRE_TRY(const std::string to, runtime.str(arguments.at(1)));
  CADRE_TRY(const int64_t count, arguments.integer(2, -1));
  return replace_charged(runtime, text, from, to, count);
}

Result<std::string> indentation(const Bound& arguments) {
  constexpr int64_t kWidest = 1000;
  if (arguments.find(0) != nullptr && arguments.at(0).is_string()) return arguments.at(0).text();
  CADRE_TRY(const int64_t width, arguments.integer(0, 4));
  if (width > kWidest) return fail(ErrorKind::kTooLarge, "an indentation wider than {}", kWidest);
  return std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
}

Result<Value> indent(Runtime& runtime, const Value& self, const Bound& arguments) {
  if (!self.is_string()) return invalid("'indent' needs a string, not {}", self.type_name());
  std::string text = self.text();
  CADRE_TRY(const std::string margin, indentation(arguments));
  const bool blank = arguments.truthy(2);
  text += '\n';  // so that a last empty line is kept by splitting
  const std::vector<std::string_view> lines = split_lines(text, false);
  CADRE_CHECK_OK(runtime.charge_text(text.size() + lines.size() * (margin.size() + 1)));
  std::string out = arguments.truthy(1) ? margin : "";
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += '\n';
    if (i > 0 && (blank || !lines[i].empty())) out += margin;
    out += lines[i];
  }
  return Value::string(std::move(out));
}

Result<Value> format(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const std::string text, runtime.str(self));
  const CallArguments& all = arguments.all();
  if (!all.positional.empty() && !all.named.empty())
    return invalid("'format' takes positional or named arguments, not both");
  Dict names;
  for (const auto& [name, value] : all.named) names.set(Value::string(name), value);
  CADRE_TRY(const Value values, all.named.empty()
                                    ? runtime.make_sequence(all.positional, SequenceKind::kTuple)
                                    : runtime.make_dict(std::move(names)));
  CADRE_TRY(std::string out, format_percent(runtime, text, values));
  return Value::string(std::move(out));
}

Result<Value> default_value(Runtime&, const Value& self, const Bound& arguments) {
  if (!self.is_undefined() && (self.truthy() || !arguments.truthy(1))) return self;
  return arguments.find(0) != nullptr ? arguments.at(0) : Value::string("");
}

Result<Value> length(Runtime& runtime, const Value& self, const Bound&) {
  const auto number = [](size_t value) { return Value::integer(static_cast<Int>(value)); };
  switch (self.kind()) {
    case Kind::kUndefined:
      return number(0);
    case Kind::kString:
      CADRE_CHECK_OK(runtime.charge_text(self.text().size()));
      return number(text_length(self.text()));
    case Kind::kSequence:
      return number(self.sequence().items.size());
    case Kind::kDict:
      return number(self.dict().size());
    default:
      return invalid("object of type '{}' has no length", self.type_name());
  }
}

Result<Value> absolute(Runtime&, const Value& self, const Bound&) {
  if (!self.is_number()) return invalid("bad operand type for abs(): '{}'", self.type_name());
  if (self.is(Kind::kFloat)) return Value::number(std::abs(self.as_double()));
  return Value::integer(self.as_integer() < 0 ? -self.as_integer() : self.as_integer());
}

/// Text of a number without white space around it, a plus sign, and underscores between digits.
std::string plain_number(std::string_view text) {
  text = strip(text, std::nullopt, Side::kBoth);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  std::string out;
  const auto digit = [&](size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] != '_' || i == 0 || !digit(i - 1) || !digit(i + 1)) out += text[i];
  return out;
}

template <typename Number, typename... Base>
std::optional<Number> parse_whole(std::string_view text, Base... base) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base...);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> number_of(const Value& value) {
  if (value.is_number()) return value.as_double();
  return value.is_string() ? parse_whole<double>(plain_number(value.text())) : std::nullopt;
}

Result<Value> to_int(Runtime& runtime, const Value& self, const Bound& arguments) {
  if (self.is_undefined()) return invalid("{}", self.undefined_message());
  CADRE_TRY(const int64_t base, arguments.integer(1, 10));
  if (base < 2 || base > 36) return invalid("int() base must be from 2 to 36, not {}", base);
  if (self.is_integral()) return Value::integer(self.as_integer());
  if (self.is_string()) {
    CADRE_CHECK_OK(runtime.charge_text(self.text().size()));
    std::string text = plain_number(self.text());
    const size_t sign = text.starts_with('-') ? 1 : 0;
    const std::string prefix = to_lower(std::string_view(text).substr(sign, 2));
    if ((base == 16 && prefix == "0x") || (base == 8 && prefix == "0o") || (base == 2 && prefix == "0b"))
      text.erase(sign, 2);
    if (const auto value = parse_whole<int64_t>(text, static_cast<int>(base))) return Value::integer(*value);
  }
  const std::optional<double> value = number_of(self);
  if (value && std::isfinite(*value)) {
    constexpr double kHighest = 9.2e18;
    if (std::abs(*value) > kHighest) return fail(ErrorKind::kTooLarge, "'int' of {}: beyond 64 bits", *value);
    return Value::integer(static_cast<int64_t>(*value));
  }
  return arguments.find(0) != nullptr ? arguments.at(0) : Value::integer(0);
}

Result<Value> to_float(Runtime& runtime, const Value& self, const Bound& arguments) {
  if (self.is_undefined()) return invalid("{}", self.undefined_message());
  CADRE_CHECK_OK(runtime.charge(self.weight()));
  if (const std::optional<double> value = number_of(self)) return Value::number(*value);
  return arguments.find(0) != nullptr ? arguments.at(0) : Value::number(0);
}

/// round(value, digits) with ties of the decimal value going to even, as Python has it.
double round_decimal(double value, int64_t digits) {
  if (digits < 0) {
    const double scale = std::pow(10.0, static_cast<double>(-digits));
    return std::isfinite(scale) ? std::nearbyint(value / scale) * scale : 0.0;
  }
  char buffer[700];  // 309 digits before the point, 330 after it
  std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(digits), value);
  return std::strtod(buffer, nullptr);
}

Result<Value> round_number(Runtime&, const Value& self, const Bound& arguments) {
  if (!self.is_number()) return invalid("'round' of a {}", self.type_name());
  CADRE_TRY(const int64_t digits, arguments.integer(0, 0));
  if (digits < -330 || digits > 330) return invalid("'round' to {} digits", digits);
  CADRE_TRY(const std::string_view method, arguments.text(1, "common"));
  if (method == "common") {
    if (self.is_integral() && digits >= 0) return Value::integer(self.as_integer());
    const double rounded = round_decimal(self.as_double(), digits);
    if (self.is_integral() && std::abs(rounded) < 9e18) return Value::integer(static_cast<int64_t>(rounded));
    return Value::number(rounded);
  }
  if (method != "ceil" && method != "floor") return invalid("'round' method must be common, ceil or floor");
  const double scale = std::pow(10.0, static_cast<double>(digits));
  const double scaled = self.as_double() * scale;
  return Value::number((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

/// The style that a call of `tojson` asks for; separators default as in json.dumps.
Result<JsonStyle> json_style(const Bound& arguments) {
  constexpr int64_t kWidest = 64;
  JsonStyle style{.ensure_ascii = arguments.truthy(0), .sort_keys = arguments.truthy(3)};
  if (arguments.find(1) != nullptr && !arguments.at(1).is_none()) {
    CADRE_TRY(const int64_t indent, arguments.integer(1, 0));
    if (indent > kWidest) return fail(ErrorKind::kTooLarge, "'tojson' with an indent above {}", kWidest);
    style.indent = static_cast<int>(std::max<int64_t>(indent, 0));
    style.item_separator = ",";
  }
  if (arguments.find(2) == nullptr || arguments.at(2).is_none()) return style;
  const Value& pair = arguments.at(2);
  if (!pair.is(Kind::kSequence) || pair.sequence().items.size() != 2 ||
      !pair.sequence().items[0].is_string() || !pair.sequence().items[1].is_string())
    return invalid("'tojson': separators must be two strings");
  style.item_separator = pair.sequence().items[0].text();
  style.key_separator = pair.sequence().items[1].text();
  return style;
}

Result<Value> to_json(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const JsonStyle style, json_style(arguments));
  const auto margin = static_cast<uint64_t>(std::max(style.indent, 0) * self.depth());
  const uint64_t per_element =
      1 + (margin + style.item_separator.size() + style.key_separator.size()) / kBytesPerStep;
  const uint64_t elements = self.weight();
  CADRE_CHECK_OK(runtime.charge(elements > UINT64_MAX / per_element ? UINT64_MAX : elements * per_element));
  CADRE_TRY(std::string text, value_to_json(self, style));
  return runtime.make_text(std::move(text));
}

Result<Value> from_json(Runtime& runtime, const Value& self, const Bound&) {
  if (!self.is_string()) return invalid("'from_json' needs a string, not {}", self.type_name());
  CADRE_CHECK_OK(runtime.charge(1 + self.text().size()));
  CADRE_TRY(const Json json, parse_json(self.text(), "from_json"));
  return Value::from_json(json);
}

constexpr Builtin kFilters[] = {
    {"abs", absolute},
    {"capitalize", text_filter<capitalize>},
    {"count", length},
    {"d", default_value, 0, {"default_value", "boolean"}},
    {"default", default_value, 0, {"default_value", "boolean"}},
    {"e", text_filter<escape_html>},
    {"escape", text_filter<escape_html>},
    {"float", to_float, 0, {"default"}},
    {"format", format, 0, {}, true},
    {"from_json", from_json},
    {"indent", indent, 0, {"width", "first", "blank"}},
    {"int", to_int, 0, {"default", "base"}},
    {"length", length},
    {"lower", text_filter<to_lower>},
    {"replace", replace, 2, {"old", "new", "count"}},
    {"round", round_number, 0, {"precision", "method"}},
    {"safe", text_filter<same_text>},
    {"string", text_filter<same_text>},
    {"title", text_filter<title_filter>},
    {"tojson", to_json, 0, {"ensure_ascii", "indent", "separators", "sort_keys"}},
    {"trim", trim, 0, {"chars"}},
    {"upper", text_filter<to_upper>},
};

}  // namespace

Result<Value> replace_charged(Runtime& runtime, std::string_view text, std::string_view from,
                              std::string_view to, int64_t count) {
  CADRE_CHECK_OK(runtime.charge_text(text.size()));
  uint64_t matches = from.empty() ? text.size() + 1 : 0;
  if (!from.empty())
    for (size_t at = text.find(from); at != std::string_view::npos; at = text.find(from, at + from.size()))
      ++matches;
  if (count >= 0) matches = std::min(matches, static_cast<uint64_t>(count));
  CADRE_CHECK_OK(runtime.charge_text(text.size() + matches * to.size()));
  return Value::string(replace_text(text, from, to, count));
}

const Builtin* find_filter(std::string_view name) {
  const Builtin* found = find_builtin(kFilters, name);
  return found != nullptr ? found : find_builtin(item_filters(), name);
}

}  // namespace cadre::jinja
