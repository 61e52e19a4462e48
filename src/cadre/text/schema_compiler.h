#pragma once
/// From a JSON schema to nodes of a grammar.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cadre/text/grammar.h"
#include "cadre/text/json_number.h"
#include "cadre/text/schema_merge.h"
#include "cadre/text/string_encoding.h"

namespace cadre {

/// Which of the values that are valid against a schema.
enum class SchemaPart {
  kAll,
  kNoStrings,   ///< all but strings
  kRawStrings,  ///< the strings alone, in raw encoding and with their end (see RawStringEnd)
};

/// What ends a string in raw encoding, and so cannot be part of one.
struct RawStringEnd {
  std::string text;     ///< as it is read
  std::string spelled;  ///< as TokenTrie::spell writes it
};

/// Compiles schemas of one document. Use: compile() as often as wanted, then finish().
class SchemaCompiler {
 public:
  /// `root` is the document that $ref points into; it and `grammar` must outlive this. `path` names it.
  SchemaCompiler(GrammarBuilder& grammar, const Json& root, std::string_view path);

  /// Errors: as JsonGrammar::from_schema.
  Result<GrammarId> compile(const Json& schema, const std::string& path, SchemaPart part = SchemaPart::kAll);
  /// One member of an object.
  struct Member {
    std::string name;
    Json schema;
    std::string path;
    bool required = false;
  };
  /// The members that `schema` names, for callers that write objects in their own way: in its order, then
  /// those that are required only. Errors: as compile(), and what is more than a list of members.
  Result<std::vector<Member>> members(const Json& schema, const std::string& path);
  /// Compiles what references have led to. Errors: as compile().
  Status finish();

  void set_raw_string_end(RawStringEnd end) { raw_end_ = std::move(end); }

 private:
  struct Pending {
    const Json* schema = nullptr;
    std::string path;
    SchemaPart part = SchemaPart::kAll;
    GrammarId node = 0;
  };
  /// What stands between the parts of arrays and objects.
  struct Punctuation {
    GrammarId space, comma, colon, object_open, object_close, array_open, array_close;
  };

  Result<GrammarId> compile_reference(const Json& reference, const std::string& path, SchemaPart part);
  Result<GrammarId> compile_flat(const Json& schema, const std::string& path, SchemaPart part);
  Result<GrammarId> compile_alternatives(const Json& schema, const std::string& keyword,
                                         const std::string& path, SchemaPart part);
  Result<GrammarId> compile_values(const Json& schema, const std::string& path, SchemaPart part);
  Result<bool> keeps_to(const Json& value, const Json& schema, const std::string& path);
  Result<GrammarId> compile_type(std::string_view type, const Json& schema, const std::string& path,
                                 SchemaPart part);
  Result<GrammarId> compile_string(const Json& schema, const std::string& path, SchemaPart part);
  Result<GrammarId> compile_number(const Json& schema, bool integer, const std::string& path);
  Result<GrammarId> compile_array(const Json& schema, const std::string& path);
  Result<GrammarId> compile_object(const Json& schema, const std::string& path);
  static Result<std::vector<Member>> list_members(const Json& schema, const std::string& path);
  Result<GrammarId> compile_further_members(const std::vector<Member>& members, const Json& schema,
                                            bool first, const std::string& path);
  Result<GrammarId> string_node(RegularBuilder::Id body, SchemaPart part);
  Result<const Punctuation*> punctuation();
  /// Any JSON value.
  Result<GrammarId> anything();

  GrammarBuilder& grammar_;
  const Json& root_;
  SchemaMerger merger_;
  RawStringEnd raw_end_;
  std::vector<Pending> pending_;
  std::map<std::pair<const Json*, SchemaPart>, GrammarId> references_;
  std::optional<Punctuation> punctuation_;
  std::optional<GrammarId> anything_;
  int depth_ = 0;
  int compiled_ = 0;
};

}  // namespace cadre
