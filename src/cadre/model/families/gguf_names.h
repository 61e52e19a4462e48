#pragma once
/// Shared by the GGUF architectures: tensor names of llama.cpp for the names of Hugging Face checkpoints.

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "cadre/formats/gguf_writer.h"
#include "cadre/model/families/registry.h"

namespace cadre::gguf {

struct LayerName {
  std::string_view hf;    ///< after "model.layers.N."
  std::string_view gguf;  ///< after "blk.N."
};

/// The source of a family's tensor: the embedding, the head, the final norm, an entry of `layer_names`, or an
/// expert's slice of a stack ("mlp.experts.I.gate_proj.weight" of "ffn_gate_exps.weight").
GgufArchitecture::Source find_source(std::string_view name, std::span<const LayerName> layer_names);

/// Fields common to every architecture, as config.json has them. `prefix` is the architecture's name.
Result<Json> common_config(const GgufFile& file, std::string_view prefix);

/// Adds the keys that common_config reads; the token ids are the tokenizer's to add.
void add_common(const ModelConfig& config, std::string_view prefix, GgufMetadata& metadata);

/// The error that GGUF cannot say what `field` of `origin` says.
inline tl::unexpected<Error> no_gguf_for(const std::string& origin, std::string_view field,
                                         std::string_view why) {
  return invalid("{}: field '{}': {}", origin, field, why);
}

/// Vocabulary size: the key, else the number of tokenizer entries, else the embedding's rows.
Result<int64_t> vocab_size(const GgufFile& file, std::string_view prefix);

}  // namespace cadre::gguf
