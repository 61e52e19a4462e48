#pragma once
/// JSON schemas as data: references, and several schemas made into one.

#include <string>
#include <string_view>

#include "cadre/base/json.h"
#include "cadre/base/result.h"

namespace cadre {

/// Whether a keyword says nothing about which values are valid.
bool is_annotation(std::string_view keyword);

/// Whether `value` is of the JSON type that schemas call `type`; 1.0 is an integer.
bool has_json_type(const Json& value, std::string_view type);

/// Works inside one document, which must outlive it. Not thread-safe: it counts its work, so that a small
/// schema cannot ask for a large one.
class SchemaMerger {
 public:
  SchemaMerger(const Json& root, std::string_view path) : root_(root), path_(path) {}

  struct Target {
    const Json* schema = nullptr;
    std::string path;
  };
  /// Where `reference` ("#", "#/$defs/x") leads. Errors: no such place, other documents.
  Result<Target> resolve(const Json& reference, std::string_view path) const;

  /// The same schema without $ref, allOf, const, nullable and annotations at its top: true, false, or an
  /// object whose `type`, where there is one, is a list. Errors: what cannot be merged, references that go in
  /// a circle, kTooLarge.
  Result<Json> flatten(const Json& schema, const std::string& path);

  /// What is valid against both of two flattened schemas.
  Result<Json> merge(const Json& left, const Json& right, const std::string& path);

  /// Whether it is certain that no value is valid against both.
  Result<bool> exclude_each_other(const Json& left, const Json& right, const std::string& path,
                                  int depth = 0);

 private:
  Status merge_keyword(Json& merged, const std::string& keyword, const Json& value, const std::string& path);
  Status count_work(std::string_view path);

  const Json& root_;
  std::string path_;
  int depth_ = 0;
  int work_ = 0;
};

}  // namespace cadre
