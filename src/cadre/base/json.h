#pragma once
/// JSON from the outside world: parsing with limits, and reading fields with errors that name them.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/result.h"

namespace cadre {

/// Keeps the order of keys: chat templates print objects in the order given.
using Json = nlohmann::ordered_json;

/// Parses `text`; `origin` (a path or "stdin") starts every error message. Invalid UTF-8, trailing text,
/// duplicate keys in one object and nesting deeper than 100 are errors.
Result<Json> parse_json(std::string_view text, std::string_view origin);

/// Reads and parses a file. Errors as read_text_file and parse_json.
Result<Json> read_json_file(const std::string& path);

/// As Python's json.dumps(value, ensure_ascii=False): ", " and ": " as separators, keys in order. Invalid
/// UTF-8 becomes U+FFFD. `indent` > 0 breaks lines.
std::string dump_json(const Json& value, int indent = 0);

/// One JSON object read field by field. Every error names the origin, the path of the field, what was
/// expected and what was found:  `config.json: field 'rope_scaling.factor': expected a number, found "x"`.
class JsonFields {
 public:
  /// `value` must outlive this. `path` is the dotted path of the object inside the document ("" = the root).
  JsonFields(const Json& value, std::string origin, std::string path = {});

  bool has(std::string_view key) const;  ///< present and not null

  Result<int64_t> integer(std::string_view key, int64_t lowest, int64_t highest) const;
  Result<int64_t> integer_or(std::string_view key, int64_t fallback, int64_t lowest, int64_t highest) const;
  Result<double> number(std::string_view key) const;
  Result<double> number_or(std::string_view key, double fallback) const;
  Result<bool> boolean_or(std::string_view key, bool fallback) const;
  Result<std::string> string(std::string_view key) const;
  Result<std::string> string_or(std::string_view key, std::string fallback) const;
  /// A nested object; nullopt when absent or null.
  Result<std::optional<JsonFields>> object(std::string_view key) const;
  /// The raw value, nullptr when absent or null.
  const Json* find(std::string_view key) const;

  /// An error about `key`: `origin: field 'path.key': MESSAGE`.
  tl::unexpected<Error> error(std::string_view key, std::string_view message) const;
  const std::string& origin() const { return origin_; }

 private:
  const Json* value_;
  std::string origin_;
  std::string path_;
};

/// "a string", "a number 3.5", ...: what `value` is, for error messages; long values are cut.
std::string describe_json(const Json& value);

}  // namespace cadre
