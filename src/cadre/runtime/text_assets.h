#pragma once
/// What a model needs to speak: its tokenizer, its chat template, its suggested sampling. They lie beside the
/// weights, and can be used without them.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cadre/runtime/sampler.h"
#include "cadre/text/chat_template.h"
#include "cadre/text/tokenizer.h"

namespace cadre {

struct TextAssets {
  Tokenizer tokenizer;
  /// A template's own error surfaces when it is used: a model with a broken template can still run `--raw`.
  Result<ChatTemplate> chat_template;
  std::string bos_token;  ///< as text; empty when the tokenizer names none
  std::string eos_token;
  std::vector<int32_t> stop_tokens;  ///< of generation_config.json, config.json and the tokenizer
  SamplingParams sampling;           ///< of generation_config.json
};

/// From a model directory (tokenizer.json, tokenizer_config.json, chat_template.jinja,
/// generation_config.json, config.json; only the first is required) or a GGUF file, with or without weights.
/// Errors: kNotFound, kInvalid; they name the file and the field.
Result<TextAssets> load_text_assets(const std::filesystem::path& path);

}  // namespace cadre
