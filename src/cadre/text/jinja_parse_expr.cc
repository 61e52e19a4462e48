#include "cadre/text/jinja_parse_expr.h"

#include <algorithm>
#include <charconv>

#include "cadre/text/jinja_parser.h"

namespace cadre::jinja {
namespace {

constexpr std::string_view kOperatorWords[] = {"and", "else", "if", "in", "is", "not", "or"};
constexpr std::string_view kConstants[] = {"true", "True", "false", "False", "none", "None"};

bool is_operator_word(std::string_view name) {
  return std::find(std::begin(kOperatorWords), std::end(kOperatorWords), name) != std::end(kOperatorWords);
}

}  // namespace

tl::unexpected<Error> ExprParser::error_at(int line, std::string_view message) {
  return invalid("line {}: {}", line, message);
}

Status ExprParser::Nesting::check() const {
  if (parser_.nesting_ <= kMaxNesting) return {};
  return parser_.error("nested deeper than {} levels", kMaxNesting);
}

template <typename Node>
Result<ExprPtr> ExprParser::make(int line, Node node) {
  Expr expr{.line = line, .node = std::move(node)};
  expr.depth = 1 + depth_of_parts(expr);
  if (expr.depth > kMaxExprDepth)
    return error_at(line, fmt::format("an expression of more than {} levels", kMaxExprDepth));
  return ExprPtr(std::make_unique<const Expr>(std::move(expr)));
}

Token ExprParser::take() {
  if (at_ + 1 == tokens_.size()) return tokens_[at_];
  return std::move(tokens_[at_++]);
}

bool ExprParser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  take();
  return true;
}

bool ExprParser::skip_operator(std::string_view symbol) {
  if (!current().is_operator(symbol)) return false;
  take();
  return true;
}

Status ExprParser::expect_operator(std::string_view symbol) {
  if (skip_operator(symbol)) return {};
  return error("expected '{}', found {}", symbol, describe_token(current()));
}

Status ExprParser::expect(TokenKind kind, std::string_view what) {
  if (current().kind != kind) return error("expected {}, found {}", what, describe_token(current()));
  take();
  return {};
}

Result<std::string> ExprParser::expect_variable() {
  if (current().kind != TokenKind::kName)
    return error("expected a name, found {}", describe_token(current()));
  const std::string& name = current().text;
  if (is_operator_word(name) ||
      std::find(std::begin(kConstants), std::end(kConstants), name) != std::end(kConstants))
    return error("'{}' cannot be assigned to", name);
  return take().text;
}

bool ExprParser::at_end_of_tuple() const {
  const TokenKind kind = current().kind;
  return kind == TokenKind::kPrintEnd || kind == TokenKind::kBlockEnd || kind == TokenKind::kEnd ||
         current().is_operator(")");
}

Result<ExprPtr> ExprParser::parse_tuple(bool conditional) {
  const int line = current().line;
  std::vector<ExprPtr> items;
  bool comma = false;
  while (!at_end_of_tuple()) {
    CADRE_TRY(ExprPtr item, parse_expression(conditional));
    items.push_back(std::move(item));
    if (!skip_operator(",")) break;
    comma = true;
  }
  if (items.empty()) return error("expected an expression, found {}", describe_token(current()));
  if (!comma) return std::move(items.front());
  return make(line, SequenceExpr{SequenceKind::kTuple, std::move(items)});
}

Result<ExprPtr> ExprParser::parse_expression(bool conditional) {
  const Nesting nesting(*this);
  CADRE_CHECK_OK(nesting.check());
  int line = current().line;
  CADRE_TRY(ExprPtr value, parse_or());
  while (conditional && skip_name("if")) {
    CADRE_TRY(ExprPtr condition, parse_or());
    ExprPtr otherwise;
    if (skip_name("else")) {
      CADRE_TRY(otherwise, parse_expression());
    }
    CADRE_TRY(value,
              make(line, ConditionalExpr{std::move(condition), std::move(value), std::move(otherwise)}));
    line = current().line;
  }
  return value;
}

Result<ExprPtr> ExprParser::parse_or() {
  const int line = current().line;
  CADRE_TRY(ExprPtr left, parse_and());
  while (skip_name("or")) {
    CADRE_TRY(ExprPtr right, parse_and());
    CADRE_TRY(left, make(line, LogicalExpr{false, std::move(left), std::move(right)}));
  }
  return left;
}

Result<ExprPtr> ExprParser::parse_and() {
  const int line = current().line;
  CADRE_TRY(ExprPtr left, parse_not());
  while (skip_name("and")) {
    CADRE_TRY(ExprPtr right, parse_not());
    CADRE_TRY(left, make(line, LogicalExpr{true, std::move(left), std::move(right)}));
  }
  return left;
}

