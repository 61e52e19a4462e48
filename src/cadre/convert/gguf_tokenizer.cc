#include "cadre/convert/gguf_tokenizer.h"

#include <algorithm>
#include <map>

#include "cadre/base/file.h"
#include "cadre/runtime/text_assets.h"
#include "cadre/runtime/tokenizer_document.h"
#include "cadre/text/pre_tokenizer.h"
#include "cadre/text/tokenizer.h"
#include "cadre/text/utf8.h"

namespace cadre::convert {
namespace {

namespace fs = std::filesystem;

/// llama.cpp's token types.
constexpr int32_t kNormal = 1;
constexpr int32_t kUnknown = 2;
constexpr int32_t kControl = 3;
constexpr int32_t kUserDefined = 4;
constexpr int32_t kUnused = 5;

const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto at = object.find(key);
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

/// A field that is a string; `fallback` when it is absent or something else.
std::string text_or(const Json& object, const char* key, const char* fallback) {
  const Json* value = member(object, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : fallback;
}

bool flag_or(const Json& object, const char* key, bool fallback) {
  const Json* value = member(object, key);
  return value != nullptr && value->is_boolean() ? value->get<bool>() : fallback;
}

/// Collects the patterns of a tree of pre-tokenizers; false where it has what no named one has.
bool collect_patterns(const Json& node, std::vector<std::string>& patterns) {
  const std::string type = text_or(node, "type", "");
  if (type == "Sequence") {
    const Json* list = member(node, "pretokenizers");
    return list != nullptr && list->is_array() &&
           std::all_of(list->begin(), list->end(), [&](const Json& item) {
             return item.is_object() && collect_patterns(item, patterns);
           });
  }
  if (type == "Split") {
    const Json* pattern = member(node, "pattern");
    const Json* regex = pattern == nullptr ? nullptr : member(*pattern, "Regex");
    if (regex == nullptr || !regex->is_string() || text_or(node, "behavior", "") != "Isolated" ||
        flag_or(node, "invert", false))
      return false;
    patterns.push_back(regex->get<std::string>());
    return true;
  }
  if (type == "Digits") {
    patterns.emplace_back(flag_or(node, "individual_digits", false) ? R"(\p{N})" : R"(\p{N}+)");
    return true;
  }
  if (type != "ByteLevel" || flag_or(node, "add_prefix_space", true)) return false;
  if (flag_or(node, "use_regex", true)) patterns.emplace_back(kGpt2Pattern);
  return true;
}

/// A pattern with line breaks as characters: some files write them so, others as escapes.
std::string with_plain_breaks(std::string_view pattern) {
  std::string plain;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char next = pattern[i] == '\\' && i + 1 < pattern.size() ? pattern[++i] : '\0';
    if (next == '\0') {
      plain += pattern[i];
    } else if (next == 'r' || next == 'n') {
      plain += next == 'r' ? '\r' : '\n';
    } else {
      plain += '\\';
      plain += next;
    }
  }
  return plain;
}

bool same_patterns(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const std::string& x, const std::string& y) {
    return with_plain_breaks(x) == with_plain_breaks(y);
  });
}

/// The name under which GGUF's readers have this file's patterns.
Result<std::string> find_pre_tokenizer(const Json& tokenizer, const Json& model, bool has_merges,
                                       const std::string& origin) {
  // Without merges every piece becomes its bytes, wherever it is cut.
  if (!has_merges) return "gpt-2";
  std::vector<std::string> patterns;
  const Json* node = member(tokenizer, "pre_tokenizer");
  std::string names;
  if (node != nullptr && node->is_object() && collect_patterns(*node, patterns)) {
    const bool ignore_merges = flag_or(model, "ignore_merges", false);
    for (const PreTokenizerPreset& preset : pre_tokenizer_presets())
      if (same_patterns(preset.patterns, patterns) && preset.ignore_merges == ignore_merges)
        return std::string(preset.name);
  }
  for (const PreTokenizerPreset& preset : pre_tokenizer_presets())
    names += fmt::format("{}{}", names.empty() ? "" : ", ", preset.name);
  return invalid(
      "{}: field 'pre_tokenizer': GGUF has a name for some only ({}), and its patterns are of none of them; "
      "--pre "
      "NAME chooses one",
      origin, names);
}

