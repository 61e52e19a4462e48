#include "cadre/text/json_number.h"

#include <algorithm>
#include <cmath>

namespace cadre {
namespace {

using Id = RegularBuilder::Id;

constexpr size_t kExactDigits = 15;  // that a double holds, whatever they are
constexpr int kMostDigits = 18;      // that an int64 holds

/// Writes the pieces of number_text.
class NumberWriter {
 public:
  explicit NumberWriter(RegularBuilder& regular) : regular_(regular), digit_(regular.bytes('0', '9')) {}

  Id digits(int64_t least, int64_t most) { return regular_.repeat(digit_, least, most); }
  /// Digits without zeros in front.
  Id whole(int64_t most) {
    return regular_.either(
        {regular_.literal("0"), regular_.sequence(regular_.bytes('1', '9'), digits(0, most - 1))});
  }
  Id point() { return regular_.literal("."); }
  Id either(const std::vector<Id>& parts) { return regular_.either(parts); }
  Id sequence(const std::vector<Id>& parts) { return regular_.sequence(parts); }

  /// Unsigned decimals, with and without a fraction, of at least `bound`.
  Id at_least(const NumberBound& bound) {
    const std::string& limit = bound.value.whole;
    const auto size = static_cast<int64_t>(limit.size());
    const Id larger = either({whole_above(limit), sequence({regular_.bytes('1', '9'), digits(size, kOpen)})});
    return either({sequence({larger, any_fraction()}),
                   sequence({regular_.literal(limit),
                             fraction(fraction_at_least(bound.value.fraction, bound.exclusive))})});
  }

  Id at_most(const NumberBound& bound) {
    const std::string& limit = bound.value.whole;
    const auto size = static_cast<int64_t>(limit.size());
    const Id smaller = either({whole_below(limit), size > 1 ? digits(1, size - 1) : regular_.none()});
    return either({sequence({smaller, any_fraction()}),
                   sequence({regular_.literal(limit),
                             fraction(fraction_at_most(bound.value.fraction, bound.exclusive))})});
  }

  static constexpr int64_t kOpen = RegularBuilder::kUnbounded;

 private:
  Id any_fraction() { return regular_.optional(sequence({point(), digits(1, kOpen)})); }

  /// From the digits of a fraction, perhaps none, to its text.
  Id fraction(Id fraction_digits) {
    const Id some = regular_.both(fraction_digits, digits(1, kOpen));
    const Id none = regular_.both(fraction_digits, regular_.empty());
    // `none` is a language without words, or with the empty one; the automaton finds out which.
    return either({none, sequence({point(), some})});
  }

  /// Digits, as many as `limit` has, that are greater.
  Id whole_above(std::string_view limit) {
    Id result = regular_.none();
    for (size_t i = limit.size(); i > 0; --i) {
      const auto d = static_cast<uint8_t>(limit[i - 1]);
      const auto rest = static_cast<int64_t>(limit.size() - i);
      const Id greater =
          d < '9' ? sequence({regular_.bytes(static_cast<uint8_t>(d + 1), '9'), digits(rest, rest)})
                  : regular_.none();
      result = either({greater, sequence({regular_.bytes(d, d), result})});
    }
    return result;
  }

  Id whole_below(std::string_view limit) {
    Id result = regular_.none();
    for (size_t i = limit.size(); i > 0; --i) {
      const auto d = static_cast<uint8_t>(limit[i - 1]);
      const auto rest = static_cast<int64_t>(limit.size() - i);
      const Id less = d > '0'
                          ? sequence({regular_.bytes('0', static_cast<uint8_t>(d - 1)), digits(rest, rest)})
                          : regular_.none();
      result = either({less, sequence({regular_.bytes(d, d), result})});
    }
    return result;
  }

  /// Digits after the point, perhaps none, that read at least 0.`limit`, which does not end in a zero.
  Id fraction_at_least(std::string_view limit, bool exclusive) {
    Id result = exclusive ? sequence({digits(0, kOpen), regular_.bytes('1', '9'), digits(0, kOpen)})
                          : digits(0, kOpen);
    for (size_t i = limit.size(); i > 0; --i) {
      const auto d = static_cast<uint8_t>(limit[i - 1]);
      const Id greater = d < '9'
                             ? sequence({regular_.bytes(static_cast<uint8_t>(d + 1), '9'), digits(0, kOpen)})
                             : regular_.none();
      result = either({greater, sequence({regular_.bytes(d, d), result})});
    }
    return result;
  }

  Id fraction_at_most(std::string_view limit, bool exclusive) {
    Id result = exclusive ? regular_.none() : regular_.repeat(regular_.literal("0"), 0, kOpen);
    for (size_t i = limit.size(); i > 0; --i) {
      const auto d = static_cast<uint8_t>(limit[i - 1]);
      const Id less = d > '0' ? sequence({regular_.bytes('0', static_cast<uint8_t>(d - 1)), digits(0, kOpen)})
                              : regular_.none();
      // Digits may also end here, before the limit does.
      result = either({regular_.empty(), less, sequence({regular_.bytes(d, d), result})});
    }
    return result;
  }