Result<ExprPtr> ExprParser::parse_not() {
  const int line = current().line;
  if (!skip_name("not")) return parse_comparison();
  const Nesting nesting(*this);
  CADRE_CHECK_OK(nesting.check());
  CADRE_TRY(ExprPtr operand, parse_not());
  return make(line, NotExpr{std::move(operand)});
}

std::optional<CompareOp> ExprParser::take_comparison() {
  constexpr std::pair<std::string_view, CompareOp> kSymbols[] = {
      {"==", CompareOp::kEqual},     {"!=", CompareOp::kNotEqual}, {"<", CompareOp::kLess},
      {"<=", CompareOp::kLessEqual}, {">", CompareOp::kGreater},   {">=", CompareOp::kGreaterEqual}};
  for (const auto& [symbol, op] : kSymbols)
    if (skip_operator(symbol)) return op;
  if (skip_name("in")) return CompareOp::kIn;
  if (!current().is_name("not") || !next().is_name("in")) return std::nullopt;
  take();
  take();
  return CompareOp::kNotIn;
}

Result<ExprPtr> ExprParser::parse_comparison() {
  const int line = current().line;
  CADRE_TRY(ExprPtr first, parse_sum());
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
  while (const std::optional<CompareOp> op = take_comparison()) {
    CADRE_TRY(ExprPtr operand, parse_sum());
    rest.emplace_back(*op, std::move(operand));
  }
  if (rest.empty()) return first;
  return make(line, ComparisonExpr{std::move(first), std::move(rest)});
}

Result<ExprPtr> ExprParser::parse_sum() {
  const int line = current().line;
  CADRE_TRY(ExprPtr left, parse_concat());
  while (current().is_operator("+") || current().is_operator("-")) {
    const ArithmeticOp op = take().text == "+" ? ArithmeticOp::kAdd : ArithmeticOp::kSubtract;
    CADRE_TRY(ExprPtr right, parse_concat());
    CADRE_TRY(left, make(line, ArithmeticExpr{op, std::move(left), std::move(right)}));
  }
  return left;
}

Result<ExprPtr> ExprParser::parse_concat() {
  const int line = current().line;
  CADRE_TRY(ExprPtr first, parse_product());
  if (!current().is_operator("~")) return first;
  ConcatExpr concat;
  concat.parts.push_back(std::move(first));
  while (skip_operator("~")) {
    CADRE_TRY(ExprPtr part, parse_product());
    concat.parts.push_back(std::move(part));
  }
  return make(line, std::move(concat));
}

Result<ExprPtr> ExprParser::parse_product() {
  constexpr std::pair<std::string_view, ArithmeticOp> kSymbols[] = {{"*", ArithmeticOp::kMultiply},
                                                                    {"/", ArithmeticOp::kDivide},
                                                                    {"//", ArithmeticOp::kFloorDivide},
                                                                    {"%", ArithmeticOp::kModulo}};
  const int line = current().line;
  CADRE_TRY(ExprPtr left, parse_power());
  while (true) {
    const auto found = std::find_if(std::begin(kSymbols), std::end(kSymbols),
                                    [&](const auto& entry) { return skip_operator(entry.first); });
    if (found == std::end(kSymbols)) return left;
    CADRE_TRY(ExprPtr right, parse_power());
    CADRE_TRY(left, make(line, ArithmeticExpr{found->second, std::move(left), std::move(right)}));
  }
}

Result<ExprPtr> ExprParser::parse_power() {
  const int line = current().line;
  CADRE_TRY(ExprPtr left, parse_filtered());
  while (skip_operator("**")) {
    CADRE_TRY(ExprPtr right, parse_filtered());
    CADRE_TRY(left, make(line, ArithmeticExpr{ArithmeticOp::kPower, std::move(left), std::move(right)}));
  }
  return left;
}

Result<ExprPtr> ExprParser::parse_filtered() {
  CADRE_TRY(ExprPtr value, parse_signed());
  while (true) {
    const int line = current().line;
    if (skip_operator("|")) {
      CADRE_TRY(BlockFilter filter, parse_filter());
      CADRE_TRY(value, make(line, ApplyExpr{std::move(value), filter.builtin, std::move(filter.arguments)}));
    } else if (current().is_name("is")) {
      CADRE_TRY(value, parse_test(std::move(value)));
    } else if (current().is_operator("(")) {
      CADRE_TRY(value, parse_call(std::move(value)));
    } else {
      return value;
    }
  }
}

Result<ExprPtr> ExprParser::parse_signed() {
  const int line = current().line;
  if (!current().is_operator("-") && !current().is_operator("+")) {
    CADRE_TRY(ExprPtr value, parse_primary());
    return parse_postfix(std::move(value));
  }
  const Nesting nesting(*this);
  CADRE_CHECK_OK(nesting.check());
  const bool minus = take().text == "-";
  CADRE_TRY(ExprPtr operand, parse_signed());
  CADRE_TRY(ExprPtr value, make(line, SignExpr{minus, std::move(operand)}));
  return parse_postfix(std::move(value));
}

