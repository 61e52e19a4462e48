#pragma once
/// Chat templates of Hugging Face models: an interpreter of the part of Jinja2 that they use.
///
/// Supported, with the meaning Jinja2 3.1 gives it under Hugging Face's settings (trim_blocks, lstrip_blocks,
/// default Undefined, immutable sandbox):
/// - tags: if/elif/else, for (else, filter `if`, unpacking), break, continue, set (also of a namespace
///   attribute, and of a block), macro, call, filter, with, raw, generation; comments; `-` and `+` signs;
/// - expressions: literals of Python, attributes, items, slices, calls with * and **, arithmetic, ~, chained
///   comparisons, in, is, and/or/not, inline if;
/// - filters: abs batch capitalize count d default dictsort e escape first float format from_json indent int
///   items join last length list lower map max min reject rejectattr replace reverse round safe select
///   selectattr sort string sum title tojson trim unique upper (from_json is no filter of Jinja's, but
///   templates in circulation use it);
/// - tests: boolean callable defined divisibleby eq equalto even false float ge greaterthan gt in integer
///   iterable le lessthan lower lt mapping ne none number odd sameas sequence string true undefined upper;
/// - functions: dict namespace raise_exception range strftime_now; the variable `loop`;
/// - methods of str (Python's, but encode, expandtabs, translate, maketrans and isidentifier and the like),
/// of dict
///   (get items keys values copy), of list and tuple (count index copy), and of loop (cycle changed).
/// Refused when the template is parsed, by name and line: include, import, from, extends, block, autoescape,
/// do, trans, debug, recursive loops, and every other filter and test. As in Hugging Face's sandbox, a list
/// or dict cannot be changed (append, update, ...).
/// Known differences: `safe` and `escape` give plain strings, so text joined to them is not escaped; filters
/// that are lazy in Python compute their elements at once; tojson also takes such a lazy result; integers
/// have 64 bits; letter case is mapped one code point to one.
///
/// Templates come from strangers: nesting, work, recursion and output are bounded by Limits, and going over a
/// bound is an error like any other.

#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "cadre/base/json.h"
#include "cadre/base/result.h"

namespace cadre::jinja {

struct Limits {
  size_t template_bytes = size_t{1} << 20;
  size_t output_bytes = size_t{64} << 20;  ///< text printed, also inside macros and set blocks
  uint64_t steps = 30'000'000;  ///< nodes evaluated, elements visited, 16 bytes of text made: a few seconds
  int recursion = 1'000;        ///< statements and expressions inside each other, through macros
};

/// A parsed template. Immutable: any number of threads may render it.
class Template {
 public:
  /// `origin` starts error messages. Errors: syntax and unsupported constructs, with the line; kTooLarge.
  static Result<Template> parse(std::string_view source, std::string origin, const Limits& limits = {});

  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;
  ~Template();

  /// Renders with the members of the object `variables`. `now` is what strftime_now() shows; the local time
  /// when left out. Errors: what the template does wrong or refuses by raise_exception, with the line;
  /// kTooLarge.
  Result<std::string> render(const Json& variables) const;
  Result<std::string> render(const Json& variables, const std::tm& now) const;

 private:
  struct Program;
  explicit Template(std::unique_ptr<const Program> program);
  std::unique_ptr<const Program> program_;
};

}  // namespace cadre::jinja
