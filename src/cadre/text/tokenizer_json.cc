// Tokenizer::from_json: Hugging Face's tokenizer.json.
#include "cadre/text/tokenizer.h"
#include "cadre/text/tokenizer_data.h"
#include "cadre/text/tokenizer_json_node.h"

namespace cadre {
namespace {

// No published pre-tokenizer has more than ten; nesting is followed by recursion.
constexpr size_t kMaxStages = 64;
constexpr int kMaxNesting = 8;
// A whole file is held twice while it is read.
constexpr size_t kMaxFileBytes = size_t{1} << 30;

Result<std::string_view> type_of(const JsonNode& node) {
  CADRE_TRY(const JsonNode type, node.get("type"));
  return type.string();
}

tl::unexpected<Error> unsupported(const JsonNode& node, std::string_view what, std::string_view type,
                                  std::string_view supported) {
  return node.error(fmt::format("{} '{}' is not supported; supported: {}", what, type, supported));
}

/// Only "none" is supported, which is also written as an empty Sequence.
Status check_normalizer(const JsonNode& node) {
  CADRE_TRY(const std::string_view type, type_of(node));
  if (type == "Sequence") {
    CADRE_TRY(const JsonNode list, node.get("normalizers"));
    CADRE_TRY(const auto elements, list.array());
    if (elements.size() == 0) return {};
    CADRE_TRY(const std::string_view first, type_of(list.element(elements.at(0).value_unsafe(), 0)));
    return unsupported(list, "the normalizer", first, "none");
  }
  return unsupported(node, "the normalizer", type, "none");
}

Status check_decoder(const JsonNode& node) {
  CADRE_TRY(const std::string_view type, type_of(node));
  if (type == "ByteLevel") return {};
  return unsupported(node, "the decoder", type, "ByteLevel");
}

Result<SplitBehavior> read_behavior(const JsonNode& split) {
  static constexpr std::pair<std::string_view, SplitBehavior> kNames[] = {
      {"Isolated", SplitBehavior::kIsolated},
      {"Removed", SplitBehavior::kRemoved},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous}};
  CADRE_TRY(const JsonNode node, split.get("behavior"));
  CADRE_TRY(const std::string_view name, node.string());
  for (const auto& [known, behavior] : kNames) {
    if (known == name) return behavior;
  }
  return node.expected("Isolated, Removed, MergedWithPrevious, MergedWithNext or Contiguous");
}

Result<Regex> compile(const JsonNode& node, std::string_view pattern) {
  Result<Regex> regex = Regex::compile(pattern);
  if (!regex) return node.error(fmt::format("bad pattern: {}", regex.error().message));
  return regex;
}

Result<PreTokenizerStage> read_split(const JsonNode& node) {
  PreTokenizerStage stage;
  CADRE_TRY(stage.behavior, read_behavior(node));
  CADRE_TRY(stage.invert, node.boolean_or("invert", false));
  CADRE_TRY(const JsonNode pattern, node.get("pattern"));
  CADRE_TRY(const std::optional<JsonNode> regex, pattern.find("Regex"));
  CADRE_TRY(const std::optional<JsonNode> literal, pattern.find("String"));
  if (regex.has_value() == literal.has_value()) return pattern.error("expected either 'Regex' or 'String'");
  const JsonNode& given = regex ? *regex : *literal;
  CADRE_TRY(const std::string_view text, given.string());
  if (text.empty()) return given.error("the pattern is empty");
  CADRE_TRY(stage.pattern, compile(given, regex ? std::string(text) : escape_pattern(text)));
  return stage;
}

Result<PreTokenizerStage> read_digits(const JsonNode& node) {
  PreTokenizerStage stage;
  CADRE_TRY(const bool individual, node.boolean_or("individual_digits", false));
  stage.behavior = individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
  CADRE_TRY(stage.pattern, compile(node, "\\p{N}"));
  return stage;
}

Result<PreTokenizerStage> read_byte_level(const JsonNode& node) {
  PreTokenizerStage stage;
  CADRE_TRY(stage.add_prefix_space, node.boolean_or("add_prefix_space", true));
  CADRE_TRY(const bool use_regex, node.boolean_or("use_regex", true));
  if (use_regex) {
    CADRE_TRY(stage.pattern, compile(node, kGpt2Pattern));
  }
  return stage;
}

/// Reads a tree of Sequences into one list.
class StageReader {
 public:
  Result<std::vector<PreTokenizerStage>> run(const JsonNode& node) {
    CADRE_CHECK_OK(read(node, 0));
    // After ByteLevel the text is in the byte alphabet, where patterns mean something else.
    if (!byte_level_)
      return node.error("expected a ByteLevel stage, found none: only byte-level BPE is supported");
    return std::move(stages_);
  }