struct Vocabulary {
  std::vector<std::string> tokens;  ///< by id
  std::vector<int32_t> types;
};

Status put_token(Vocabulary& vocabulary, int64_t id, const std::string& text, int32_t type,
                 const std::string& where) {
  const auto size = static_cast<int64_t>(vocabulary.tokens.size());
  if (id < 0 || id >= size)
    return invalid("{}: expected ids from 0 to vocab_size - 1 = {}, found {}", where, size - 1, id);
  vocabulary.tokens[static_cast<size_t>(id)] = text;
  vocabulary.types[static_cast<size_t>(id)] = type;
  return {};
}

/// The tokenizer's own reader has checked the fields' types.
Result<Vocabulary> collect_vocabulary(const Json& tokenizer, const Json& model, int64_t size,
                                      const std::string& origin) {
  Vocabulary vocabulary;
  for (int64_t id = 0; id < size; ++id) vocabulary.tokens.push_back(fmt::format("[PAD{}]", id));
  vocabulary.types.assign(static_cast<size_t>(size), kUnused);
  for (const auto& [text, id] : model["vocab"].items())
    CADRE_CHECK_OK(put_token(vocabulary, id.get<int64_t>(), text, kNormal,
                             fmt::format("{}: field 'model.vocab': token '{}'", origin, text)));
  const Json* added = member(tokenizer, "added_tokens");
  if (added == nullptr) return vocabulary;
  for (const Json& token : *added) {
    const auto content = text_or(token, "content", "");
    const std::string where = fmt::format("{}: field 'added_tokens': token '{}'", origin, content);
    for (const char* flag : {"lstrip", "rstrip", "single_word"})
      if (flag_or(token, flag, false)) return invalid("{}: GGUF has no '{}'", where, flag);
    CADRE_CHECK_OK(put_token(vocabulary, token.value("id", int64_t{-1}), content,
                             flag_or(token, "special", false) ? kControl : kUserDefined, where));
  }
  return vocabulary;
}

/// A merge is "left right", or a list of the two.
std::string merge_text(const Json& merge) {
  if (merge.is_string()) return merge.get<std::string>();
  return merge[0].get<std::string>() + " " + merge[1].get<std::string>();
}

void add_special_ids(const Tokenizer& tokenizer, const ModelConfig& config, GgufMetadata& metadata,
                     Notes& notes) {
  const auto add = [&](std::string_view key, int32_t id) { metadata.add(key, static_cast<uint32_t>(id)); };
  const std::optional<int32_t> bos = tokenizer.bos() ? tokenizer.bos() : config.bos_token_id;
  if (bos) add("tokenizer.ggml.bos_token_id", *bos);
  std::vector<int32_t> ends;
  if (tokenizer.eos()) ends.push_back(*tokenizer.eos());
  for (const int32_t id : config.eos_token_ids)
    if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
  if (!ends.empty()) add("tokenizer.ggml.eos_token_id", ends[0]);
  if (ends.size() > 1) add("tokenizer.ggml.eot_token_id", ends[1]);
  if (ends.size() > 2) notes.add(fmt::format("{} tokens end an answer; GGUF names two of them", ends.size()));
  metadata.add("tokenizer.ggml.add_bos_token", tokenizer.adds_bos());
  metadata.add("tokenizer.ggml.add_eos_token", tokenizer.adds_eos());
}

Result<Json> read_json_or_null(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return Json();
  return read_json_file(path.string());
}

