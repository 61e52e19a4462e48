// Methods of strings.
#include <algorithm>

#include "cadre/text/jinja_filters.h"
#include "cadre/text/jinja_format.h"
#include "cadre/text/jinja_text.h"
#include "cadre/text/utf8.h"

namespace cadre::jinja {
namespace {

template <std::string (*change)(std::string_view)>
Result<Value> changed(Runtime& runtime, const Value& self, const Bound&) {
  CADRE_CHECK_OK(runtime.charge_text(self.text().size()));
  return runtime.make_text(change(self.text()));
}

std::string swap_case(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char letter = decode_utf8(text, at);
    const std::string_view piece = text.substr(at, letter.length);
    out += is_upper(letter.code_point) ? to_lower(piece) : to_upper(piece);
    at += letter.length;
  }
  return out;
}

/// A string argument that may be none or left out.
Result<std::optional<std::string_view>> optional_text(const Bound& arguments, size_t index) {
  if (arguments.find(index) == nullptr || arguments.at(index).is_none())
    return std::optional<std::string_view>();
  CADRE_TRY(const std::string_view text, arguments.text(index));
  return std::optional(text);
}

template <Side side>
Result<Value> strip_method(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const std::optional<std::string_view> chars, optional_text(arguments, 0));
  return runtime.make_text(std::string(strip(self.text(), chars, side)));
}

Result<Value> make_list(Runtime& runtime, const std::vector<std::string_view>& parts,
                        SequenceKind kind = SequenceKind::kList) {
  Values items;
  for (const std::string_view part : parts) {
    CADRE_TRY(Value item, runtime.make_text(std::string(part)));
    items.push_back(std::move(item));
  }
  return runtime.make_sequence(std::move(items), kind);
}

template <bool from_right>
Result<Value> split_method(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const std::optional<std::string_view> separator, optional_text(arguments, 0));
  if (separator && separator->empty()) return invalid("empty separator");
  CADRE_TRY(const int64_t max, arguments.integer(1, -1));
  CADRE_CHECK_OK(runtime.charge_text(self.text().size()));
  return make_list(runtime,
                   from_right ? rsplit(self.text(), separator, max) : split(self.text(), separator, max));
}

Result<Value> splitlines(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_CHECK_OK(runtime.charge_text(self.text().size()));
  return make_list(runtime, split_lines(self.text(), arguments.truthy(0)));
}

template <bool from_right>
Result<Value> partition(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const std::string_view separator, arguments.text(0));
  if (separator.empty()) return invalid("empty separator");
  const std::string_view text = self.text();
  const size_t found = from_right ? text.rfind(separator) : text.find(separator);
  if (found != text.npos)
    return make_list(runtime, {text.substr(0, found), separator, text.substr(found + separator.size())},
                     SequenceKind::kTuple);
  if (from_right) return make_list(runtime, {"", "", text}, SequenceKind::kTuple);
  return make_list(runtime, {text, "", ""}, SequenceKind::kTuple);
}

/// The part of the text that optional start and end arguments pick, and where it starts.
struct Window {
  std::string_view text;
  size_t start = 0;   ///< in code points
  bool valid = true;  ///< false when start lies behind the text
};

Result<Window> window(Runtime& runtime, std::string_view text, const Bound& arguments, size_t start_at) {
  CADRE_CHECK_OK(runtime.charge_text(text.size()));
  const Value* start = arguments.find(start_at);
  const Value* end = arguments.find(start_at + 1);
  if (start == nullptr && end == nullptr) return Window{.text = text};
  const auto length = static_cast<int64_t>(text_length(text));
  CADRE_TRY(const int64_t first, arguments.integer(start_at, 0));
  CADRE_TRY(const int64_t last, arguments.integer(start_at + 1, length));
  const SliceBounds bounds = slice_bounds(length, first, last, 1);
  const size_t begin = byte_of(text, static_cast<size_t>(bounds.first));
  const std::string_view rest = text.substr(begin);
  return Window{.text = rest.substr(0, byte_of(rest, static_cast<size_t>(bounds.count))),
                .start = static_cast<size_t>(bounds.first),
                .valid = first <= length};
}

