#pragma once
/// JSON Schema as a grammar of bytes: whatever the grammar accepts is JSON that is valid against the schema.
/// docs/structured-output.md lists the keywords; one that is not supported is an error, never ignored.

#include <memory>
#include <string_view>
#include <utility>

#include "cadre/base/json.h"
#include "cadre/base/result.h"
#include "cadre/text/grammar.h"

namespace cadre {

/// Immutable and cheap to copy; any number of threads may use it.
///
/// Properties come in the order of the schema, further ones after them; no key comes twice in one object. A
/// value is written without whitespace around it. Between the parts of an array or object there may be one
/// blank, or a line break and an indentation of at most kMaxIndentation blanks or kMaxTabs tabs, so that an
/// answer cannot go on forever with nothing. Arrays and objects are at most kMaxNesting deep.
class JsonGrammar {
 public:
  static constexpr int kMaxIndentation = 64;
  static constexpr int kMaxTabs = 16;
  static constexpr int kMaxNesting = 64;

  /// `path` names the schema in errors: `PATH.properties.x: 'patternProperties' is not supported`.
  /// Errors: kInvalid for what is no schema, is not supported, or that no value satisfies; kTooLarge for a
  /// schema whose grammar would be over the limits.
  static Result<JsonGrammar> from_schema(const Json& schema, std::string_view path);

  /// Any JSON object: the response format "json_object".
  static JsonGrammar any_object();

  /// Whether `text`, as a whole, is one of the grammar's.
  bool accepts(std::string_view text) const;

  const Grammar& grammar() const { return *grammar_; }
  std::shared_ptr<const Grammar> shared() const { return grammar_; }

 private:
  explicit JsonGrammar(std::shared_ptr<const Grammar> grammar) : grammar_(std::move(grammar)) {}

  std::shared_ptr<const Grammar> grammar_;
};

}  // namespace cadre
