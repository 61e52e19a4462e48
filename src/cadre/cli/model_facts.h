#pragma once
/// What `cadre inspect` knows of a model, and how it is shown.

#include <map>
#include <string>
#include <vector>

#include "cadre/base/json.h"
#include "cadre/runtime/model.h"

namespace cadre::cli {

struct TensorFacts {
  std::string name;
  WeightRole role;
  std::string dtype;  ///< empty for a shape without a checkpoint
  Shape shape;
  int64_t bytes = 0;
};

struct ModelFacts {
  std::string source;  ///< path, or the name of a shape
  ModelConfig config;
  ModelSize size;
  bool has_weights = false;        ///< false: bytes and types are not known
  int64_t unused_bytes = 0;        ///< of tensors in the files that the model does not read (MTP layers, ...)
  int64_t kv_bytes_per_token = 0;  ///< bf16
  std::vector<TensorFacts> tensors;

  int64_t dense_layers() const;
  /// Tensors of each type among those of a role.
  std::map<std::string, int64_t> dtypes(WeightRole role) const;
};

/// Of a checkpoint. Errors: as Checkpoint::find.
Result<ModelFacts> checkpoint_facts(const Model& model);
/// Of a config.json alone. Errors: as read_model_config.
Result<ModelFacts> shape_facts(const Json& config, const std::string& name);

Json to_json(const ModelFacts& facts, bool with_tensors);
std::string to_text(const ModelFacts& facts);
std::string tensor_table(const ModelFacts& facts);

}  // namespace cadre::cli
