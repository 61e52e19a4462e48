#pragma once
/// A tokenizer for models that have none of their own: byte-level BPE without merges, one token a byte.

#include <optional>

#include "cadre/base/json.h"
#include "cadre/model/config.h"

namespace cadre {

/// The two files of a Hugging Face directory.
struct ByteTokenizer {
  Json tokenizer;  ///< tokenizer.json
  Json config;     ///< tokenizer_config.json
};

/// BOS and EOS at the ids that `config` names, the 256 bytes at the lowest ids that are left; higher ids have
/// no text. nullopt when the vocabulary is too small for that.
std::optional<ByteTokenizer> make_byte_tokenizer(const ModelConfig& config);

}  // namespace cadre
