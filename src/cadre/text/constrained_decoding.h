#pragma once
/// Constrained decoding: which tokens keep an answer inside a grammar.

#include <memory>

#include "cadre/base/result.h"
#include "cadre/text/answer_grammar.h"
#include "cadre/text/json_schema.h"
#include "cadre/text/token_constraint.h"
#include "cadre/text/token_trie.h"

namespace cadre {

/// The answer is a text of `grammar`, from its first token on.
std::unique_ptr<TokenConstraint> constrain(std::shared_ptr<const TokenTrie> tokens,
                                           const JsonGrammar& grammar);

/// Null when the rules leave everything open. Errors: as answer_grammar.
Result<std::unique_ptr<TokenConstraint>> constrain_answer(std::shared_ptr<const TokenTrie> tokens,
                                                          const AnswerRules& rules);

}  // namespace cadre
