#include "cadre/text/answer_grammar.h"

#include <utility>
#include <vector>

#include "cadre/text/chat_request.h"
#include "cadre/text/schema_compiler.h"

namespace cadre {
namespace {

constexpr std::string_view kParameterEnd = "</｜DSML｜parameter>";

/// One function of the tools.
struct Function {
  std::string name;
  const Json* parameters = nullptr;  ///< null: takes none
  std::string path;                  ///< of the parameters
};

Result<std::vector<Function>> read_functions(const AnswerRules& rules) {
  std::vector<Function> functions;
  if (rules.tools != nullptr && rules.tools->is_array()) {
    for (size_t i = 0; i < rules.tools->size(); ++i) {
      const Json* function = json_member((*rules.tools)[i], "function");
      const Json* name = function != nullptr ? json_member(*function, "name") : nullptr;
      const std::string path = fmt::format("tools[{}].function", i);
      if (name == nullptr || !name->is_string()) return invalid("{}.name: expected a string", path);
      Function read{name->get<std::string>(), json_member(*function, "parameters"), path + ".parameters"};
      // These would end the name where the model writes it.
      if (read.name.empty() || read.name.find_first_of("\"<>\n") != read.name.npos)
        return invalid("{}.name: expected a name without quotes, angle brackets and line breaks, found {}",
                       path, describe_json(*name));
      if (rules.function.empty() || rules.function == read.name) functions.push_back(std::move(read));
    }
  }
  if (!functions.empty()) return functions;
  if (!rules.function.empty())
    return fail(ErrorKind::kNotFound, "tool_choice: no function '{}' among the tools", rules.function);
  return invalid("tool_choice: asks for a call, and there are no tools");
}

/// Puts the grammar of an answer together.
class AnswerGrammarWriter {
 public:
  AnswerGrammarWriter(const TokenTrie& tokens, const AnswerRules& rules)
      : tokens_(tokens), rules_(rules), regular_(grammar_.regular()) {}

  Result<std::shared_ptr<const Grammar>> write() && {
    const bool calls = rules_.tool_choice != ToolChoice::kNone;
    if (calls && rules_.format.tool_calls == ToolCallFormat::kNone)
      return invalid("tools: how this model writes tool calls is not known");
    if (calls) markers_ = tool_call_markers(rules_.format.tool_calls);
    CADRE_TRY(GrammarId root, write_body());
    if (rules_.in_reasoning) {
      CADRE_TRY(const GrammarId reasoning, grammar_.automaton(until(kThinkEnd)));
      root = grammar_.sequence({reasoning, root});
    }
    auto built = std::move(grammar_).build(root, JsonGrammar::kMaxNesting);
    if (!built) return fail(built.error().kind, "tools: {}", built.error().message);
    return built;
  }

 private:
  using Expression = RegularBuilder::Id;

  Result<GrammarId> literal(std::string_view text) { return grammar_.literal(tokens_.spell(text)); }

  /// Either of the ways in which `text` may come: as markers, or letter by letter.
  Expression either_way(std::string_view text) {
    return regular_.either({regular_.literal(text), regular_.literal(tokens_.spell(text))});
  }
  Expression without(std::string_view text) {
    return regular_.complement(regular_.sequence({regular_.any(), either_way(text), regular_.any()}));
  }
  /// Any text up to and with the first `text`, which must not overlap itself.
  Expression until(std::string_view text) { return regular_.sequence(without(text), either_way(text)); }

  Result<GrammarId> write_body() {
    std::vector<GrammarId> bodies;
    // Models that think set what follows off with line breaks.
    const auto breaks =
        rules_.in_reasoning ? regular_.repeat(regular_.literal("\n"), 0, 2) : regular_.empty();
    CADRE_TRY(const GrammarId gap, grammar_.automaton(breaks));
    if (rules_.content) {
      bodies.push_back(grammar_.sequence({gap, grammar_.import(rules_.content->grammar())}));
      if (rules_.tool_choice == ToolChoice::kRequired) bodies.clear();
    }
    if (rules_.tool_choice == ToolChoice::kNone)
      return bodies.empty() ? grammar_.automaton(regular_.any()) : bodies[0];
    CADRE_TRY(const GrammarId calls, write_calls());
    if (rules_.tool_choice == ToolChoice::kAuto && !rules_.content) {
      CADRE_TRY(const GrammarId text, grammar_.automaton(without(markers_.block_begin)));
      CADRE_TRY(const GrammarId opened, grammar_.automaton(until(markers_.block_begin)));
      return grammar_.choice({text, grammar_.sequence({opened, calls})});
    }
    CADRE_TRY(const GrammarId open, literal(fmt::format("{}{}", markers_.lead, markers_.block_begin)));
    const bool set_off = !markers_.lead.empty();
    bodies.push_back(set_off ? grammar_.sequence({open, calls}) : grammar_.sequence({gap, open, calls}));
    return grammar_.choice(std::move(bodies));
  }

