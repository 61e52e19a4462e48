#include "cadre/text/json_schema.h"

#include <string>

#include "cadre/base/check.h"
#include "cadre/text/grammar_matcher.h"
#include "cadre/text/schema_compiler.h"

namespace cadre {

Result<JsonGrammar> JsonGrammar::from_schema(const Json& schema, std::string_view path) {
  GrammarBuilder grammar;
  SchemaCompiler compiler(grammar, schema, path);
  CADRE_TRY(const GrammarId root, compiler.compile(schema, std::string(path)));
  CADRE_CHECK_OK(compiler.finish());
  auto built = std::move(grammar).build(root, kMaxNesting);
  if (!built) return fail(built.error().kind, "{}: {}", path, built.error().message);
  return JsonGrammar(*std::move(built));
}

JsonGrammar JsonGrammar::any_object() {
  Result<JsonGrammar> grammar = from_schema(Json{{"type", "object"}}, "");
  CADRE_CHECK(grammar, "{}", grammar.error().message);
  return *std::move(grammar);
}

bool JsonGrammar::accepts(std::string_view text) const { return grammar_accepts(grammar_, text); }

}  // namespace cadre