template <bool at_start>
Result<Value> has_affix(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const Window part, window(runtime, self.text(), arguments, 1));
  const auto matches = [&](const Value& affix) {
    return part.valid && (at_start ? part.text.starts_with(affix.text()) : part.text.ends_with(affix.text()));
  };
  const Value& affix = arguments.at(0);
  if (affix.is_string()) return Value::boolean(matches(affix));
  if (!affix.is(Kind::kSequence) || affix.sequence().kind != SequenceKind::kTuple)
    return invalid("expected a string or a tuple of strings, found {}", affix.type_name());
  const Values& choices = affix.sequence().items;
  CADRE_CHECK_OK(runtime.charge(affix.weight()));
  if (!std::all_of(choices.begin(), choices.end(), [](const Value& item) { return item.is_string(); }))
    return invalid("expected a tuple of strings");
  return Value::boolean(std::any_of(choices.begin(), choices.end(), matches));
}

/// find, rfind, index and rindex, which differ in direction and in what "not found" is.
template <bool from_right, bool required>
Result<Value> find_method_of(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const std::string_view wanted, arguments.text(0));
  CADRE_TRY(const Window part, window(runtime, self.text(), arguments, 1));
  const size_t found = from_right ? part.text.rfind(wanted) : part.text.find(wanted);
  if (found != std::string_view::npos && part.valid)
    return Value::integer(static_cast<Int>(part.start) +
                          static_cast<Int>(text_length(part.text.substr(0, found))));
  if (required) return invalid("substring not found");
  return Value::integer(-1);
}

Result<Value> count(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const std::string_view wanted, arguments.text(0));
  CADRE_TRY(const Window part, window(runtime, self.text(), arguments, 1));
  if (!part.valid) return Value::integer(0);
  if (wanted.empty()) return Value::integer(static_cast<Int>(text_length(part.text)) + 1);
  return Value::integer(static_cast<Int>(split(part.text, wanted, -1).size()) - 1);
}

Result<Value> replace(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const std::string_view from, arguments.text(0));
  CADRE_TRY(const std::string_view to, arguments.text(1));
  CADRE_TRY(const int64_t most, arguments.integer(2, -1));
  return replace_charged(runtime, self.text(), from, to, most);
}

Result<Value> join(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const Values items, runtime.iterate(arguments.at(0)));
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is_string())
      return invalid("join: item {} is a {}, expected a string", i, items[i].type_name());
    CADRE_CHECK_OK(runtime.charge_text(items[i].text().size() + self.text().size()));
    if (i > 0) out += self.text();
    out += items[i].text();
  }
  return Value::string(std::move(out));
}

Result<Value> remove_prefix(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const std::string_view affix, arguments.text(0));
  std::string_view text = self.text();
  if (text.starts_with(affix)) text.remove_prefix(affix.size());
  return runtime.make_text(std::string(text));
}

Result<Value> remove_suffix(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(const std::string_view affix, arguments.text(0));
  std::string_view text = self.text();
  if (text.ends_with(affix)) text.remove_suffix(affix.size());
  return runtime.make_text(std::string(text));
}

enum class Justify { kLeft, kRight, kCenter, kZeros };

template <Justify how>
Result<Value> justify(Runtime& runtime, const Value& self, const Bound& arguments) {
  constexpr int64_t kWidest = 100'000;
  CADRE_TRY(const int64_t width, arguments.integer(0, 0));
  CADRE_TRY(const std::string_view fill, arguments.text(1, how == Justify::kZeros ? "0" : " "));
  if (width > kWidest) return fail(ErrorKind::kTooLarge, "a width above {}", kWidest);
  if (text_length(fill) != 1) return invalid("the fill character must be exactly one character long");
  CADRE_CHECK_OK(
      runtime.charge_text(self.text().size() + static_cast<size_t>(std::max<int64_t>(width, 0)) * 4));
  const std::string& text = self.text();
  const int64_t missing = width - static_cast<int64_t>(text_length(text));
  if (missing <= 0) return self;
  const auto filler = [&](int64_t times) {
    std::string out;
    while (times-- > 0) out += fill;
    return out;
  };
  if (how == Justify::kLeft) return Value::string(text + filler(missing));
  if (how == Justify::kRight) return Value::string(filler(missing) + text);
  if (how == Justify::kZeros) {
    const size_t sign = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
    return Value::string(text.substr(0, sign) + filler(missing) + text.substr(sign));
  }
  const int64_t left = missing / 2 + (missing & width & 1);  // where CPython puts the odd one
  return Value::string(filler(left) + text + filler(missing - left));
}