 private:
  Status read(const JsonNode& node, int depth) {
    CADRE_TRY(const std::string_view type, type_of(node));
    if (type == "Sequence") return read_sequence(node, depth);
    if (byte_level_) return node.error(fmt::format("a stage ('{}') after ByteLevel is not supported", type));
    if (stages_.size() == kMaxStages) return node.error(fmt::format("more than {} stages", kMaxStages));
    if (type == "Split") return add(read_split(node));
    if (type == "Digits") return add(read_digits(node));
    if (type == "ByteLevel") {
      byte_level_ = true;
      return add(read_byte_level(node));
    }
    return unsupported(node, "the pre-tokenizer", type, "Sequence, Split, Digits, ByteLevel");
  }

  Status read_sequence(const JsonNode& node, int depth) {
    if (depth == kMaxNesting) return node.error(fmt::format("nested deeper than {} levels", kMaxNesting));
    CADRE_TRY(const JsonNode list, node.get("pretokenizers"));
    CADRE_TRY(const auto elements, list.array());
    size_t index = 0;
    for (const simdjson::dom::element element : elements) {
      CADRE_CHECK_OK(read(list.element(element, index++), depth + 1));
    }
    return {};
  }

  Status add(Result<PreTokenizerStage> stage) {
    CADRE_CHECK_OK(stage);
    stages_.push_back(*std::move(stage));
    return {};
  }

  std::vector<PreTokenizerStage> stages_;
  bool byte_level_ = false;
};

Status check_model(const JsonNode& model) {
  // Early files do not name the type; what makes them BPE is their merges.
  CADRE_TRY(const std::optional<JsonNode> type, model.find("type"));
  if (type) {
    CADRE_TRY(const std::string_view name, type->string());
    if (name != "BPE") return unsupported(*type, "the model", name, "BPE");
  }
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    CADRE_TRY(const std::optional<JsonNode> affix, model.find(key));
    if (!affix) continue;
    CADRE_TRY(const std::string_view text, affix->string());
    if (!text.empty()) return affix->error(fmt::format("'{}' is not supported: expected none", text));
  }
  CADRE_TRY(const std::optional<JsonNode> dropout, model.find("dropout"));
  if (dropout) return dropout->expected("null (encoding must be deterministic)");
  CADRE_TRY(const bool byte_fallback, model.boolean_or("byte_fallback", false));
  if (byte_fallback) return model.error("'byte_fallback' is not supported: only byte-level BPE is");
  return {};
}

Status set_entry(const JsonNode& node, int64_t id, const VocabularyEntry& entry,
                 std::vector<VocabularyEntry>& entries) {
  const auto index = static_cast<size_t>(id);
  if (index >= entries.size()) entries.resize(index + 1);
  if (entries[index].present) {
    return node.error(fmt::format("id {} is given to '{}' and to '{}'", id, entries[index].text, entry.text));
  }
  entries[index] = entry;
  return {};
}

Status read_vocabulary(const JsonNode& node, std::vector<VocabularyEntry>& entries) {
  CADRE_TRY(const auto fields, node.object());
  for (const simdjson::dom::key_value_pair field : fields) {
    int64_t id = -1;
    if (field.value.get_int64().get(id) != simdjson::SUCCESS || id < 0 || id >= kMaxTokens) {
      return node.error(fmt::format("token '{}': expected an id from 0 to {}, found {}", field.key,
                                    kMaxTokens - 1,
                                    std::string(simdjson::minify(field.value)).substr(0, 60)));
    }
    CADRE_CHECK_OK(set_entry(node, id, {.text = field.key, .present = true}, entries));
  }
  return {};
}

/// "left right"; nullopt if there is not exactly one blank.
std::optional<MergeText> split_merge(std::string_view text) {
  const size_t blank = text.find(' ');
  if (blank == text.npos || text.find(' ', blank + 1) != text.npos) return std::nullopt;
  return MergeText{.left = text.substr(0, blank), .right = text.substr(blank + 1)};
}

Result<MergeText> read_merge(const JsonNode& node) {
  if (node.is_array()) {
    CADRE_TRY(const auto pair, node.array());
    if (pair.size() != 2) return node.error(fmt::format("expected two tokens, found {}", pair.size()));
    CADRE_TRY(const std::string_view left, node.element(pair.at(0).value_unsafe(), 0).string());
    CADRE_TRY(const std::string_view right, node.element(pair.at(1).value_unsafe(), 1).string());
    return MergeText{.left = left, .right = right};
  }
  CADRE_TRY(const std::string_view text, node.string());
  const std::optional<MergeText> merge = split_merge(text);
  if (!merge) return node.expected("two tokens with a blank between");
  return *merge;
}