/// chat_template.jinja, else `chat_template` of tokenizer_config.json: a text, or a list of named ones.
Result<std::optional<std::string>> chat_template(const fs::path& in, const Json& config, Notes& notes) {
  const fs::path file = in / "chat_template.jinja";
  std::error_code ignored;
  if (fs::exists(file, ignored)) {
    CADRE_TRY(std::string text, read_text_file(file));
    return std::optional<std::string>(std::move(text));
  }
  const Json* value = member(config, "chat_template");
  if (value == nullptr) return std::optional<std::string>();
  if (value->is_string()) return std::optional<std::string>(value->get<std::string>());
  if (value->is_array())
    for (const Json& item : *value)
      if (text_or(item, "name", "") == "default" && !text_or(item, "template", "").empty()) {
        if (value->size() > 1) notes.add("of several chat templates, GGUF holds the default one");
        return std::optional<std::string>(item["template"].get<std::string>());
      }
  return invalid("{}: field 'chat_template': expected a text or a list with a default one, found {}",
                 (in / "tokenizer_config.json").string(), describe_json(*value));
}

/// The stages of a named pre-tokenizer, as tokenizer.json writes them.
Result<Json> pre_tokenizer_json(const GgufFile& file, bool& ignore_merges) {
  CADRE_TRY(const std::string name, file.string_or("tokenizer.ggml.pre", "default"));
  for (const PreTokenizerPreset& preset : pre_tokenizer_presets()) {
    if (preset.name != name) continue;
    ignore_merges = preset.ignore_merges;
    Json stages = Json::array();
    for (const std::string& pattern : preset.patterns)
      stages.push_back({{"type", "Split"},
                        {"pattern", {{"Regex", pattern}}},
                        {"behavior", "Isolated"},
                        {"invert", false}});
    stages.push_back(byte_level_stage());
    return Json{{"type", "Sequence"}, {"pretokenizers", stages}};
  }
  return invalid("{}: key 'tokenizer.ggml.pre': '{}' is not a pre-tokenizer that is known here",
                 file.path().string(), name);
}

Result<Json> tokenizer_config(const GgufFile& file, const std::vector<std::string_view>& tokens) {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}};
  for (const auto& [field, key] : {std::pair("bos_token", "tokenizer.ggml.bos_token_id"),
                                   std::pair("eos_token", "tokenizer.ggml.eos_token_id")}) {
    if (!file.has(key)) continue;
    CADRE_TRY(const int64_t id, file.integer(key, 0, static_cast<int64_t>(tokens.size()) - 1));
    config[field] = tokens[static_cast<size_t>(id)];
  }
  CADRE_TRY(config["add_bos_token"], file.boolean_or("tokenizer.ggml.add_bos_token", false));
  CADRE_TRY(config["add_eos_token"], file.boolean_or("tokenizer.ggml.add_eos_token", false));
  if (file.has("tokenizer.chat_template")) {
    CADRE_TRY(config["chat_template"], file.string("tokenizer.chat_template"));
  }
  return config;
}

}  // namespace