/// isalpha() and its like: not empty, and every character is of the class.
template <bool (*member)(char32_t)>
Result<Value> all_are(Runtime& runtime, const Value& self, const Bound&) {
  CADRE_CHECK_OK(runtime.charge_text(self.text().size()));
  const std::string& text = self.text();
  for (size_t at = 0; at < text.size();) {
    const Utf8Char letter = decode_utf8(text, at);
    if (!member(letter.code_point)) return Value::boolean(false);
    at += letter.length;
  }
  return Value::boolean(!text.empty());
}

bool letter_or_number(char32_t code) { return code != '_' && is_word(code); }

template <bool upper>
Result<Value> is_case(Runtime& runtime, const Value& self, const Bound&) {
  return call_builtin(runtime, *find_test(upper ? "upper" : "lower"), self, {});
}

Result<Value> format(Runtime& runtime, const Value& self, const Bound& arguments) {
  CADRE_TRY(std::string text, format_braces(runtime, self.text(), arguments.all()));
  return runtime.make_text(std::move(text));
}

constexpr Builtin kTextMethods[] = {
    {"capitalize", changed<capitalize>},
    {"casefold", changed<to_lower>},
    {"center", justify<Justify::kCenter>, 1, {"width", "fillchar"}},
    {"count", count, 1, {"sub", "start", "end"}},
    {"endswith", has_affix<false>, 1, {"suffix", "start", "end"}},
    {"find", find_method_of<false, false>, 1, {"sub", "start", "end"}},
    {"format", format, 0, {}, true},
    {"index", find_method_of<false, true>, 1, {"sub", "start", "end"}},
    {"isalnum", all_are<letter_or_number>},
    {"isalpha", all_are<is_letter>},
    {"isdecimal", all_are<is_digit>},
    {"isdigit", all_are<is_digit>},
    {"isnumeric", all_are<is_digit>},
    {"islower", is_case<false>},
    {"isspace", all_are<is_space>},
    {"isupper", is_case<true>},
    {"join", join, 1, {"iterable"}},
    {"ljust", justify<Justify::kLeft>, 1, {"width", "fillchar"}},
    {"lower", changed<to_lower>},
    {"lstrip", strip_method<Side::kLeft>, 0, {"chars"}},
    {"partition", partition<false>, 1, {"sep"}},
    {"removeprefix", remove_prefix, 1, {"prefix"}},
    {"removesuffix", remove_suffix, 1, {"suffix"}},
    {"replace", replace, 2, {"old", "new", "count"}},
    {"rfind", find_method_of<true, false>, 1, {"sub", "start", "end"}},
    {"rindex", find_method_of<true, true>, 1, {"sub", "start", "end"}},
    {"rjust", justify<Justify::kRight>, 1, {"width", "fillchar"}},
    {"rpartition", partition<true>, 1, {"sep"}},
    {"rsplit", split_method<true>, 0, {"sep", "maxsplit"}},
    {"rstrip", strip_method<Side::kRight>, 0, {"chars"}},
    {"split", split_method<false>, 0, {"sep", "maxsplit"}},
    {"splitlines", splitlines, 0, {"keepends"}},
    {"startswith", has_affix<true>, 1, {"prefix", "start", "end"}},
    {"strip", strip_method<Side::kBoth>, 0, {"chars"}},
    {"swapcase", changed<swap_case>},
    {"title", changed<title_words>},
    {"upper", changed<to_upper>},
    {"zfill", justify<Justify::kZeros>, 1, {"width"}},
};

}  // namespace

std::span<const Builtin> text_methods() { return kTextMethods; }

}  // namespace cadre::jinja