Status read_merges(const JsonNode& node, std::vector<MergeText>& merges) {
  CADRE_TRY(const auto elements, node.array());
  for (const simdjson::dom::element element : elements) {
    // 128,000 of them: the path for a message is made only where something is unusual.
    std::string_view text;
    std::optional<MergeText> merge;
    if (element.get_string().get(text) == simdjson::SUCCESS) merge = split_merge(text);
    if (!merge) {
      CADRE_TRY(merge, read_merge(node.element(element, merges.size())));
    }
    merges.push_back(*merge);
  }
  return {};
}

/// An added token may repeat an entry of the vocabulary, which then becomes an added one.
Status add_to_entries(const JsonNode& node, std::string_view content, const AddedToken& token,
                      std::vector<VocabularyEntry>& entries) {
  const VocabularyEntry entry{.text = content, .present = true, .added = true, .special = token.special};
  const auto index = static_cast<size_t>(token.id);
  const bool repeats = index < entries.size() && entries[index].present && entries[index].text == content;
  if (!repeats) return set_entry(node, token.id, entry, entries);
  if (entries[index].added) return node.error(fmt::format("the token '{}' occurs twice", content));
  entries[index] = entry;
  return {};
}

Status read_added_token(const JsonNode& node, TokenizerSource& source) {
  AddedToken token;
  CADRE_TRY(const JsonNode id, node.get("id"));
  CADRE_TRY(const int64_t number, id.integer(0, kMaxTokens - 1));
  CADRE_TRY(const JsonNode content, node.get("content"));
  CADRE_TRY(const std::string_view text, content.string());
  if (text.empty()) return content.error("the token is empty");
  token.id = static_cast<int32_t>(number);
  token.content = text;
  CADRE_TRY(token.special, node.boolean_or("special", false));
  CADRE_TRY(token.normalized, node.boolean_or("normalized", !token.special));
  CADRE_TRY(token.left_strip, node.boolean_or("lstrip", false));
  CADRE_TRY(token.right_strip, node.boolean_or("rstrip", false));
  CADRE_TRY(token.single_word, node.boolean_or("single_word", false));
  CADRE_CHECK_OK(add_to_entries(node, text, token, source.entries));
  source.added.push_back(std::move(token));
  return {};
}

Status read_added_tokens(const JsonNode& root, TokenizerSource& source) {
  CADRE_TRY(const std::optional<JsonNode> list, root.find("added_tokens"));
  if (!list) return {};
  CADRE_TRY(const auto elements, list->array());
  size_t index = 0;
  for (const simdjson::dom::element element : elements) {
    CADRE_CHECK_OK(read_added_token(list->element(element, index++), source));
  }
  return {};
}

Status read_document(const JsonNode& root, TokenizerSource& source) {
  CADRE_TRY(const std::optional<JsonNode> normalizer, root.find("normalizer"));
  if (normalizer) CADRE_CHECK_OK(check_normalizer(*normalizer));
  CADRE_TRY(const std::optional<JsonNode> decoder, root.find("decoder"));
  if (decoder) CADRE_CHECK_OK(check_decoder(*decoder));
  CADRE_TRY(const JsonNode pre_tokenizer, root.get("pre_tokenizer"));
  CADRE_TRY(source.stages, StageReader().run(pre_tokenizer));
  CADRE_TRY(const JsonNode model, root.get("model"));
  CADRE_CHECK_OK(check_model(model));
  CADRE_TRY(source.ignore_merges, model.boolean_or("ignore_merges", false));
  CADRE_TRY(const JsonNode vocabulary, model.get("vocab"));
  CADRE_CHECK_OK(read_vocabulary(vocabulary, source.entries));
  CADRE_TRY(const JsonNode merges, model.get("merges"));
  CADRE_CHECK_OK(read_merges(merges, source.merges));
  return read_added_tokens(root, source);
}

}  // namespace

Result<Tokenizer> Tokenizer::from_json(std::string_view tokenizer_json, std::string_view origin) {
  if (tokenizer_json.size() > kMaxFileBytes) {
    return fail(ErrorKind::kTooLarge, "{}: {} bytes, at most {} are read", origin, tokenizer_json.size(),
                kMaxFileBytes);
  }
  const simdjson::padded_string padded(tokenizer_json);
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (const auto error = parser.parse(padded).get(root); error != simdjson::SUCCESS) {
    return invalid("{}: not valid JSON: {}", origin, simdjson::error_message(error));
  }
  TokenizerSource source{.origin = origin, .vocabulary_field = "model.vocab", .merges_field = "model.merges"};
  CADRE_CHECK_OK(read_document(JsonNode(root, origin, ""), source));
  CADRE_TRY(auto data, build_tokenizer(std::move(source)));
  return Tokenizer(std::move(data));
}

}  // namespace cadre