Result<ExprPtr> ExprParser::parse_primary() {
  const int line = current().line;
  switch (current().kind) {
    case TokenKind::kName: {
      const std::string& name = current().text;
      if (is_operator_word(name)) return error("expected an expression, found '{}'", name);
      if (skip_name("true") || skip_name("True")) return make(line, ConstantExpr{Value::boolean(true)});
      if (skip_name("false") || skip_name("False")) return make(line, ConstantExpr{Value::boolean(false)});
      if (skip_name("none") || skip_name("None")) return make(line, ConstantExpr{Value::none()});
      names_used_.insert(name);
      return make(line, NameExpr{take().text});
    }
    case TokenKind::kString: {
      std::string text;
      while (current().kind == TokenKind::kString) text += take().text;
      return make(line, ConstantExpr{Value::string(std::move(text))});
    }
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return parse_number();
    case TokenKind::kOperator:
      if (current().is_operator("(")) return parse_bracketed();
      if (current().is_operator("[")) return parse_list();
      if (current().is_operator("{")) return parse_dict();
      break;
    default:
      break;
  }
  return error("expected an expression, found {}", describe_token(current()));
}

Result<ExprPtr> ExprParser::parse_number() {
  const int line = current().line;
  const bool integer = current().kind == TokenKind::kInteger;
  const std::string text = take().text;
  const char* end = text.data() + text.size();
  if (integer) {
    int64_t value = 0;
    if (std::from_chars(text.data(), end, value).ec != std::errc())
      return error_at(line, fmt::format("the number {} does not fit 64 bits", text));
    return make(line, ConstantExpr{Value::integer(value)});
  }
  double value = 0;
  if (std::from_chars(text.data(), end, value).ec != std::errc())
    return error_at(line, fmt::format("the number {} is out of range", text));
  return make(line, ConstantExpr{Value::number(value)});
}

Result<ExprPtr> ExprParser::parse_bracketed() {
  const int line = take().line;
  if (skip_operator(")")) return make(line, SequenceExpr{SequenceKind::kTuple, {}});
  CADRE_TRY(ExprPtr inside, parse_tuple());
  CADRE_CHECK_OK(expect_operator(")"));
  return inside;
}

Result<ExprPtr> ExprParser::parse_list() {
  const int line = take().line;
  SequenceExpr list{SequenceKind::kList, {}};
  while (!current().is_operator("]")) {
    if (!list.items.empty()) CADRE_CHECK_OK(expect_operator(","));
    if (current().is_operator("]")) break;
    CADRE_TRY(ExprPtr item, parse_expression());
    list.items.push_back(std::move(item));
  }
  CADRE_CHECK_OK(expect_operator("]"));
  return make(line, std::move(list));
}

Result<ExprPtr> ExprParser::parse_dict() {
  const int line = take().line;
  DictExpr dict;
  while (!current().is_operator("}")) {
    if (!dict.entries.empty()) CADRE_CHECK_OK(expect_operator(","));
    if (current().is_operator("}")) break;
    CADRE_TRY(ExprPtr key, parse_expression());
    CADRE_CHECK_OK(expect_operator(":"));
    CADRE_TRY(ExprPtr value, parse_expression());
    dict.entries.emplace_back(std::move(key), std::move(value));
  }
  CADRE_CHECK_OK(expect_operator("}"));
  return make(line, std::move(dict));
}

Result<ExprPtr> ExprParser::parse_postfix(ExprPtr object) {
  while (true) {
    if (current().is_operator(".")) {
      CADRE_TRY(object, parse_dot(std::move(object)));
    } else if (current().is_operator("[")) {
      CADRE_TRY(object, parse_subscript(std::move(object)));
    } else if (current().is_operator("(")) {
      CADRE_TRY(object, parse_call(std::move(object)));
    } else {
      return object;
    }
  }
}

Result<ExprPtr> ExprParser::parse_dot(ExprPtr object) {
  const int line = take().line;
  if (current().kind == TokenKind::kName) return make(line, AttributeExpr{std::move(object), take().text});
  if (current().kind != TokenKind::kInteger)
    return error("expected a name or a number after '.', found {}", describe_token(current()));
  CADRE_TRY(ExprPtr index, parse_number());
  return make(line, ItemExpr{std::move(object), std::move(index)});
}

