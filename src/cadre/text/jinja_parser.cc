#include "cadre/text/jinja_parser.h"

#include <algorithm>
#include <initializer_list>

#include "cadre/text/jinja_parse_expr.h"

namespace cadre::jinja {
namespace {

/// Tags that Jinja has and we do not.
constexpr std::string_view kRefusedTags[] = {"autoescape", "block",  "debug",   "do",   "extends",
                                             "from",       "import", "include", "trans"};

/// The statement half of the parser.
class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : expressions_(std::move(tokens)) {}

  Result<Body> run() {
    CADRE_TRY(Body body, parse_body({}, "", 0));
    return body;
  }

 private:
  using Names = std::initializer_list<std::string_view>;

  const Token& current() const { return expressions_.current(); }
  Status end_tag() { return expressions_.expect(TokenKind::kBlockEnd, "'%}'"); }

  /// Statements up to a tag of one of `ends`, of which the `{%` is then consumed and the name is not.
  /// `opener` and `line` are the tag to be closed, for the error message; without ends, up to the end.
  Result<Body> parse_body(Names ends, std::string_view opener, int line) {
    const ExprParser::Nesting nesting(expressions_);
    CADRE_CHECK_OK(nesting.check());
    Body body;
    while (current().kind != TokenKind::kEnd) {
      const int start = current().line;
      if (current().kind == TokenKind::kText) {
        body.push_back({start, TextStatement{expressions_.take().text}});
      } else if (current().kind == TokenKind::kPrintBegin) {
        expressions_.take();
        CADRE_TRY(ExprPtr value, expressions_.parse_tuple());
        CADRE_CHECK_OK(expressions_.expect(TokenKind::kPrintEnd, "'}}'"));
        body.push_back({start, PrintStatement{std::move(value)}});
      } else {
        expressions_.take();
        if (std::any_of(ends.begin(), ends.end(),
                        [&](std::string_view name) { return current().is_name(name); }))
          return body;
        CADRE_TRY(Statement statement, parse_tag(opener, line));
        body.push_back(std::move(statement));
      }
    }
    if (ends.size() == 0) return body;
    return expressions_.error("'{}' of line {} is not closed", opener, line);
  }

  /// A body, and the tag that closes it.
  Result<Body> parse_whole_body(std::string_view end, std::string_view opener, int line) {
    CADRE_CHECK_OK(end_tag());
    CADRE_TRY(Body body, parse_body({end}, opener, line));
    expressions_.take();
    CADRE_CHECK_OK(end_tag());
    return body;
  }

  /// As parse_whole_body, for a body whose text is caught: a loop around it cannot be left from inside.
  Result<Body> parse_caught_body(std::string_view end, std::string_view opener, int line) {
    const int outer = std::exchange(loops_, 0);
    Result<Body> body = parse_whole_body(end, opener, line);
    loops_ = outer;
    return body;
  }

  Result<Statement> parse_tag(std::string_view opener, int opener_line) {
    if (current().kind != TokenKind::kName)
      return expressions_.error("expected the name of a tag, found {}", describe_token(current()));
    const std::string name = current().text;
    const auto found =
        std::find_if(std::begin(kTags), std::end(kTags), [&](const Tag& tag) { return tag.name == name; });
    if (found == std::end(kTags)) return refuse_tag(name, opener, opener_line);
    const int line = expressions_.take().line;
    return (this->*found->parse)(line);
  }

  tl::unexpected<Error> refuse_tag(std::string_view name, std::string_view opener, int opener_line) {
    if (std::find(std::begin(kRefusedTags), std::end(kRefusedTags), name) != std::end(kRefusedTags))
      return expressions_.error("the tag '{}' is not supported", name);
    if (opener.empty()) return expressions_.error("unknown or unexpected tag '{}'", name);
    return expressions_.error("unknown or unexpected tag '{}' inside '{}' of line {}", name, opener,
                              opener_line);
  }

  Result<Statement> parse_if(int line) {
    IfStatement statement;
    bool more = true;
    while (more) {
      CADRE_TRY(ExprPtr condition, expressions_.parse_tuple(false));
      CADRE_CHECK_OK(end_tag());
      CADRE_TRY(Body body, parse_body({"elif", "else", "endif"}, "if", line));
      statement.branches.emplace_back(std::move(condition), std::move(body));
      more = expressions_.skip_name("elif");
    }
    if (expressions_.skip_name("else")) {
      CADRE_CHECK_OK(end_tag());
      CADRE_TRY(statement.otherwise, parse_body({"endif"}, "if", line));
    }
    expressions_.take();
    CADRE_CHECK_OK(end_tag());
    return Statement{line, std::move(statement)};
  }

