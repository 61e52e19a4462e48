#pragma once
/// The fields that requests of several APIs share. Wrong types and ranges are errors that name the field;
/// fields that nobody knows are ignored, as the APIs do.

#include <string>
#include <vector>

#include "cadre/base/json.h"
#include "cadre/server/api_error.h"
#include "cadre/server/generation.h"
#include "cadre/server/service.h"

namespace cadre::server {

/// The body, which must be an object. Errors: kInvalid.
Result<Json> parse_body(const HttpRequest& request);
JsonFields request_fields(const Json& body);

/// Errors: kNotFound when `model` is given and is not one of the served names.
Status check_model(const JsonFields& fields, const ServedModel& model);

/// temperature, top_p, top_k, min_p, penalties, logit_bias, seed; stream; and under `cadre` experts, routing,
/// prefix_cache and priority. What is not given is the model's own, and the seed a random one.
Result<GenerationSettings> read_settings(const JsonFields& fields, Service& service);

/// `key`: an integer of at least 1; absent: 0.
Result<int64_t> read_max_tokens(const JsonFields& fields, std::string_view key);
/// `key`: a string or a list of at most 16, none of them empty.
Result<std::vector<std::string>> read_stop_strings(const JsonFields& fields, std::string_view key);
/// n, which multiplied by `prompts` must be within the limits of one request.
Result<int64_t> read_choices(const JsonFields& fields, int64_t prompts, const ServiceOptions& options);

/// A conversation in the form of the OpenAI API, as the model's chat template writes it. `body` may be the
/// whole request: see parse_chat_request. Contents that are lists of texts become one text.
Result<std::string> render_chat(const Json& body, const ServedModel& model);
/// Tokens of what a chat template wrote. Errors: kInvalid when there are none.
Result<std::vector<int32_t>> template_prompt(const std::string& text, const ServedModel& model);
/// Both together.
Result<std::vector<int32_t>> chat_prompt(const Json& body, const ServedModel& model);
/// Tokens of a text without chat template, with BOS if the model wants one.
Result<std::vector<int32_t>> text_prompt(const std::string& text, const ServedModel& model);

/// One or more texts, or one or more lists of token ids, as prompts and inputs are given. `key` must be
/// there.
struct TextInput {
  std::string text;          ///< "" for one that came as tokens
  std::vector<int32_t> ids;  ///< its tokens
};
Result<std::vector<TextInput>> read_inputs(const JsonFields& fields, std::string_view key,
                                           const ServedModel& model);

}  // namespace cadre::server
