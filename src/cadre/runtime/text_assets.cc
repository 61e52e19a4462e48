#include "cadre/runtime/text_assets.h"

#include <algorithm>

#include "cadre/base/file.h"
#include "cadre/base/json.h"
#include "cadre/formats/gguf.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;

/// nullopt when there is no such file. Other errors are errors.
Result<std::optional<Json>> read_optional_json(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::optional<Json>();
  CADRE_TRY(Json json, read_json_file(path.string()));
  if (!json.is_object())
    return invalid("{}: expected an object, found {}", path.string(), describe_json(json));
  return std::optional<Json>(std::move(json));
}

Result<std::optional<std::string>> read_optional_text(const fs::path& path) {
  constexpr size_t kLimitBytes = size_t{16} << 20;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::optional<std::string>();
  CADRE_TRY(std::string text, read_text_file(path, kLimitBytes));
  return std::optional<std::string>(std::move(text));
}

void add_stop_token(std::vector<int32_t>& stops, int32_t id) {
  if (std::find(stops.begin(), stops.end(), id) == stops.end()) stops.push_back(id);
}

/// eos_token_id of config.json or generation_config.json: an id or a list of ids.
Status add_stop_tokens(const JsonFields& fields, std::vector<int32_t>& stops) {
  const Json* value = fields.find("eos_token_id");
  if (value == nullptr) return {};
  for (const Json& item : value->is_array() ? *value : Json::array({*value})) {
    if (!item.is_number_integer() || item.get<int64_t>() < 0 || item.get<int64_t>() > INT32_MAX)
      return fields.error("eos_token_id",
                          "expected a token id or a list of token ids, found " + describe_json(item));
    add_stop_token(stops, item.get<int32_t>());
  }
  return {};
}

/// Sampling as generation_config.json suggests it; do_sample false is greedy.
Status read_generation_config(const JsonFields& fields, TextAssets& assets) {
  SamplingParams& sampling = assets.sampling;
  CADRE_TRY(sampling.temperature, fields.number_or("temperature", 1));
  CADRE_TRY(sampling.top_p, fields.number_or("top_p", 1));
  CADRE_TRY(sampling.min_p, fields.number_or("min_p", 0));
  CADRE_TRY(sampling.top_k, fields.integer_or("top_k", 0, 0, INT32_MAX));
  CADRE_TRY(sampling.repetition_penalty, fields.number_or("repetition_penalty", 1));
  CADRE_TRY(const bool sample, fields.boolean_or("do_sample", true));
  if (!sample) sampling.temperature = 0;
  return add_stop_tokens(fields, assets.stop_tokens);
}

std::string token_text(const Tokenizer& tokenizer, std::optional<int32_t> id) {
  if (!id) return {};
  const auto bytes = tokenizer.token_bytes(*id);
  return bytes ? std::string(*bytes) : std::string();
}

/// What follows from the tokenizer alone, whatever the container.
void finish(TextAssets& assets) {
  assets.bos_token = token_text(assets.tokenizer, assets.tokenizer.bos());
  assets.eos_token = token_text(assets.tokenizer, assets.tokenizer.eos());
  if (const auto eos = assets.tokenizer.eos()) add_stop_token(assets.stop_tokens, *eos);
}

