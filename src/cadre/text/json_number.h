#pragma once
/// The texts of numbers that lie between bounds.

#include <optional>
#include <string>

#include "cadre/base/json.h"
#include "cadre/base/result.h"
#include "cadre/text/byte_automaton.h"

namespace cadre {

/// A decimal number without exponent: 12.5 is {false, "12", "5"}. No zeros at the ends that mean nothing.
struct Decimal {
  bool negative = false;
  std::string whole = "0";
  std::string fraction;

  /// The shortest decimal that reads as `number`. Errors: more than 15 digits that count, which a reader in
  /// double precision could not tell from others.
  static Result<Decimal> from(const Json& number);
};

struct NumberBound {
  Decimal value;
  bool exclusive = false;
};

/// What a number must satisfy.
struct NumberRange {
  bool integer = false;
  std::optional<NumberBound> lowest;
  std::optional<NumberBound> highest;
  int64_t multiple_of = 1;  ///< of an integer
  int decimal_places = -1;  ///< at most; -1: any number
};

/// As JSON writes numbers, within what every reader holds exactly or finitely: integers have at most 18
/// digits, multiples of something at most 15; numbers with a bound or a limit of places at most 15 digits and
/// no exponent; other numbers at most 18 digits before and after the point, and exponents up to 279.
RegularBuilder::Id number_text(RegularBuilder& regular, const NumberRange& range);

}  // namespace cadre
