// Any text as a JSON schema: an error that names its place, or a grammar without dead ends whose texts are
// JSON. What follows the first zero byte chooses the way through the grammar.
#include <algorithm>
#include <string>

#include "cadre/base/check.h"
#include "cadre/text/grammar_matcher.h"
#include "cadre/text/json_schema.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = std::min(input.find('\0'), input.size());
  const auto schema = cadre::parse_json(input.substr(0, zero), "fuzz");
  if (!schema) return 0;
  const auto grammar = cadre::JsonGrammar::from_schema(*schema, "fuzz");
  if (!grammar) {
    CADRE_CHECK(grammar.error().message.starts_with("fuzz"), "{}", grammar.error().message);
    return 0;
  }
  cadre::GrammarMatcher matcher(grammar->shared());
  auto state = matcher.start();
  std::string text;
  for (size_t i = 0; i < 400 && !matcher.must_end(state); ++i) {
    const size_t at = zero + 1 + i;
    const uint8_t first = at < input.size() ? static_cast<uint8_t>(input[at]) : '"';
    auto next = cadre::GrammarMatcher::kNoState;
    for (int tried = 0; tried < 256 && next == cadre::GrammarMatcher::kNoState; ++tried) {
      const auto byte = static_cast<uint8_t>(first + tried);
      next = matcher.step(state, byte);
      if (next != cadre::GrammarMatcher::kNoState) text += static_cast<char>(byte);
    }
    CADRE_CHECK(next != cadre::GrammarMatcher::kNoState, "dead end after {}", text);
    state = next;
  }
  if (matcher.may_end(state)) {
    const auto value = cadre::parse_json(text, "text");
    CADRE_CHECK(value, "{}: {}", value.error().message, text);
  }
  return 0;
}