  RegularBuilder& regular_;
  Id digit_;
};

/// Texts without sign of the numbers whose absolute value lies between `lowest` and `highest`.
Id magnitude(RegularBuilder& regular, const std::optional<NumberBound>& lowest,
             const std::optional<NumberBound>& highest) {
  NumberWriter write(regular);
  Id result = regular.any();
  if (lowest) result = regular.both(result, write.at_least(*lowest));
  if (highest) result = regular.both(result, write.at_most(*highest));
  return result;
}

std::optional<NumberBound> negated(const std::optional<NumberBound>& bound) {
  std::optional<NumberBound> result = bound;
  if (result) result->value.negative = !result->value.negative;
  return result;
}

bool is_zero(const Decimal& value) { return value.whole == "0" && value.fraction.empty(); }

/// Texts without sign of the numbers from 0 on that lie between the bounds.
Id nonnegative(RegularBuilder& regular, std::optional<NumberBound> lowest,
               const std::optional<NumberBound>& highest) {
  if (highest && highest->value.negative && !is_zero(highest->value)) return regular.none();
  if (lowest && lowest->value.negative && !is_zero(lowest->value)) lowest.reset();
  return magnitude(regular, lowest, highest);
}

}  // namespace

Result<Decimal> Decimal::from(const Json& number) {
  // Digits, with an exponent where the number is very large or small.
  std::string text = number.is_number_integer() ? number.dump() : fmt::format("{}", number.get<double>());
  Decimal decimal;
  if (text.starts_with('-')) {
    decimal.negative = true;
    text.erase(0, 1);
  }
  int64_t exponent = 0;
  if (const size_t e = text.find('e'); e != text.npos) {
    for (size_t i = e + 2; i < text.size(); ++i) exponent = exponent * 10 + (text[i] - '0');
    if (text[e + 1] == '-') exponent = -exponent;
    text.resize(e);
  }
  const size_t dot = std::min(text.find('.'), text.size());
  std::string digits = text.substr(0, dot);
  if (dot < text.size()) digits += text.substr(dot + 1);
  const size_t first = std::min(digits.find_first_not_of('0'), digits.size());
  const size_t last = digits.find_last_not_of('0');
  if (first < digits.size() && !number.is_number_integer() && last - first + 1 > kExactDigits)
    return invalid("has more than {} digits", kExactDigits);
  int64_t places = static_cast<int64_t>(dot) + exponent;  // digits before the point
  if (places < 0) {
    digits.insert(0, static_cast<size_t>(-places), '0');
    places = 0;
  }
  if (static_cast<size_t>(places) > digits.size())
    digits.append(static_cast<size_t>(places) - digits.size(), '0');
  decimal.whole = digits.substr(0, static_cast<size_t>(places));
  decimal.whole.erase(0, std::min(decimal.whole.find_first_not_of('0'), decimal.whole.size()));
  if (decimal.whole.empty()) decimal.whole = "0";
  decimal.fraction = digits.substr(static_cast<size_t>(places));
  decimal.fraction.resize(decimal.fraction.find_last_not_of('0') + 1);
  return decimal;
}

RegularBuilder::Id number_text(RegularBuilder& regular, const NumberRange& range) {
  NumberWriter write(regular);
  const Id minus = regular.literal("-");
  const bool bounded = range.lowest || range.highest || range.decimal_places >= 0;
  if (!range.integer && !bounded) {
    const Id exponent = write.sequence(
        {write.either({regular.literal("e"), regular.literal("E")}),
         regular.optional(write.either({minus, regular.literal("+")})),
         write.either(
             {write.digits(1, 2), write.sequence({regular.literal("1"), write.digits(2, 2)}),
              write.sequence({regular.literal("2"), regular.bytes('0', '7'), write.digits(1, 1)})})});
    return write.sequence({regular.optional(minus), write.whole(kMostDigits),
                           regular.optional(write.sequence({write.point(), write.digits(1, kMostDigits)})),
                           regular.optional(exponent)});
  }
  Id form = write.whole(range.multiple_of > 1 ? static_cast<int64_t>(kExactDigits) : kMostDigits);
  if (!range.integer) {
    const int64_t places = range.decimal_places >= 0 ? range.decimal_places : NumberWriter::kOpen;
    const Id whole = write.whole(static_cast<int64_t>(kExactDigits));
    const Id both_parts =
        places == 0 ? regular.none() : write.sequence({whole, write.point(), write.digits(1, places)});
    form = write.either(
        {whole, regular.both(both_parts, regular.repeat(regular.bytes('.', '9'), 3, kExactDigits + 1))});
  } else if (range.multiple_of > 1) {
    form = regular.both(form, regular.multiple_of(range.multiple_of));
  }
  const Id positive = nonnegative(regular, range.lowest, range.highest);
  Id negative = nonnegative(regular, negated(range.highest), negated(range.lowest));
  // "-0" would be a second spelling of an integer.
  if (range.integer) negative = regular.both(negative, regular.complement(regular.literal("0")));
  return write.either({regular.both(form, positive), write.sequence({minus, regular.both(form, negative)})});
}

}  // namespace cadre
