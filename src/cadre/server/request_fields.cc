#include "cadre/server/request_fields.h"

#include <algorithm>
#include <charconv>

#include "cadre/text/chat_request.h"

namespace cadre::server {
namespace {

constexpr size_t kMaxStopStrings = 16;
constexpr size_t kMaxInputs = 256;

Result<double> number_in(const JsonFields& fields, std::string_view key, double fallback, double lowest,
                         double highest) {
  CADRE_TRY(const double value, fields.number_or(key, fallback));
  if (value < lowest || value > highest)
    return fields.error(key,
                        fmt::format("expected a number from {} to {}, found {}", lowest, highest, value));
  return value;
}

Result<std::vector<std::pair<int32_t, float>>> read_logit_bias(const JsonFields& fields, int64_t vocab_size) {
  std::vector<std::pair<int32_t, float>> biases;
  const Json* object = fields.find("logit_bias");
  if (object == nullptr) return biases;
  if (!object->is_object())
    return fields.error("logit_bias", "expected an object of token ids, found " + describe_json(*object));
  for (const auto& [key, value] : object->items()) {
    int32_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0 || id >= vocab_size)
      return fields.error("logit_bias", fmt::format("expected token ids from 0 to {}, found {}",
                                                    vocab_size - 1, describe_json(Json(key))));
    if (!value.is_number() || value.get<double>() < -100 || value.get<double>() > 100)
      return fields.error(fmt::format("logit_bias.{}", id),
                          "expected a number from -100 to 100, found " + describe_json(value));
    biases.emplace_back(id, value.get<float>());
  }
  return biases;
}

Result<uint64_t> read_seed(const JsonFields& fields, IdSource& ids) {
  const Json* seed = fields.find("seed");
  if (seed == nullptr) return ids.seed();
  if (!seed->is_number_integer())
    return fields.error("seed", "expected an integer, found " + describe_json(*seed));
  return seed->is_number_unsigned() ? seed->get<uint64_t>() : static_cast<uint64_t>(seed->get<int64_t>());
}

Result<SamplingParams> read_sampling(const JsonFields& fields, Service& service) {
  const ServedModel& model = service.model();
  SamplingParams sampling = model.assets->sampling;
  CADRE_TRY(sampling.temperature, number_in(fields, "temperature", sampling.temperature, 0, 100));
  CADRE_TRY(sampling.top_p, number_in(fields, "top_p", sampling.top_p, 0, 1));
  // Nothing is kept but the most likely token, which is always kept: what 0 means to OpenAI.
  sampling.top_p = std::max(sampling.top_p, 1e-12);
  CADRE_TRY(sampling.min_p, number_in(fields, "min_p", sampling.min_p, 0, 1));
  CADRE_TRY(const int64_t top_k, fields.integer_or("top_k", sampling.top_k, -1, INT32_MAX));
  sampling.top_k = std::max<int64_t>(top_k, 0);
  CADRE_TRY(sampling.presence_penalty, number_in(fields, "presence_penalty", 0, -2, 2));
  CADRE_TRY(sampling.frequency_penalty, number_in(fields, "frequency_penalty", 0, -2, 2));
  CADRE_TRY(sampling.repetition_penalty,
            number_in(fields, "repetition_penalty", sampling.repetition_penalty, 0.01, 100));
  CADRE_TRY(sampling.logit_bias, read_logit_bias(fields, model.config.vocab_size));
  CADRE_TRY(sampling.seed, read_seed(fields, service.ids()));
  return sampling;
}

/// Our own fields. Here a name that is not known is an error: nobody else defines it.
Status read_extensions(const JsonFields& fields, const ServedModel& model, GenerationSettings& settings) {
  CADRE_TRY(const std::optional<JsonFields> ours, fields.object("cadre"));
  if (!ours) return {};
  constexpr std::string_view kKnown[] = {"experts", "routing", "prefix_cache", "priority"};
  for (const auto& [key, value] : fields.find("cadre")->items())
    if (std::find(std::begin(kKnown), std::end(kKnown), key) == std::end(kKnown))
      return ours->error(key.substr(0, 60),
                         fmt::format("not known here; there are {}", fmt::join(kKnown, ", ")));
  CADRE_TRY(settings.routing, ours->boolean_or("routing", false));
  CADRE_TRY(settings.use_prefix_cache, ours->boolean_or("prefix_cache", true));
  CADRE_TRY(const int64_t priority, ours->integer_or("priority", 0, -100, 100));
  settings.priority = static_cast<int>(priority);
  if (ours->has("experts") && !model.config.moe) return ours->error("experts", "the model has no experts");
  const int64_t experts = model.config.moe ? model.config.moe->most_experts_per_tok() : 1;
  CADRE_TRY(settings.experts, ours->integer_or("experts", 0, 1, experts));
  return {};
}

/// Messages whose contents are lists of texts get them as one: many templates know only that.
Result<Json> with_plain_contents(const Json& body) {
  Json copy = body;
  const auto messages = copy.find("messages");
  if (messages == copy.end() || !messages->is_array()) return copy;
  for (size_t i = 0; i < messages->size(); ++i) {
    Json& message = (*messages)[i];
    if (!message.is_object()) continue;
    const auto content = message.find("content");
    if (content == message.end() || !content->is_array()) continue;
    const std::string path = fmt::format("{}: messages[{}].content", kRequestOrigin, i);
    CADRE_TRY(std::string text, content_text(&*content, path));
    *content = std::move(text);
  }
  return copy;
}

/// A list of ids. `at` is its path.
Result<std::vector<int32_t>> read_ids(const Json& list, const JsonFields& fields, const std::string& at,
                                      const ServedModel& model) {
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const Json& id : list) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= model.config.vocab_size)
      return fields.error(at, fmt::format("expected token ids from 0 to {}, found {}",
                                          model.config.vocab_size - 1, describe_json(id)));
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

