#pragma once
/// Splits a template into text and the tokens of its tags. White space is treated as Hugging Face's
/// apply_chat_template does: trim_blocks and lstrip_blocks on, one newline at the end of the template
/// dropped.

#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/result.h"

namespace cadre::jinja {

enum class TokenKind : uint8_t {
  kText,        ///< template text outside tags
  kPrintBegin,  ///< {{
  kPrintEnd,    ///< }}
  kBlockBegin,  ///< {%
  kBlockEnd,    ///< %}
  kName,
  kString,   ///< `text` is the value, escapes resolved
  kInteger,  ///< `text` is a plain decimal number
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;
  std::string text;

  bool is_name(std::string_view name) const { return kind == TokenKind::kName && text == name; }
  bool is_operator(std::string_view symbol) const { return kind == TokenKind::kOperator && text == symbol; }
};

/// The last token is kEnd. Errors, with the line: text that is not UTF-8, an unclosed comment, tag or string,
/// brackets that do not match, characters and escapes that mean nothing.
Result<std::vector<Token>> tokenize(std::string_view source);

/// "end of template", "'endif'": for error messages.
std::string describe_token(const Token& token);

}  // namespace cadre::jinja
