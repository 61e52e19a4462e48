#pragma once
/// The expression half of the parser: a recursive descent over tokens, with Jinja's precedences.

#include <set>
#include <string>
#include <vector>

#include "cadre/text/jinja_ast.h"
#include "cadre/text/jinja_lexer.h"

namespace cadre::jinja {

/// Parses expressions out of a token list, and keeps the place. Not thread-safe.
class ExprParser {
 public:
  explicit ExprParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token take();  ///< the current token; goes on to the next, unless it is the last
  bool skip_name(std::string_view name);
  bool skip_operator(std::string_view symbol);
  Status expect_operator(std::string_view symbol);
  Status expect(TokenKind kind, std::string_view what);
  /// A name that may be assigned or declared: no operator word and no constant.
  Result<std::string> expect_variable();

  /// One expression; without `conditional`, an `if` after it is left for the caller.
  Result<ExprPtr> parse_expression(bool conditional = true);
  /// One expression, or several with commas, which make a tuple.
  Result<ExprPtr> parse_tuple(bool conditional = true);
  /// name(arguments) | name ...; the first | has been skipped.
  Result<std::vector<BlockFilter>> parse_block_filters();

  /// `line N: MESSAGE` about the current token.
  template <typename... Args>
  tl::unexpected<Error> error(fmt::format_string<Args...> format, Args&&... args) const {
    return error_at(current().line, fmt::format(format, std::forward<Args>(args)...));
  }
  static tl::unexpected<Error> error_at(int line, std::string_view message);

  /// Names that have been read as variables since the set was last cleared.
  std::set<std::string>& names_used() { return names_used_; }

  /// Counts nesting while it lives.
  class Nesting {
   public:
    explicit Nesting(ExprParser& parser) : parser_(parser) { ++parser_.nesting_; }
    ~Nesting() { --parser_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    Status check() const;

   private:
    ExprParser& parser_;
  };

 private:
  template <typename Node>
  Result<ExprPtr> make(int line, Node node);

  Result<ExprPtr> parse_or();
  Result<ExprPtr> parse_and();
  Result<ExprPtr> parse_not();
  Result<ExprPtr> parse_comparison();
  Result<ExprPtr> parse_sum();
  Result<ExprPtr> parse_concat();
  Result<ExprPtr> parse_product();
  Result<ExprPtr> parse_power();
  Result<ExprPtr> parse_filtered();
  Result<ExprPtr> parse_signed();
  Result<ExprPtr> parse_primary();
  Result<ExprPtr> parse_bracketed();
  Result<ExprPtr> parse_list();
  Result<ExprPtr> parse_dict();
  Result<ExprPtr> parse_number();
  Result<ExprPtr> parse_postfix(ExprPtr object);
  Result<ExprPtr> parse_dot(ExprPtr object);
  Result<ExprPtr> parse_subscript(ExprPtr object);
  Result<ExprPtr> parse_slice(ExprPtr object, ExprPtr start, int line);
  Result<ExprPtr> parse_call(ExprPtr callee);
  Result<ExprPtr> parse_test(ExprPtr input);
  Result<BlockFilter> parse_filter();
  Result<Arguments> parse_arguments();
  Status parse_argument(Arguments& arguments);
  std::optional<CompareOp> take_comparison();
  bool at_end_of_tuple() const;

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
  std::set<std::string> names_used_;
};

}  // namespace cadre::jinja
