#pragma once
/// A model ready to run: its layers, with every weight bound to the mapped file and checked.

#include <array>
#include <filesystem>
#include <vector>

#include "cadre/model/transformer.h"
#include "cadre/runtime/checkpoint.h"
#include "cadre/runtime/lora.h"
#include "cadre/runtime/repacked_weights.h"

namespace cadre {

/// Counts of one role's weights.
struct WeightCount {
  int64_t tensors = 0;
  int64_t parameters = 0;
  int64_t bytes = 0;  ///< as stored; 0 where only the shape is known
};

/// What `cadre inspect` reports, by role, in total and for the parameters that one token uses.
struct ModelSize {
  std::array<WeightCount, kWeightRoleCount> by_role;
  int64_t parameters = 0;
  /// Parameters read for one token: all but the embedding table's other rows and the experts not chosen.
  int64_t active_parameters = 0;
  int64_t bytes = 0;
  int64_t active_bytes = 0;
};

struct LoadOptions {
  /// Copy matrices of foreign row layouts into the packed one; the embedding table, of which a token reads a
  /// row, stays. Otherwise all weights are read where they are mapped.
  bool repack = false;
  int threads = 0;             ///< of the copying; 0: one per core
  std::filesystem::path lora;  ///< folder of an adapter (runtime/lora.h); empty: none
};

/// Owns the mapping that its weights point into. Immutable after loading, and safe to share between threads.
class Model {
 public:
  /// Maps the files and binds every weight; reads no weight data but the small vectors, and what is repacked.
  /// Errors: a missing tensor, a wrong shape or a type that cannot serve, naming file, tensor, expected,
  /// found; of LoraAdapter, AdaptedWeights::make and RepackedWeights::make.
  static Result<Model> load(const std::filesystem::path& path, const LoadOptions& options = {});
  /// The same of a checkpoint that is open already.
  static Result<Model> bind(Checkpoint checkpoint, const LoadOptions& options = {});

  const ModelConfig& config() const { return transformer_.config; }
  const Transformer& transformer() const { return transformer_; }
  const Checkpoint& checkpoint() const { return checkpoint_; }
  const ModelSize& size() const { return size_; }
  const RepackedWeights& repacked() const { return repacked_; }
  /// Bytes of matrices that could be repacked and were not.
  int64_t row_layout_bytes() const { return row_layout_bytes_; }

  /// Routes every token to `k` experts instead of the model's own number. To be called before an engine is
  /// made. Errors: kUsage when the model is dense or has fewer experts to choose from.
  Status set_experts_per_token(int64_t k);

 private:
  Model(Checkpoint checkpoint, Transformer transformer)
      : checkpoint_(std::move(checkpoint)), transformer_(std::move(transformer)) {}
  Status bind_weight(const WeightSlot& slot);
  Status check_table(const WeightSlot& slot) const;
  Status bind_matrix(const WeightSlot& slot, const StoredTensor& stored);
  Status bind_scales(const WeightSlot& slot);
  Status adapt(const LoadOptions& options);
  Status repack(const LoadOptions& options);

  Checkpoint checkpoint_;
  Transformer transformer_;
  std::vector<std::vector<float>> scales_;  ///< of FP8 matrices, in f32 whatever the file has
  AdaptedWeights adapted_;
  RepackedWeights repacked_;
  int64_t row_layout_bytes_ = 0;
  ModelSize size_;
};

/// Sizes of a configuration from its shapes alone, `bytes` at `bits_per_weight` for matrices.
ModelSize model_size(const Family& family, const ModelConfig& config);

/// Whether tokens can be routed to `k` experts. Errors: kInvalid when the model is dense or its gate cannot
/// choose so many, with the limits.
Status check_experts(const ModelConfig& config, int64_t k);

/// KV cache bytes that one token takes in all layers.
int64_t kv_bytes_per_token(const Transformer& model, DType kv_type);

}  // namespace cadre
