#pragma once
/// A model on disk, whichever way it is stored: a Hugging Face directory (config.json, safetensors) or a GGUF
/// file of llama.cpp, which is read as the family that it was converted from. Everything is memory-mapped.

#include <filesystem>
#include <optional>
#include <string>
#include <unordered_map>

#include "cadre/base/anonymous_memory.h"
#include "cadre/formats/gguf.h"
#include "cadre/formats/safetensors.h"
#include "cadre/model/families/registry.h"

namespace cadre {

/// Tensors that were made in memory.
struct MemoryTensors {
  AnonymousMemory memory;  ///< what the tensors' bytes lie in
  std::unordered_map<std::string, StoredTensor> tensors;
};

class Checkpoint {
 public:
  /// `path` is a directory, or a file that ends in .gguf (the first part of a split one).
  /// Errors: kNotFound, kInvalid; they name the file and the field.
  static Result<Checkpoint> open(const std::filesystem::path& path);
  /// One that is not on disk; `name` stands for the path. Errors: kInvalid for the configuration.
  static Result<Checkpoint> in_memory(const std::string& name, const Json& config, MemoryTensors tensors);

  const ModelConfig& config() const { return config_; }
  /// The family's visitor over a Transformer of this checkpoint's config.
  void visit_weights(Transformer& model, WeightVisitor visitor) const {
    family_->visit_weights(model, visitor);
  }

  /// The tensor that the family calls `name`, nullopt when the checkpoint has none.
  /// Errors: kInvalid for a tensor whose type or shape cannot serve.
  Result<std::optional<StoredTensor>> find(const std::string& name) const;
  /// "model.safetensors: tensor 'NAME'", for messages.
  std::string where(const std::string& name) const;

  /// Bytes of all tensors in the files.
  int64_t stored_bytes() const;
  /// GGUF files carry their tokenizer; null for a directory.
  const GgufFile* gguf() const { return gguf_ ? &*gguf_ : nullptr; }
  const std::filesystem::path& path() const { return path_; }
  /// See MappedFile; of all files.
  void map_resident() const;

 private:
  std::filesystem::path path_;
  ModelConfig config_;
  const Family* family_ = nullptr;
  std::optional<SafetensorsSet> safetensors_;
  std::optional<GgufFile> gguf_;
  std::optional<MemoryTensors> memory_;
  const GgufArchitecture* architecture_ = nullptr;
};

/// The config.json of a checkpoint without its weights, for a directory or a GGUF file.
Result<Json> read_checkpoint_config(const std::filesystem::path& path);

}  // namespace cadre
