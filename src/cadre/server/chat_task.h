#pragma once
/// From a conversation to what the scheduler gets: the prompt, and what the answer has to keep to.

#include <string>

#include "cadre/base/json.h"
#include "cadre/server/generation.h"
#include "cadre/server/service.h"

namespace cadre::server {

/// Sets prompt, constraints and the reading of the answer from `chat`, a conversation in the form of the
/// OpenAI chat API: messages, tools, tool_choice, parallel_tool_calls, response_format. The settings of
/// `task` must be complete before. Errors: as render_chat, and for schemas and tools that are not supported,
/// naming the field.
Status plan_chat(const Json& chat, const ServedModel& model, GenerationTask& task);

}  // namespace cadre::server
