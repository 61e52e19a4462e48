#pragma once
/// Internal to the tokenizer: reading a parsed JSON document with errors that name the field.
///
/// The counterpart of JsonFields for files too large for its parser: simdjson reads the 4 MB of a
/// tokenizer.json ten times faster.

#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cadre/base/result.h"

namespace cadre {

/// One value of the document and its path. The parser must outlive it.
class JsonNode {
 public:
  JsonNode(simdjson::dom::element value, std::string_view origin, std::string path)
      : value_(value), origin_(origin), path_(std::move(path)) {}

  /// The value under `key`; nullopt when absent or null. Errors: this is not an object; the key occurs twice.
  Result<std::optional<JsonNode>> find(std::string_view key) const;
  /// As find, but absence is an error too.
  Result<JsonNode> get(std::string_view key) const;
  /// The elements of an array.
  Result<simdjson::dom::array> array() const;
  Result<simdjson::dom::object> object() const;
  JsonNode element(simdjson::dom::element value, size_t index) const;

  Result<std::string_view> string() const;
  Result<int64_t> integer(int64_t lowest, int64_t highest) const;
  Result<bool> boolean_or(std::string_view key, bool fallback) const;
  bool is_string() const { return value_.is_string(); }
  bool is_array() const { return value_.is_array(); }

  /// `origin: field 'path': MESSAGE`
  tl::unexpected<Error> error(std::string_view message) const;
  tl::unexpected<Error> expected(std::string_view what) const;  ///< "expected WHAT, found ..."
  const std::string& path() const { return path_; }

 private:
  simdjson::dom::element value_;
  std::string_view origin_;
  std::string path_;
};

}  // namespace cadre
