#include "cadre/data/tokenizer_trainer.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "cadre/base/file.h"
#include "cadre/base/interrupt.h"
#include "cadre/data/piece_counts.h"
#include "cadre/runtime/tokenizer_document.h"
#include "cadre/text/tokenizer.h"

namespace cadre {
namespace {

constexpr std::string_view kControlTexts[kControlTokens] = {
    "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<｜User｜>", "<｜Assistant｜>"};
constexpr std::string_view kPreTokenizer = "deepseek-v3";

/// DeepSeek-V3's format: system messages first, joined by empty lines; no blanks around the control tokens.
constexpr std::string_view kChatTemplate =
    R"({%- if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif -%}
{%- set ns = namespace(system='') -%}
{%- for message in messages if message['role'] == 'system' -%}
{%- set ns.system = ns.system + ('\n\n' if ns.system else '') + message['content'] -%}
{%- endfor -%}
{{- bos_token + ns.system -}}
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}{{- '<｜User｜>' + message['content'] -}}
{%- elif message['role'] == 'assistant' -%}{{- '<｜Assistant｜>' + message['content'] + eos_token -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<｜Assistant｜>' -}}{%- endif -%})";

std::string_view control_text(ControlToken token) { return kControlTexts[static_cast<int>(token)]; }

Json pre_tokenizer_json() {
  Json stages = Json::array();
  for (const PreTokenizerPreset& preset : pre_tokenizer_presets()) {
    if (preset.name != kPreTokenizer) continue;
    for (const std::string& pattern : preset.patterns)
      stages.push_back({{"type", "Split"},
                        {"pattern", {{"Regex", pattern}}},
                        {"behavior", "Isolated"},
                        {"invert", false}});
  }
  stages.push_back(byte_level_stage());
  return {{"type", "Sequence"}, {"pretokenizers", std::move(stages)}};
}

Json tokenizer_config_json(int64_t model_max_length) {
  return {{"add_bos_token", false},
          {"add_eos_token", false},
          {"bos_token", control_text(ControlToken::kBegin)},
          {"eos_token", control_text(ControlToken::kEnd)},
          {"pad_token", control_text(ControlToken::kPad)},
          {"unk_token", nullptr},
          {"clean_up_tokenization_spaces", false},
          {"model_max_length", model_max_length},
          {"tokenizer_class", "PreTrainedTokenizerFast"},
          {"chat_template", kChatTemplate}};
}

Status write_tokenizer(const std::filesystem::path& out, const Json& tokenizer, int64_t model_max_length) {
  const std::string text = dump_json(tokenizer, 1) + "\n";
  // What we write, we can read: an error here is a mistake of ours, found before anybody relies on the file.
  CADRE_TRY(const Tokenizer check, Tokenizer::from_json(text, "the new tokenizer.json"));
  CADRE_TRY(AtomicFolder folder, AtomicFolder::create(out));
  CADRE_CHECK_OK(write_text_file(folder.temporary() / "tokenizer.json", text));
  CADRE_CHECK_OK(write_text_file(folder.temporary() / "tokenizer_config.json",
                                 dump_json(tokenizer_config_json(model_max_length), 2) + "\n"));
  return folder.commit();
}

}  // namespace

Json trained_tokenizer_json(std::span<const BpeMerge> merges) {
  TokenizerDocument document;
  // Appended without the search for the key, which would take quadratic time; no text is there twice.
  auto& vocabulary = *document.vocabulary.get_ptr<Json::object_t*>();
  for (int i = 0; i < kControlTokens; ++i) {
    vocabulary.emplace_back(std::string(kControlTexts[i]), i);
    document.added.push_back(added_token(i, kControlTexts[i], true));
  }
  std::vector<std::string> texts;
  for (int byte = 0; byte < 256; ++byte) {
    texts.emplace_back(alphabet_character(static_cast<uint8_t>(byte)));
    vocabulary.emplace_back(texts.back(), kControlTokens + byte);
  }
  for (const BpeMerge& merge : merges) {
    const std::string& left = texts[static_cast<size_t>(merge.left)];
    const std::string& right = texts[static_cast<size_t>(merge.right)];
    document.merges.push_back(left + " " + right);
    if (static_cast<size_t>(merge.result) < texts.size()) continue;  // a second way to a token
    texts.push_back(left + right);
    vocabulary.emplace_back(texts.back(), kControlTokens + merge.result);
  }
  document.pre_tokenizer = pre_tokenizer_json();
  return tokenizer_json(std::move(document));
}

Result<TokenizerReport> train_tokenizer(std::span<const std::filesystem::path> files,
                                        const std::filesystem::path& out, const TokenizerOptions& options,
                                        const TokenizerProgress& progress) {
  constexpr int64_t kLeast = kControlTokens + 256;
  constexpr int64_t kMost = int64_t{1} << 20;
  if (options.size < kLeast || options.size > kMost)
    return invalid("a tokenizer of {} tokens: {} to {} expected ({} control tokens, 256 bytes, and merges)",
                   options.size, kLeast, kMost, kControlTokens);
  CADRE_TRY(NamedPreTokenizer named, pre_tokenizer_by_name(kPreTokenizer));
  const PreTokenizer pre_tokenizer(std::move(named.stages));
  PreTokenizerWorkspace workspace;
  PieceCounts counts(options.merge_digits);
  TokenizerReport report;
  const auto count = [&](const Document& document) -> Status {
    ++report.documents;
    report.text_bytes += static_cast<int64_t>(document.bytes());
    for (std::string_view rest = document.text; !rest.empty();)
      pre_tokenizer.split(take_stretch(rest), workspace, counts);
    for (const ChatTurn& turn : document.turns)
      for (std::string_view rest = turn.content; !rest.empty();)
        pre_tokenizer.split(take_stretch(rest), workspace, counts);
    return {};
  };
  CADRE_CHECK_OK(read_corpus(files, options.corpus, count, progress.reading));
  if (report.documents == 0)
    return invalid("no text in {} file(s): nothing to learn tokens from", files.size());
  report.pieces = counts.total();
  report.distinct_pieces = static_cast<int64_t>(counts.distinct());
  report.forgot_pieces = counts.forgot();

  const std::vector<WordCount> words = counts.take();
  const auto merging = [&](int64_t done, int64_t total) -> Status {
    CADRE_CHECK_OK(check_interrupt());
    return progress.merging(done + kControlTokens, total + kControlTokens);
  };
  CADRE_TRY(const std::vector<BpeMerge> merges,
            learn_merges(words, {.tokens = options.size - kControlTokens, .min_count = options.min_count},
                         merging));
  report.tokens = kLeast;
  for (const BpeMerge& merge : merges)
    report.tokens = std::max<int64_t>(report.tokens, kControlTokens + merge.result + 1);
  if (report.tokens < options.size)
    return invalid(
        "{} bytes of text in {} document(s) give {} tokens, {} expected: more text, or a smaller --size",
        report.text_bytes, report.documents, report.tokens, options.size);
  CADRE_CHECK_OK(write_tokenizer(out, trained_tokenizer_json(merges), options.model_max_length));
  return report;
}

}  // namespace cadre