Status add_tokenizer(const fs::path& in, const ModelConfig& config, const std::string& pre_tokenizer,
                     GgufMetadata& metadata, Notes& notes) {
  const fs::path path = in / "tokenizer.json";
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    metadata.add_string("tokenizer.ggml.model", "none");
    notes.add("there is no tokenizer.json: the GGUF file has no tokenizer");
    return {};
  }
  const std::string origin = path.string();
  CADRE_TRY(const std::string text, read_text_file(path));
  CADRE_TRY(Tokenizer tokenizer, Tokenizer::from_json(text, origin));
  const fs::path config_path = in / "tokenizer_config.json";
  CADRE_TRY(const Json tokenizer_config, read_json_or_null(config_path));
  if (!tokenizer_config.is_null())
    CADRE_CHECK_OK(tokenizer.apply_config(JsonFields(tokenizer_config, config_path.string())));

  CADRE_TRY(const Json json, parse_json(text, origin));
  const Json& model = json["model"];
  std::vector<std::string> merges;
  if (const Json* list = member(model, "merges"))
    for (const Json& merge : *list) merges.push_back(merge_text(merge));
  std::string pre = pre_tokenizer;
  if (pre.empty()) {
    CADRE_TRY(pre, find_pre_tokenizer(json, model, !merges.empty(), origin));
  } else {
    CADRE_CHECK_OK(pre_tokenizer_by_name(pre));
  }
  CADRE_TRY(const Vocabulary vocabulary, collect_vocabulary(json, model, config.vocab_size, origin));

  metadata.add_string("tokenizer.ggml.model", "gpt2");
  metadata.add_string("tokenizer.ggml.pre", pre);
  const auto add_strings = [&](std::string_view key, const std::vector<std::string>& values) {
    metadata.add_strings(key, std::vector<std::string_view>(values.begin(), values.end()));
  };
  add_strings("tokenizer.ggml.tokens", vocabulary.tokens);
  metadata.add_array<int32_t>("tokenizer.ggml.token_type", vocabulary.types);
  add_strings("tokenizer.ggml.merges", merges);
  add_special_ids(tokenizer, config, metadata, notes);
  CADRE_TRY(const std::optional<std::string> chat, chat_template(in, tokenizer_config, notes));
  if (chat) metadata.add_string("tokenizer.chat_template", *chat);
  return {};
}

Result<TokenizerFiles> tokenizer_files(const GgufFile& file) {
  CADRE_TRY(const std::string kind, file.string_or("tokenizer.ggml.model", "none"));
  if (kind == "none" || kind == "no_vocab") return TokenizerFiles{};
  if (kind != "gpt2")
    return invalid(
        "{}: key 'tokenizer.ggml.model': expected \"gpt2\" (byte-level BPE) or \"none\", found \"{}\"",
        file.path().string(), kind);
  CADRE_TRY(const std::vector<std::string_view> tokens, file.strings("tokenizer.ggml.tokens"));
  CADRE_TRY(const std::vector<std::string_view> merges, file.strings("tokenizer.ggml.merges"));
  std::vector<int64_t> types(tokens.size(), kNormal);
  if (file.has("tokenizer.ggml.token_type")) {
    CADRE_TRY(types, file.integers("tokenizer.ggml.token_type"));
    if (types.size() != tokens.size())
      return invalid("{}: key 'tokenizer.ggml.token_type': expected {} values, one per token, found {}",
                     file.path().string(), tokens.size(), types.size());
  }
  // What the tokenizer's own reader refuses (tokens given twice, merges of unknown ones) is refused here too.
  CADRE_CHECK_OK(load_text_assets(file.path()));
  Json vocabulary = Json::object();
  Json added = Json::array();
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (valid_utf8_prefix(tokens[id]) != tokens[id].size())
      return invalid("{}: key 'tokenizer.ggml.tokens[{}]': expected UTF-8, found '{}'", file.path().string(),
                     id, shown(tokens[id]));
    const bool special = types[id] == kControl || types[id] == kUnknown;
    if (special || types[id] == kUserDefined) {
      added.push_back(added_token(static_cast<int64_t>(id), tokens[id], special));
    } else if (types[id] != kUnused) {
      vocabulary[std::string(tokens[id])] = id;
    }
  }
  bool ignore_merges = false;
  CADRE_TRY(const Json pre_tokenizer, pre_tokenizer_json(file, ignore_merges));
  TokenizerFiles files;
  files.tokenizer = tokenizer_json({.vocabulary = std::move(vocabulary),
                                    .merges = merges,
                                    .added = std::move(added),
                                    .pre_tokenizer = pre_tokenizer,
                                    .ignore_merges = ignore_merges});
  CADRE_TRY(files.config, tokenizer_config(file, tokens));
  return files;
}

}  // namespace cadre::convert