  Result<Statement> parse_for(int line) {
    ForStatement statement;
    CADRE_TRY(statement.target, parse_targets(false));
    if (names_loop(statement.target))
      return expressions_.error("'loop' cannot be the variable of a for loop");
    if (!expressions_.skip_name("in"))
      return expressions_.error("expected 'in', found {}", describe_token(current()));
    CADRE_TRY(statement.items, expressions_.parse_tuple(false));
    if (expressions_.skip_name("if")) {
      CADRE_TRY(statement.condition, expressions_.parse_expression());
    }
    if (current().is_name("recursive")) return expressions_.error("recursive loops are not supported");
    CADRE_CHECK_OK(end_tag());
    ++loops_;
    Result<Body> body = parse_body({"endfor", "else"}, "for", line);
    --loops_;
    CADRE_TRY(statement.body, std::move(body));
    if (expressions_.skip_name("else")) {
      CADRE_CHECK_OK(end_tag());
      CADRE_TRY(statement.otherwise, parse_body({"endfor"}, "for", line));
    }
    expressions_.take();
    CADRE_CHECK_OK(end_tag());
    return Statement{line, std::move(statement)};
  }

  static bool names_loop(const Target& target) {
    return target.name == "loop" || std::any_of(target.parts.begin(), target.parts.end(), names_loop);
  }

  /// a   or   a, (b, c)   or, for `set`, a.b
  Result<Target> parse_targets(bool attributes) {
    CADRE_TRY(Target first, parse_target(attributes));
    if (!current().is_operator(",")) return first;
    if (!first.attribute.empty()) return expressions_.error("an attribute cannot be one of several targets");
    Target tuple;
    tuple.parts.push_back(std::move(first));
    while (expressions_.skip_operator(",")) {
      if (current().is_name("in") || current().is_operator("=") || current().is_operator(")")) break;
      CADRE_TRY(Target part, parse_target(false));
      tuple.parts.push_back(std::move(part));
    }
    return tuple;
  }

  Result<Target> parse_target(bool attributes) {
    const ExprParser::Nesting nesting(expressions_);
    CADRE_CHECK_OK(nesting.check());
    if (expressions_.skip_operator("(")) {
      CADRE_TRY(Target inside, parse_targets(false));
      CADRE_CHECK_OK(expressions_.expect_operator(")"));
      return inside;
    }
    Target target;
    CADRE_TRY(target.name, expressions_.expect_variable());
    if (!attributes || !expressions_.skip_operator(".")) return target;
    CADRE_TRY(target.attribute, expressions_.expect_variable());
    return target;
  }

  Result<Statement> parse_set(int line) {
    CADRE_TRY(Target target, parse_targets(true));
    if (expressions_.skip_operator("=")) {
      CADRE_TRY(ExprPtr value, expressions_.parse_tuple());
      CADRE_CHECK_OK(end_tag());
      return Statement{line, SetStatement{std::move(target), std::move(value)}};
    }
    if (!target.parts.empty()) return expressions_.error("expected '=', found {}", describe_token(current()));
    SetBlockStatement block{std::move(target), {}, {}};
    if (expressions_.skip_operator("|")) {
      CADRE_TRY(block.filters, expressions_.parse_block_filters());
    }
    CADRE_TRY(block.body, parse_caught_body("endset", "set", line));
    return Statement{line, std::move(block)};
  }

  Result<Statement> parse_filter(int line) {
    FilterStatement statement;
    CADRE_TRY(statement.filters, expressions_.parse_block_filters());
    CADRE_TRY(statement.body, parse_caught_body("endfilter", "filter", line));
    return Statement{line, std::move(statement)};
  }

