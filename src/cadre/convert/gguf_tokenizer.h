#pragma once
/// A model's tokenizer and chat template, from the JSON files of a directory to GGUF's metadata and back.

#include <filesystem>
#include <string>

#include "cadre/base/json.h"
#include "cadre/convert/convert.h"
#include "cadre/formats/gguf.h"
#include "cadre/formats/gguf_writer.h"
#include "cadre/model/config.h"

namespace cadre::convert {

/// Adds the tokenizer of the directory `in`: tokens up to the model's vocab_size (ids without a token become
/// unused ones), their types, merges, special ids and chat template. Without a tokenizer.json, the file says
/// that it has no tokenizer. `pre_tokenizer`: as ConvertOptions.
/// Errors: kInvalid for what GGUF cannot say (a pre-tokenizer without a name, added tokens that strip space),
/// naming file and field.
Status add_tokenizer(const std::filesystem::path& in, const ModelConfig& config,
                     const std::string& pre_tokenizer, GgufMetadata& metadata, Notes& notes);

/// The files that a directory needs, from a GGUF file's metadata.
struct TokenizerFiles {
  Json tokenizer;  ///< tokenizer.json; null when the GGUF file has no tokenizer
  Json config;     ///< tokenizer_config.json
};

/// Errors: kInvalid for a vocabulary that is not byte-level BPE or a pre-tokenizer that is not known, naming
/// file and key.
Result<TokenizerFiles> tokenizer_files(const GgufFile& file);

}  // namespace cadre::convert