Result<TextAssets> load_from_directory(const fs::path& path) {
  const fs::path tokenizer_path = path / "tokenizer.json";
  CADRE_TRY(const std::string tokenizer_json, read_text_file(tokenizer_path));
  CADRE_TRY(Tokenizer tokenizer, Tokenizer::from_json(tokenizer_json, tokenizer_path.string()));
  const fs::path tokenizer_config_path = path / "tokenizer_config.json";
  CADRE_TRY(const std::optional<Json> tokenizer_config, read_optional_json(tokenizer_config_path));
  if (tokenizer_config)
    CADRE_CHECK_OK(tokenizer.apply_config(JsonFields(*tokenizer_config, tokenizer_config_path.string())));
  CADRE_TRY(const std::optional<Json> config, read_optional_json(path / "config.json"));
  CADRE_TRY(const std::optional<std::string> template_text, read_optional_text(path / "chat_template.jinja"));
  CADRE_TRY(const std::optional<Json> generation, read_optional_json(path / "generation_config.json"));

  std::string model_type;
  if (config) {
    CADRE_TRY(model_type, JsonFields(*config, (path / "config.json").string()).string_or("model_type", ""));
  }
  const auto has_token = [&](std::string_view token) { return tokenizer.find(token).has_value(); };
  CADRE_TRY(const fs::path absolute, absolute_path(path));
  const std::string name = absolute.filename().string();
  auto chat_template = load_chat_template(tokenizer_config ? &*tokenizer_config : nullptr, template_text,
                                          {.model_type = model_type, .name = name, .has_token = has_token});
  TextAssets assets{.tokenizer = std::move(tokenizer), .chat_template = std::move(chat_template)};
  if (config)
    CADRE_CHECK_OK(add_stop_tokens(JsonFields(*config, (path / "config.json").string()), assets.stop_tokens));
  if (generation)
    CADRE_CHECK_OK(
        read_generation_config(JsonFields(*generation, (path / "generation_config.json").string()), assets));
  finish(assets);
  if (config && assets.bos_token.empty()) {
    const JsonFields fields(*config, (path / "config.json").string());
    CADRE_TRY(const int64_t bos, fields.integer_or("bos_token_id", -1, 0, INT32_MAX));
    if (bos >= 0) assets.bos_token = token_text(assets.tokenizer, static_cast<int32_t>(bos));
  }
  return assets;
}

Result<std::optional<int32_t>> token_id(const GgufFile& file, std::string_view key) {
  if (!file.has(key)) return std::optional<int32_t>();
  CADRE_TRY(const int64_t id, file.integer(key, 0, INT32_MAX));
  return std::optional<int32_t>(static_cast<int32_t>(id));
}

Result<TextAssets> load_from_gguf(const fs::path& path) {
  CADRE_TRY(const GgufFile file, GgufFile::open(path));
  CADRE_TRY(const std::string model, file.string("tokenizer.ggml.model"));
  if (model != "gpt2")
    return invalid("{}: key 'tokenizer.ggml.model': expected \"gpt2\" (byte-level BPE), found \"{}\"",
                   path.string(), model);
  TokenizerParts parts;
  CADRE_TRY(parts.tokens, file.strings("tokenizer.ggml.tokens"));
  CADRE_TRY(parts.merges, file.strings("tokenizer.ggml.merges"));
  if (file.has("tokenizer.ggml.token_type")) {
    CADRE_TRY(const std::vector<int64_t> types, file.integers("tokenizer.ggml.token_type"));
    parts.token_types.assign(types.begin(), types.end());
  }
  CADRE_TRY(const std::string pre_tokenizer, file.string_or("tokenizer.ggml.pre", "default"));
  parts.pre_tokenizer = pre_tokenizer;
  CADRE_TRY(parts.bos, token_id(file, "tokenizer.ggml.bos_token_id"));
  CADRE_TRY(parts.eos, token_id(file, "tokenizer.ggml.eos_token_id"));
  CADRE_TRY(parts.add_bos, file.boolean_or("tokenizer.ggml.add_bos_token", false));
  CADRE_TRY(parts.add_eos, file.boolean_or("tokenizer.ggml.add_eos_token", false));
  CADRE_TRY(Tokenizer tokenizer, Tokenizer::from_parts(parts, path.string()));

  std::optional<std::string> template_text;
  if (file.has("tokenizer.chat_template")) {
    CADRE_TRY(template_text, file.string("tokenizer.chat_template"));
  }
  const auto has_token = [&](std::string_view token) { return tokenizer.find(token).has_value(); };
  CADRE_TRY(const std::string name, file.string_or("general.name", path.stem().string()));
  auto chat_template = load_chat_template(nullptr, template_text, {.name = name, .has_token = has_token});
  TextAssets assets{.tokenizer = std::move(tokenizer), .chat_template = std::move(chat_template)};
  finish(assets);
  CADRE_TRY(const std::optional<int32_t> end_of_turn, token_id(file, "tokenizer.ggml.eot_token_id"));
  if (end_of_turn) add_stop_token(assets.stop_tokens, *end_of_turn);
  return assets;
}

}  // namespace

Result<TextAssets> load_text_assets(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored) && path.extension() != ".gguf") return load_from_directory(path);
  return load_from_gguf(path);
}

}  // namespace cadre
