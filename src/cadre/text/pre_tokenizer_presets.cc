// The pre-tokenizers that GGUF files name instead of describing. The patterns are those of the models' own
// tokenizer.json where there is one, so they are written in Oniguruma's dialect.
#include <array>

#include "cadre/text/pre_tokenizer.h"
#include "cadre/text/utf8.h"

namespace cadre {
namespace {

// Punctuation, meant to be; but `:-~` holds the ASCII letters too, so this cuts "Été" in three.
constexpr std::string_view kDeepseekLlmPunctuation =
    "\\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+";
// CJK ideographs, everything from U+0800 up to them, and Hangul.
constexpr std::string_view kDeepseekCjk = "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+";
constexpr std::string_view kDeepseekV3Words =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// The letters that deepseek-llm writes out one range at a time: most of what has case in Latin, Greek,
/// Cyrillic, Armenian, Georgian, Cherokee, Glagolitic, Coptic and smaller scripts of Unicode 11.
constexpr char32_t kDeepseekLlmLetters[][2] = {
    {0x41, 0x5A},       {0x61, 0x7A},       {0xB5, 0xB5},       {0xC0, 0xD6},       {0xD8, 0xF6},
    {0xF8, 0x1BA},      {0x1BC, 0x1BF},     {0x1C4, 0x293},     {0x295, 0x2AF},     {0x370, 0x373},
    {0x376, 0x377},     {0x37B, 0x37D},     {0x37F, 0x37F},     {0x386, 0x386},     {0x388, 0x38A},
    {0x38C, 0x38C},     {0x38E, 0x3A1},     {0x3A3, 0x3F5},     {0x3F7, 0x481},     {0x48A, 0x52F},
    {0x531, 0x556},     {0x10A0, 0x10C5},   {0x13A0, 0x13F5},   {0x13F8, 0x13FD},   {0x1C90, 0x1CBA},
    {0x1CBD, 0x1CBF},   {0x1D00, 0x1D2B},   {0x1D6B, 0x1D77},   {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},
    {0x1F18, 0x1F1D},   {0x1F20, 0x1F45},   {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},
    {0x1F5B, 0x1F5B},   {0x1F5D, 0x1F5D},   {0x1F5F, 0x1F7D},   {0x1F80, 0x1FB4},   {0x1FB6, 0x1FBC},
    {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},   {0x1FC6, 0x1FCC},   {0x1FD0, 0x1FD3},   {0x1FD6, 0x1FDB},
    {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},   {0x1FF6, 0x1FFC},   {0x2102, 0x2102},   {0x2107, 0x2107},
    {0x210A, 0x2113},   {0x2115, 0x2115},   {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},
    {0x2128, 0x2128},   {0x212A, 0x212D},   {0x212F, 0x2134},   {0x2139, 0x2139},   {0x213C, 0x213F},
    {0x2145, 0x2149},   {0x214E, 0x214E},   {0x2183, 0x2184},   {0x2C00, 0x2C7B},   {0x2C7E, 0x2CE4},
    {0x2CEB, 0x2CEE},   {0x2CF2, 0x2CF3},   {0xA640, 0xA66D},   {0xA680, 0xA69B},   {0xA722, 0xA76F},
    {0xA771, 0xA787},   {0xA78B, 0xA78E},   {0xAB70, 0xABBF},   {0xFB00, 0xFB06},   {0xFB13, 0xFB17},
    {0xFF21, 0xFF3A},   {0xFF41, 0xFF5A},   {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB},
    {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943},
};

std::string deepseek_llm_words() {
  std::string pattern = "\\s?[";
  for (const auto& [first, last] : kDeepseekLlmLetters) {
    append_utf8(pattern, first);
    if (last > first) {
      pattern += '-';
      append_utf8(pattern, last);
    }
  }
  return pattern + "]+";
}

}  // namespace

std::vector<PreTokenizerPreset> pre_tokenizer_presets() {
  const std::vector<std::string> v3 = {"\\p{N}{1,3}", "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+",
                                       std::string(kDeepseekV3Words)};
  const std::string gpt2(kGpt2Pattern);
  return {
      {.name = "gpt-2", .patterns = {gpt2}},
      {.name = "default", .patterns = {"[\\p{P}\\$\\+<=>\\^~\\|]+", gpt2, "\\p{N}+", "[0-9][0-9][0-9]"}},
      {.name = "deepseek-llm",
       .patterns = {"[\r\n]", deepseek_llm_words(), std::string(kDeepseekLlmPunctuation), "\\s+$",
                    std::string(kDeepseekCjk), "\\p{N}+"}},
      {.name = "deepseek-coder",
       .patterns = {"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", std::string(kDeepseekCjk), "\\p{N}"}},
      {.name = "deepseek-v3", .patterns = v3},
      {.name = "joyai-llm", .patterns = v3},
      {.name = "llama-bpe", .patterns = {std::string(kLlama3)}, .ignore_merges = true},
      {.name = "llama3", .patterns = {std::string(kLlama3)}, .ignore_merges = true},
      {.name = "qwen2", .patterns = {std::string(kQwen2)}},
      {.name = "deepseek-r1-qwen", .patterns = {std::string(kQwen2)}},
  };
}

Result<NamedPreTokenizer> pre_tokenizer_by_name(std::string_view name) {
  std::string known;
  for (const PreTokenizerPreset& preset : pre_tokenizer_presets()) {
    if (preset.name == name) {
      NamedPreTokenizer named{.ignore_merges = preset.ignore_merges};
      for (const std::string& pattern : preset.patterns) {
        CADRE_TRY(Regex regex, Regex::compile(pattern));
        named.stages.push_back({.pattern = std::move(regex)});
      }
      return named;
    }
    known += fmt::format("{}'{}'", known.empty() ? "" : ", ", preset.name);
  }
  return invalid("expected one of {}, found '{}'", known, name);
}

}  // namespace cadre