Result<ExprPtr> ExprParser::parse_subscript(ExprPtr object) {
  const int line = take().line;
  if (skip_operator(":")) return parse_slice(std::move(object), nullptr, line);
  CADRE_TRY(ExprPtr key, parse_expression());
  if (skip_operator(":")) return parse_slice(std::move(object), std::move(key), line);
  if (current().is_operator(",")) {
    SequenceExpr tuple{SequenceKind::kTuple, {}};
    tuple.items.push_back(std::move(key));
    while (skip_operator(",") && !current().is_operator("]")) {
      CADRE_TRY(ExprPtr item, parse_expression());
      tuple.items.push_back(std::move(item));
    }
    CADRE_TRY(key, make(line, std::move(tuple)));
  }
  CADRE_CHECK_OK(expect_operator("]"));
  return make(line, ItemExpr{std::move(object), std::move(key)});
}

Result<ExprPtr> ExprParser::parse_slice(ExprPtr object, ExprPtr start, int line) {
  SliceExpr slice{std::move(object), std::move(start), nullptr, nullptr};
  if (!current().is_operator(":") && !current().is_operator("]")) {
    CADRE_TRY(slice.stop, parse_expression());
  }
  if (skip_operator(":") && !current().is_operator("]")) {
    CADRE_TRY(slice.step, parse_expression());
  }
  CADRE_CHECK_OK(expect_operator("]"));
  return make(line, std::move(slice));
}

Result<ExprPtr> ExprParser::parse_call(ExprPtr callee) {
  const int line = current().line;
  CADRE_TRY(Arguments arguments, parse_arguments());
  return make(line, CallExpr{std::move(callee), std::move(arguments)});
}

Result<Arguments> ExprParser::parse_arguments() {
  CADRE_CHECK_OK(expect_operator("("));
  Arguments arguments;
  bool first = true;
  while (!current().is_operator(")")) {
    if (!first) CADRE_CHECK_OK(expect_operator(","));
    if (current().is_operator(")")) break;
    first = false;
    CADRE_CHECK_OK(parse_argument(arguments));
  }
  CADRE_CHECK_OK(expect_operator(")"));
  return arguments;
}

Status ExprParser::parse_argument(Arguments& arguments) {
  if (arguments.spread_named) return error("an argument after **");
  if (skip_operator("**")) {
    CADRE_TRY(arguments.spread_named, parse_expression());
    return {};
  }
  if (skip_operator("*")) {
    if (arguments.spread) return error("a second * among the arguments");
    CADRE_TRY(arguments.spread, parse_expression());
    return {};
  }
  if (current().kind == TokenKind::kName && next().is_operator("=")) {
    std::string name = take().text;
    take();
    for (const auto& entry : arguments.named)
      if (entry.first == name) return error("argument '{}' is given twice", name);
    CADRE_TRY(ExprPtr value, parse_expression());
    arguments.named.emplace_back(std::move(name), std::move(value));
    return {};
  }
  if (arguments.spread || !arguments.named.empty()) return error("a positional argument after named ones");
  CADRE_TRY(ExprPtr value, parse_expression());
  arguments.positional.push_back(std::move(value));
  return {};
}

Result<BlockFilter> ExprParser::parse_filter() {
  if (current().kind != TokenKind::kName)
    return error("expected the name of a filter, found {}", describe_token(current()));
  const Builtin* builtin = find_filter(current().text);
  if (builtin == nullptr) return error("filter '{}' is not supported", current().text);
  take();
  BlockFilter filter{builtin, {}};
  if (current().is_operator("(")) {
    CADRE_TRY(filter.arguments, parse_arguments());
  }
  return filter;
}

Result<std::vector<BlockFilter>> ExprParser::parse_block_filters() {
  std::vector<BlockFilter> filters;
  do {
    CADRE_TRY(BlockFilter filter, parse_filter());
    filters.push_back(std::move(filter));
  } while (skip_operator("|"));
  return filters;
}

Result<ExprPtr> ExprParser::parse_test(ExprPtr input) {
  const int line = take().line;
  const bool negated = skip_name("not");
  if (current().kind != TokenKind::kName)
    return error("expected the name of a test, found {}", describe_token(current()));
  const Builtin* builtin = find_test(current().text);
  if (builtin == nullptr) return error("test '{}' is not supported", current().text);
  take();
  ApplyExpr test{std::move(input), builtin, {}, true};
  const TokenKind kind = current().kind;
  if (current().is_operator("(")) {
    CADRE_TRY(test.arguments, parse_arguments());
  } else if ((kind == TokenKind::kName && !is_operator_word(current().text)) || kind == TokenKind::kString ||
             kind == TokenKind::kInteger || kind == TokenKind::kFloat || current().is_operator("[") ||
             current().is_operator("{")) {
    CADRE_TRY(ExprPtr argument, parse_primary());
    CADRE_TRY(argument, parse_postfix(std::move(argument)));
    test.arguments.positional.push_back(std::move(argument));
  }
  CADRE_TRY(ExprPtr value, make(line, std::move(test)));
  if (!negated) return value;
  return make(line, NotExpr{std::move(value)});
}

}  // namespace cadre::jinja