Result<TextInput> read_input(const Json& value, const JsonFields& fields, const std::string& at,
                             const ServedModel& model) {
  TextInput input;
  if (value.is_string()) {
    input.text = value.get<std::string>();
    CADRE_TRY(input.ids, text_prompt(input.text, model));
  } else if (value.is_array()) {
    CADRE_TRY(input.ids, read_ids(value, fields, at, model));
  } else {
    return fields.error(at, "expected a string or a list of token ids, found " + describe_json(value));
  }
  if (input.ids.empty()) return fields.error(at, "expected at least one token, found nothing");
  return input;
}

}  // namespace

Result<Json> parse_body(const HttpRequest& request) {
  CADRE_TRY(Json body, parse_json(request.body, kRequestOrigin));
  if (!body.is_object())
    return invalid("{}: expected an object, found {}", kRequestOrigin, describe_json(body));
  return body;
}

JsonFields request_fields(const Json& body) { return {body, std::string(kRequestOrigin)}; }

Status check_model(const JsonFields& fields, const ServedModel& model) {
  CADRE_TRY(const std::string name, fields.string_or("model", model.name()));
  if (std::find(model.names.begin(), model.names.end(), name) != model.names.end()) return {};
  return fail(ErrorKind::kNotFound, "{}: field 'model': '{}' is not served here; '{}' is", kRequestOrigin,
              name.substr(0, 100), model.name());
}

Result<GenerationSettings> read_settings(const JsonFields& fields, Service& service) {
  GenerationSettings settings;
  CADRE_TRY(settings.sampling, read_sampling(fields, service));
  CADRE_TRY(settings.stream, fields.boolean_or("stream", false));
  CADRE_CHECK_OK(read_extensions(fields, service.model(), settings));
  return settings;
}

Result<int64_t> read_max_tokens(const JsonFields& fields, std::string_view key) {
  return fields.integer_or(key, 0, 1, int64_t{1} << 30);
}

Result<std::vector<std::string>> read_stop_strings(const JsonFields& fields, std::string_view key) {
  std::vector<std::string> stops;
  const Json* value = fields.find(key);
  if (value == nullptr) return stops;
  for (const Json& item : value->is_array() ? *value : Json::array({*value})) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty())
      return fields.error(key,
                          "expected a string or a list of strings, not empty, found " + describe_json(item));
    stops.push_back(item.get<std::string>());
  }
  if (stops.size() > kMaxStopStrings)
    return fields.error(key, fmt::format("expected at most {}, found {}", kMaxStopStrings, stops.size()));
  return stops;
}

Result<int64_t> read_choices(const JsonFields& fields, int64_t prompts, const ServiceOptions& options) {
  CADRE_TRY(const int64_t n, fields.integer_or("n", 1, 1, options.max_choices));
  if (n * prompts > options.max_choices)
    return fields.error("n", fmt::format("{} answers to each of {} prompts; at most {} in one request", n,
                                         prompts, options.max_choices));
  return n;
}

Result<std::string> render_chat(const Json& body, const ServedModel& model) {
  const TextAssets& assets = *model.assets;
  if (!assets.chat_template)
    return invalid("this model has no usable chat template: {}", assets.chat_template.error().message);
  CADRE_TRY(const Json plain, with_plain_contents(body));
  CADRE_TRY(const ChatRequest request, parse_chat_request(plain, kRequestOrigin));
  const Json* prefix = json_member(request.messages.back(), "prefix");
  if (prefix != nullptr && prefix->get<bool>() && !assets.chat_template->format())
    return invalid("{}: messages[{}].prefix: the model's template cannot go on with a message",
                   kRequestOrigin, request.messages.size() - 1);
  auto text = assets.chat_template->render(request, assets.bos_token, assets.eos_token);
  if (!text) return invalid("{}: {}", kRequestOrigin, text.error().message);
  return text;
}

Result<std::vector<int32_t>> template_prompt(const std::string& text, const ServedModel& model) {
  CADRE_TRY(std::vector<int32_t> ids, model.assets->tokenizer.encode(text));
  if (ids.empty()) return invalid("the conversation has no tokens");
  return ids;
}

Result<std::vector<int32_t>> chat_prompt(const Json& body, const ServedModel& model) {
  CADRE_TRY(const std::string text, render_chat(body, model));
  return template_prompt(text, model);
}

Result<std::vector<int32_t>> text_prompt(const std::string& text, const ServedModel& model) {
  const Tokenizer& tokenizer = model.assets->tokenizer;
  const bool add_bos = tokenizer.bos().has_value() && (tokenizer.adds_bos() || text.empty());
  return tokenizer.encode(text, {.add_bos = add_bos});
}

Result<std::vector<TextInput>> read_inputs(const JsonFields& fields, std::string_view key,
                                           const ServedModel& model) {
  const Json* value = fields.find(key);
  if (value == nullptr)
    return fields.error(key, "expected a string, a list of strings or a list of token ids, found nothing");
  const bool one = !value->is_array() || (!value->empty() && value->front().is_number());
  const Json list = one ? Json::array({*value}) : *value;
  if (list.empty() || list.size() > kMaxInputs)
    return fields.error(key, fmt::format("expected 1 to {} inputs, found {}", kMaxInputs, list.size()));
  std::vector<TextInput> inputs;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string at = one ? std::string(key) : fmt::format("{}[{}]", key, i);
    CADRE_TRY(TextInput input, read_input(list[i], fields, at, model));
    inputs.push_back(std::move(input));
  }
  return inputs;
}

}  // namespace cadre::server
