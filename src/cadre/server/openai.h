#pragma once
/// What the endpoints of the OpenAI API have in common.

#include <string>

#include "cadre/server/answer.h"
#include "cadre/server/request_fields.h"

namespace cadre::server {

/// "stop", "length", or "tool_calls" when the answer calls any.
std::string openai_finish_reason(const Answer& answer);
/// {prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details: {cached_tokens}}
Json openai_usage(const Usage& usage);
/// {"content": [{token, logprob, bytes, top_logprobs}, ...]} of a chat completion.
Json openai_chat_logprobs(const std::vector<AnswerToken>& tokens);
/// {id, type: "function", function: {name, arguments}}
Json openai_tool_call(const ToolCall& call);

/// Whether a stream ends with a chunk that has the usage: stream_options.include_usage. Errors: wrong types,
/// stream_options without stream.
Result<bool> read_include_usage(const JsonFields& fields, bool stream);

/// Errors for a field that is known but not supported, when it has a value other than the harmless one.
Status refuse_field(const JsonFields& fields, std::string_view key, const Json& harmless);

/// What every chunk and body of one request begins with, and the way a stream ends.
struct OpenAiHead {
  std::string id;      ///< "chatcmpl-..."
  std::string object;  ///< "chat.completion"
  std::string model;
  int64_t created = 0;
  bool include_usage = false;

  Json document(std::string_view object_name) const;
  /// `data: {...}` with these choices.
  std::string chunk(std::string_view object_name, Json choices) const;
  /// The chunk with the usage, if it was asked for, and [DONE].
  std::string end(std::string_view object_name, const Usage& usage) const;
};

int64_t now_seconds();

}  // namespace cadre::server