  /// What follows the beginning of the block.
  Result<GrammarId> write_calls() {
    CADRE_TRY(const std::vector<Function> functions, read_functions(rules_));
    std::vector<GrammarId> one;
    for (const Function& function : functions) {
      CADRE_TRY(const GrammarId begin,
                literal(fmt::format("{}{}{}", markers_.call_begin, function.name, markers_.name_end)));
      CADRE_TRY(const GrammarId arguments, write_arguments(function));
      CADRE_TRY(const GrammarId end, literal(markers_.call_end));
      one.push_back(grammar_.sequence({begin, arguments, end}));
    }
    const GrammarId call = grammar_.choice(std::move(one));
    CADRE_TRY(const GrammarId end, literal(markers_.block_end));
    if (!rules_.parallel_tool_calls) return grammar_.sequence({call, end});
    CADRE_TRY(const GrammarId between, literal(markers_.between));
    const GrammarId more = grammar_.choice({});
    grammar_.set_parts(more, {end, grammar_.sequence({between, call, more})});
    return grammar_.sequence({call, more});
  }

  Result<GrammarId> write_arguments(const Function& function) {
    const Json nothing = {{"type", "object"}, {"additionalProperties", false}};
    const Json& parameters = function.parameters != nullptr ? *function.parameters : nothing;
    const ToolCallFormat format = rules_.format.tool_calls;
    if (format == ToolCallFormat::kDsmlV32 || format == ToolCallFormat::kDsmlV4)
      return write_dsml_arguments(parameters, function.path);
    // Arguments are an object, also where the schema does not say so.
    SchemaCompiler compiler(grammar_, parameters, function.path);
    const Json object = {{"allOf", Json::array({parameters, {{"type", "object"}}})}};
    CADRE_TRY(const GrammarId arguments, compiler.compile(object, function.path));
    CADRE_CHECK_OK(compiler.finish());
    return arguments;
  }

  Result<GrammarId> write_dsml_arguments(const Json& parameters, const std::string& path) {
    SchemaCompiler compiler(grammar_, parameters, path);
    compiler.set_raw_string_end(
        {.text = std::string(kParameterEnd), .spelled = tokens_.spell(kParameterEnd)});
    CADRE_TRY(const std::vector<SchemaCompiler::Member> members, compiler.members(parameters, path));
    // From the end, with and without arguments so far: DeepSeek-V4 writes an empty line in place of none.
    GrammarId begun = grammar_.empty();
    CADRE_TRY(GrammarId blank, literal(rules_.format.tool_calls == ToolCallFormat::kDsmlV4 ? "\n" : ""));
    for (size_t i = members.size(); i-- > 0;) {
      const SchemaCompiler::Member& member = members[i];
      if (!member.required && member.schema == false) continue;
      CADRE_TRY(const GrammarId argument, write_dsml_argument(compiler, member));
      const GrammarId first = grammar_.sequence({argument, begun});
      blank = member.required ? first : grammar_.choice({first, blank});
      begun = member.required ? first : grammar_.choice({first, begun});
    }
    CADRE_CHECK_OK(compiler.finish());
    return blank;
  }

  Result<GrammarId> write_dsml_argument(SchemaCompiler& compiler, const SchemaCompiler::Member& member) {
    if (member.name.find_first_of("\"<>\n") != member.name.npos)
      return invalid("{}: a name with quotes, angle brackets or line breaks is not supported", member.path);
    const std::string begin = fmt::format("<｜DSML｜parameter name=\"{}\" string=", member.name);
    CADRE_TRY(const GrammarId text_begin, literal(begin + "\"true\">"));
    CADRE_TRY(const GrammarId text, compiler.compile(member.schema, member.path, SchemaPart::kRawStrings));
    CADRE_TRY(const GrammarId line_break, literal("\n"));
    CADRE_TRY(const GrammarId value_begin, literal(begin + "\"false\">"));
    CADRE_TRY(const GrammarId value, compiler.compile(member.schema, member.path, SchemaPart::kNoStrings));
    CADRE_TRY(const GrammarId value_end, literal(fmt::format("{}\n", kParameterEnd)));
    return grammar_.choice({grammar_.sequence({text_begin, text, line_break}),
                            grammar_.sequence({value_begin, value, value_end})});
  }

  const TokenTrie& tokens_;
  const AnswerRules& rules_;
  GrammarBuilder grammar_;
  RegularBuilder& regular_;
  ToolCallMarkers markers_;
};

}  // namespace

Result<std::shared_ptr<const Grammar>> answer_grammar(const TokenTrie& tokens, const AnswerRules& rules) {
  return AnswerGrammarWriter(tokens, rules).write();
}

}  // namespace cadre
