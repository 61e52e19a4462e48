#pragma once
/// The values of models with random weights: any part of any tensor, made when asked for, so that a model of
/// any size can be written or benched piece by piece.

#include <cstdint>
#include <memory>
#include <vector>

#include "cadre/base/json.h"
#include "cadre/formats/layout.h"
#include "cadre/model/families/registry.h"

namespace cadre {

/// A tensor of a random model, made in units: an element; of a packed matrix a block of 16 rows; of a hash
/// gate's table a row.
struct RandomTensor {
  enum class Fill : uint8_t { kWeights, kEmbedding, kOnes, kZeros, kExperts };

  TensorSpec spec;
  Fill fill = Fill::kWeights;
  int64_t units = 0;
  int64_t unit_bytes = 0;
  int64_t experts = 0;  ///< kExperts: how many there are to choose from

  int64_t bytes() const { return units * unit_bytes; }
};

/// All weights of a model whose matrices are of `type` (f32, bf16 or packed). Beside packed matrices the
/// router and all vectors are f32, and a matrix whose rows 32 does not divide is bf16.
std::vector<RandomTensor> random_tensors(const Family& family, const ModelConfig& config, DType type);

/// The configuration of a model with such weights: unquantised in its type, or "quant_method": "cadre". With
/// packed weights MLA's kv_b_proj is split, because their products run along rows.
Json random_model_config(Json config, DType type);

/// Immutable, so threads may share it.
class RandomWeights {
 public:
  RandomWeights(const ModelConfig& config, uint64_t seed);
  ~RandomWeights();

  /// Units [first, first + count) of `tensor`; first is a multiple of 4.
  void make(const RandomTensor& tensor, int64_t first, int64_t count, std::byte* out) const;

 private:
  struct Tables;

  uint64_t seed_;
  std::unique_ptr<const Tables> tables_;
};

}  // namespace cadre
