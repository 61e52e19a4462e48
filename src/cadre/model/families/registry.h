#pragma once
/// The architectures that cadre runs. A family turns a config.json into a ModelConfig and says what its
/// checkpoint's tensors are called; adding one is a file beside this and a line in registry.cc.

#include <span>
#include <string_view>

#include "cadre/base/json.h"
#include "cadre/base/result.h"
#include "cadre/formats/gguf.h"
#include "cadre/formats/gguf_writer.h"
#include "cadre/model/transformer.h"

namespace cadre {

struct Family {
  std::string_view model_type;  ///< config.json's "model_type"
  /// Errors: kInvalid, naming the field that is missing, of the wrong type, or contradicts another.
  Result<ModelConfig> (*read_config)(const JsonFields& config);
  /// Calls the visitor once per weight, layer by layer, with names as in the published checkpoints.
  void (*visit_weights)(Transformer& model, WeightVisitor visitor);
  std::string_view gguf = {};  ///< the GgufArchitecture that it is written as; empty: none
};

/// A llama.cpp architecture, read as the family that it was converted from.
struct GgufArchitecture {
  std::string_view name;  ///< "general.architecture"
  /// The config.json that the metadata stands for.
  Result<Json> (*config)(const GgufFile& file);
  /// The GGUF tensor that holds what the family calls `name`; an expert's is a slice of a stack.
  /// Empty when the architecture has no such tensor.
  struct Source {
    std::string tensor;
    int64_t expert = -1;  ///< slice of the first dimension, or -1 for the whole
  };
  Source (*source)(std::string_view name);
  /// The way back from a configuration: adds the architecture's keys (those that `config` reads, in absorbed
  /// form). Errors: kInvalid for a field of `origin` (a config.json) that GGUF cannot say.
  Status (*add_metadata)(const ModelConfig& config, const std::string& origin, GgufMetadata& metadata);
};

std::span<const Family> families();
std::span<const GgufArchitecture> gguf_architectures();

/// Errors: kInvalid, listing what is supported.
Result<const Family*> find_family(std::string_view model_type, std::string_view origin);
Result<const GgufArchitecture*> find_gguf_architecture(std::string_view name, std::string_view origin);

/// Reads `model_type` from a config.json and lets its family read the rest.
Result<ModelConfig> read_model_config(const Json& config, const std::string& origin);

}  // namespace cadre
