#pragma once
/// What an answer in a chat has to keep to, as a grammar: reasoning, content, tool calls.

#include <memory>
#include <optional>
#include <string>

#include "cadre/base/json.h"
#include "cadre/base/result.h"
#include "cadre/text/answer_format.h"
#include "cadre/text/json_schema.h"
#include "cadre/text/token_trie.h"

namespace cadre {

enum class ToolChoice {
  kNone,      ///< text only
  kAuto,      ///< text, then calls if the model opens them; what it then calls is constrained
  kRequired,  ///< at least one call, before any text
};

/// What an answer in a chat has to keep to.
struct AnswerRules {
  AnswerFormat format;
  bool in_reasoning = false;           ///< the prompt ends inside of reasoning: free until </think>
  std::optional<JsonGrammar> content;  ///< what the content must be; nullopt: any text
  const Json* tools = nullptr;         ///< of the request: [{type, function: {name, parameters}}, ...]
  ToolChoice tool_choice = ToolChoice::kNone;
  std::string function;             ///< with kRequired: the one function to call; "": any
  bool parallel_tool_calls = true;  ///< false: one call at most
};

/// Arguments of a call are valid against the function's `parameters` (an object without members where there
/// are none). In DSML, arguments that are strings are written as they are, and none come that the schema does
/// not name. Markers are spelled as the vocabulary of `tokens` has them.
/// Errors: as JsonGrammar::from_schema, with paths like `tools[2].function.parameters`; a function that the
/// tools lack; calls where the format has none.
Result<std::shared_ptr<const Grammar>> answer_grammar(const TokenTrie& tokens, const AnswerRules& rules);

}  // namespace cadre
