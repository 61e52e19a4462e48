#pragma once
/// A conversation to be turned into a prompt, as users write it in JSON.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cadre/base/json.h"
#include "cadre/base/result.h"

namespace cadre {

/// What a chat template is applied to.
struct ChatRequest {
  Json messages = Json::array();  ///< {role, content, ...} each; see parse_chat_request
  Json tools;                     ///< an array of {type, function: {name, ...}}, or null
  Json options = Json::object();  ///< further template variables; see parse_chat_request
};

/// Reads and checks a request. Accepted: an array of messages, or an object with
/// - `messages`: at least one {role, content} with a role of system, developer, user, assistant, tool or
///   latest_reminder and a content that is a string, null, or a list of parts {type: "text", text} (other
///   types of parts are left to the template). An assistant may have `reasoning_content`, `tool_calls` (with
///   `arguments` as an object or as a string of JSON) and, when it comes last, `prefix: true` (the model goes
///   on with it); a tool message `tool_call_id`; any message `tools`, `task`, `response_format` (which
///   DeepSeek-V4 knows);
/// - `tools`; `response_format`; `reasoning_effort`; `drop_thinking`; `add_generation_prompt` (default true);
/// - `task`: that of the last message;
/// - whether to think, in any of its spellings: `thinking` (true, false, or {type: "enabled"|"disabled"}),
///   `enable_thinking`, `thinking_mode` ("thinking" or "chat"). All three become options when one is given;
/// - `chat_template_kwargs`: any of the options above, and any other variable of the template.
/// null counts as not given. Other members are ignored, so a whole request of the OpenAI API may be passed.
/// Errors name `origin` and the path: "stdin: messages[3].role: expected ..., found ...".
Result<ChatRequest> parse_chat_request(const Json& json, std::string_view origin);

/// The options that built-in formats know.
struct ChatOptions {
  std::optional<bool> thinking;
  bool add_generation_prompt = true;
  bool drop_thinking = true;
  std::string reasoning_effort;           ///< "" when not given
  const Json* response_format = nullptr;  ///< inside the request; null when not given, or {type: "text"}
};

/// Reads ChatRequest::options. Errors: a wrong type, by name.
Result<ChatOptions> read_chat_options(const ChatRequest& request);

/// The text of a `content`: "" for null or nothing, the text parts of a list joined by empty lines.
/// Errors: `path` has parts of another type, or is no content.
Result<std::string> content_text(const Json* content, std::string_view path);

/// Member of an object; nullptr when absent or null, or when `object` is no object.
const Json* json_member(const Json& object, std::string_view name);

}  // namespace cadre
