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

namespace cadre::train {

/// One tensor that is learnt, seen as a matrix [rows, cols] (vectors: one row).
struct Parameter {
  std::string name;
  Shape shape;
  WeightRole role = WeightRole::kNorm;
  Tensor value;
  Tensor gradient;

  int64_t count() const { return value.rows * value.width; }
  std::span<float> values() const { return {value.data, static_cast<size_t>(count())}; }
  std::span<float> gradients() const { return {gradient.data, static_cast<size_t>(count())}; }
};

/// Thread-compatible. Owns values and gradients; movable, views stay good.
class TrainableModel {
 public:
  /// A copy of a model's weights, decoded to f32, with kv_b_proj in one. Errors: kTooLarge.
  static Result<TrainableModel> copy(const Model& model);

  /// Fresh weights for the architecture `config` (a config.json): normal with standard deviation 0.02, that
  /// of projections back into the residual stream divided by sqrt(2 layers); gains 1, biases 0. The same for
  /// the same seed. Errors: kInvalid, naming the field.
  static Result<TrainableModel> initialise(const Json& config, const std::string& origin, uint64_t seed);

  const Transformer& transformer() const { return transformer_; }
  Transformer& transformer() { return transformer_; }
  const ModelConfig& config() const { return transformer_.config; }
  /// In the order of the family's visitor.
  std::span<const Parameter> parameters() const { return parameters_; }
  /// The same with what is no parameter, the selection bias, which balancing moves: all that a checkpoint
  /// has.
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
};

}  // namespace cadre::train