  Status parse_parameters(MacroDefinition& macro) {
    CADRE_CHECK_OK(expressions_.expect_operator("("));
    while (!current().is_operator(")")) {
      if (!macro.parameters.empty()) CADRE_CHECK_OK(expressions_.expect_operator(","));
      if (current().is_operator(")")) break;
      MacroDefinition::Parameter parameter;
      CADRE_TRY(parameter.name, expressions_.expect_variable());
      if (expressions_.skip_operator("=")) {
        CADRE_TRY(parameter.otherwise, expressions_.parse_expression());
      } else if (!macro.parameters.empty() && macro.parameters.back().otherwise) {
        return expressions_.error("parameter '{}' without a default follows one with a default",
                                  parameter.name);
      }
      macro.parameters.push_back(std::move(parameter));
    }
    return expressions_.expect_operator(")");
  }

  /// The body of a macro, and which of its special variables it uses.
  Status parse_macro_body(MacroDefinition& macro, std::string_view end, std::string_view opener, int line) {
    std::set<std::string> outer_names = std::exchange(expressions_.names_used(), {});
    CADRE_TRY(macro.body, parse_caught_body(end, opener, line));
    macro.takes_varargs = expressions_.names_used().contains("varargs");
    macro.takes_kwargs = expressions_.names_used().contains("kwargs");
    macro.takes_caller = expressions_.names_used().contains("caller");
    outer_names.merge(expressions_.names_used());  // the smaller into the larger: macros can be many
    expressions_.names_used() = std::move(outer_names);
    return {};
  }

  Result<Statement> parse_macro(int line) {
    auto macro = std::make_unique<MacroDefinition>();
    CADRE_TRY(macro->name, expressions_.expect_variable());
    CADRE_CHECK_OK(parse_parameters(*macro));
    CADRE_CHECK_OK(parse_macro_body(*macro, "endmacro", "macro", line));
    return Statement{line, MacroStatement{std::move(macro)}};
  }

  Result<Statement> parse_call(int line) {
    auto caller = std::make_unique<MacroDefinition>();
    caller->name = "caller";
    if (current().is_operator("(")) CADRE_CHECK_OK(parse_parameters(*caller));
    CADRE_TRY(ExprPtr call, expressions_.parse_expression());
    if (!std::holds_alternative<CallExpr>(call->node))
      return expressions_.error("'call' needs the call of a macro");
    CADRE_CHECK_OK(parse_macro_body(*caller, "endcall", "call", line));
    return Statement{line, CallStatement{std::move(call), std::move(caller)}};
  }

  Result<Statement> parse_with(int line) {
    ScopeStatement scope;
    while (current().kind != TokenKind::kBlockEnd) {
      if (!scope.assignments.empty()) CADRE_CHECK_OK(expressions_.expect_operator(","));
      CADRE_TRY(Target target, parse_target(false));
      CADRE_CHECK_OK(expressions_.expect_operator("="));
      CADRE_TRY(ExprPtr value, expressions_.parse_expression());
      scope.assignments.emplace_back(std::move(target), std::move(value));
    }
    CADRE_TRY(scope.body, parse_whole_body("endwith", "with", line));
    return Statement{line, std::move(scope)};
  }

  /// Marks what a model said; Hugging Face uses it to mask training data, and it prints its body.
  Result<Statement> parse_generation(int line) {
    ScopeStatement scope;
    CADRE_TRY(scope.body, parse_whole_body("endgeneration", "generation", line));
    return Statement{line, std::move(scope)};
  }

  template <typename Node>
  Result<Statement> parse_jump(int line) {
    if (loops_ == 0)
      return expressions_.error("'break' or 'continue' outside of a for loop, or in a block inside it");
    CADRE_CHECK_OK(end_tag());
    return Statement{line, Node{}};
  }

  struct Tag {
    std::string_view name;
    Result<Statement> (Parser::*parse)(int line);
  };
  static constexpr Tag kTags[] = {
      {"break", &Parser::parse_jump<BreakStatement>},
      {"call", &Parser::parse_call},
      {"continue", &Parser::parse_jump<ContinueStatement>},
      {"filter", &Parser::parse_filter},
      {"for", &Parser::parse_for},
      {"generation", &Parser::parse_generation},
      {"if", &Parser::parse_if},
      {"macro", &Parser::parse_macro},
      {"set", &Parser::parse_set},
      {"with", &Parser::parse_with},
  };

  ExprParser expressions_;
  int loops_ = 0;  ///< for loops around this place that can be left from here
};

}  // namespace

Result<Body> parse_template(std::string_view source) {
  CADRE_TRY(std::vector<Token> tokens, tokenize(source));
  return Parser(std::move(tokens)).run();
}

}  // namespace cadre::jinja
