// Tokenizer::from_parts: vocabularies as GGUF files hold them.
#include "cadre/text/tokenizer.h"
#include "cadre/text/tokenizer_data.h"

namespace cadre {
namespace {

/// llama.cpp's token types.
enum TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kLast = 6 };

Status add_tokens(const TokenizerParts& parts, std::string_view origin, TokenizerSource& source) {
  const size_t count = parts.tokens.size();
  if (count == 0 || count > static_cast<size_t>(kMaxTokens)) {
    return invalid("{}: field 'tokenizer.ggml.tokens': expected 1 to {} tokens, found {}", origin, kMaxTokens,
                   count);
  }
  if (!parts.token_types.empty() && parts.token_types.size() != count) {
    return invalid("{}: field 'tokenizer.ggml.token_type': expected {} values, one per token, found {}",
                   origin, count, parts.token_types.size());
  }
  source.entries.resize(count);
  for (size_t id = 0; id < count; ++id) {
    const int32_t type = parts.token_types.empty() ? kNormal : parts.token_types[id];
    if (type < 0 || type > kLast) {
      return invalid("{}: field 'tokenizer.ggml.token_type[{}]': expected 0 to {}, found {}", origin, id,
                     static_cast<int>(kLast), type);
    }
    const std::string_view text = parts.tokens[id];
    const bool special = type == kControl || type == kUnknown;
    const bool added = (special || type == kUserDefined) && !text.empty();
    source.entries[id] = {.text = text, .present = true, .added = added, .special = special};
    if (added) {
      source.added.push_back(
          {.content = std::string(text), .id = static_cast<int32_t>(id), .special = special});
    }
  }
  return {};
}

/// A vocabulary of single bytes has none.
Status add_merges(const TokenizerParts& parts, std::string_view origin, TokenizerSource& source) {
  source.merges.reserve(parts.merges.size());
  for (size_t rank = 0; rank < parts.merges.size(); ++rank) {
    const std::string_view text = parts.merges[rank];
    const size_t blank = text.find(' ', 1);
    if (blank == text.npos || blank + 1 == text.size()) {
      return invalid(
          "{}: field 'tokenizer.ggml.merges[{}]': expected two tokens with a blank between, found '{}'",
          origin, rank, text);
    }
    source.merges.push_back({.left = text.substr(0, blank), .right = text.substr(blank + 1)});
  }
  return {};
}

Status check_id(const std::optional<int32_t>& id, size_t count, std::string_view field,
                std::string_view origin) {
  if (!id || (*id >= 0 && static_cast<size_t>(*id) < count)) return {};
  return invalid("{}: field '{}': expected an id from 0 to {}, found {}", origin, field, count - 1, *id);
}

}  // namespace

Result<Tokenizer> Tokenizer::from_parts(const TokenizerParts& parts, std::string_view origin) {
  TokenizerSource source{
      .origin = origin, .vocabulary_field = "tokenizer.ggml.tokens", .merges_field = "tokenizer.ggml.merges"};
  CADRE_CHECK_OK(add_tokens(parts, origin, source));
  CADRE_CHECK_OK(add_merges(parts, origin, source));
  CADRE_CHECK_OK(check_id(parts.bos, parts.tokens.size(), "tokenizer.ggml.bos_token_id", origin));
  CADRE_CHECK_OK(check_id(parts.eos, parts.tokens.size(), "tokenizer.ggml.eos_token_id", origin));
  Result<NamedPreTokenizer> named = pre_tokenizer_by_name(parts.pre_tokenizer);
  if (!named) return invalid("{}: field 'tokenizer.ggml.pre': {}", origin, named.error().message);
  source.stages = std::move(named->stages);
  source.ignore_merges = named->ignore_merges;
  CADRE_TRY(auto data, build_tokenizer(std::move(source)));
  Tokenizer tokenizer(std::move(data));
  tokenizer.bos_ = parts.bos;
  tokenizer.eos_ = parts.eos;
  tokenizer.add_bos_ = parts.add_bos;
  tokenizer.add_eos_ = parts.add_eos;
  return tokenizer;
}

}  // namespace cadre
