#pragma once
/// Requests of the Anthropic API, said in the form that chat templates read.

#include "cadre/base/json.h"

namespace cadre::server {

/// {messages, tools, thinking, ...} as parse_chat_request reads it. Blocks of type text, thinking, tool_use
/// and tool_result are understood. Errors: wrong types and other blocks, naming the field.
Result<Json> anthropic_chat(const JsonFields& fields);

}  // namespace cadre::server
