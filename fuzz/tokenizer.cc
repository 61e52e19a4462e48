// The tokenizer's two inputs from outside: a tokenizer.json, and text.
#include <cstdint>
#include <string>
#include <vector>

#include "cadre/base/check.h"
#include "cadre/text/bpe.h"
#include "cadre/text/stream_decoder.h"
#include "cadre/text/tokenizer.h"
#include "cadre/text/utf8.h"

namespace {

using cadre::Tokenizer;

/// All bytes, some merges and added tokens; one pre-tokenizer by name.
Tokenizer built_in(std::string_view pre_tokenizer) {
  std::vector<std::string> tokens;
  tokens.reserve(256);
  for (int byte = 0; byte < 256; ++byte) {
    tokens.emplace_back(cadre::alphabet_character(static_cast<uint8_t>(byte)));
  }
  tokens.insert(tokens.end(), {"ab", "abc", "Ġab", "aa", "aaaa", "ĠĠ", "ÿÿ", "<s>", "<｜User｜>", "｜"});
  cadre::TokenizerParts parts;
  parts.tokens.assign(tokens.begin(), tokens.end());
  parts.token_types.assign(tokens.size(), 1);
  for (size_t i = 1; i <= 3; ++i) parts.token_types[tokens.size() - i] = 4;
  parts.merges = {"a b", "ab c", "Ġ ab", "a a", "aa aa", "Ġ Ġ", "ÿ ÿ"};
  parts.pre_tokenizer = pre_tokenizer;
  return Tokenizer::from_parts(parts, "built-in").value();
}

void round_trip(const Tokenizer& tokenizer, std::string_view text) {
  for (const bool parse_special : {false, true}) {
    const auto ids = tokenizer.encode(text, {.parse_special = parse_special});
    CADRE_CHECK(ids.has_value(), "{}", ids.error().message);
    CADRE_CHECK(tokenizer.decode(*ids) == std::string(text));
    cadre::StreamDecoder decoder(tokenizer);
    std::string shown;
    for (const int32_t id : *ids) shown += decoder.push(id).value();
    shown += decoder.finish();
    CADRE_CHECK(shown == cadre::replace_invalid_utf8(text));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  static const Tokenizer kTokenizers[] = {built_in("deepseek-v3"), built_in("deepseek-llm"),
                                          built_in("llama-bpe")};
  for (const Tokenizer& tokenizer : kTokenizers) round_trip(tokenizer, input);

  // What loads must also work, though not without loss: a file may ask for spaces to be added or removed.
  const auto loaded = Tokenizer::from_json(input, "fuzz");
  if (!loaded) {
    CADRE_CHECK(loaded.error().message.starts_with("fuzz: "), "{}", loaded.error().message);
    return 0;
  }
  const auto ids = loaded->encode("Hello, w\u00F6rld 123 \u4F60\u597D <s> \xE4\xBD ab  c\r\n\n");
  if (ids) CADRE_CHECK(loaded->decode(*ids).has_value());
  return 0;
}
