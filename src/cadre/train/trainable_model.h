#pragma once
/// A model whose weights can change: f32 values, each with a gradient of its shape.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cadre/base/anonymous_memory.h"
#include "cadre/base/json.h"
#include "cadre/model/families/registry.h"
#include "cadre/runtime/model.h"
#include "cadre/train/adapters.h"
#include "cadre/train/parameter.h"

namespace cadre::train {

/// Thread-compatible. Owns values and gradients; movable, views stay good.
class TrainableModel {
 public:
  /// A copy of a model's weights, decoded to f32, with kv_b_proj in one. Errors: kTooLarge.
  static Result<TrainableModel> copy(const Model& model);

  /// Fresh weights for the architecture `config` (a config.json): normal with standard deviation 0.02, that
  /// of projections back into the residual stream divided by sqrt(2 layers); gains 1, biases 0. The same for
  /// the same seed. Errors: kInvalid, naming the field.
  static Result<TrainableModel> initialise(const Json& config, const std::string& origin, uint64_t seed);

  /// Freezes all weights, and has low-rank adapters learnt instead, which begin as no change. Errors: as
  /// Adapters::create.
  Status adapt(const LoraConfig& config, uint64_t seed);
  /// Null without adapters.
  Adapters* adapters() { return adapters_ ? &*adapters_ : nullptr; }
  const Adapters* adapters() const { return adapters_ ? &*adapters_ : nullptr; }

  const Transformer& transformer() const { return transformer_; }
  Transformer& transformer() { return transformer_; }
  const ModelConfig& config() const { return transformer_.config; }
  /// What is learnt: all weights in the order of the family's visitor, or the adapters.
  std::span<const Parameter> parameters() const {
    return adapters_ ? adapters_->parameters() : std::span<const Parameter>(parameters_);
  }
  /// All weights, with what is never learnt: the selection bias, which balancing moves, and the tables of
  /// hash gates.
  std::span<const Parameter> tensors() const { return tensors_; }
  int64_t parameter_count() const;

  void bind(Tape& tape) const;
  void clear_gradients() const;

 private:
  explicit TrainableModel(const ModelConfig& config) : transformer_(Transformer::layout(config)) {}
  /// Takes memory for all weights, and binds and lists them, in the order of `visit`.
  Status lay_out(FunctionRef<void(Transformer&, WeightVisitor)> visit);

  Transformer transformer_;
  AnonymousMemory values_;
  AnonymousMemory gradients_;
  std::vector<Parameter> tensors_;
  std::vector<Parameter> parameters_;
  std::optional<Adapters> adapters_;
};

}  // namespace cadre::train
