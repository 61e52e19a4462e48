#pragma once
/// The one list of a model's weights. Every weight passes through `visit`; loading, counting and initialising
/// are visitors, so a weight cannot be known to one and forgotten by another.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cadre/base/function_ref.h"
#include "cadre/tensor/tensor.h"

namespace cadre {

/// What a weight is for; `cadre inspect` counts by it.
enum class WeightRole : uint8_t {
  kEmbedding,
  kHead,
  kNorm,
  kAttention,
  kRouter,
  kDenseFfn,
  kSharedExpert,
  kRoutedExpert,
  kFallbackExpert,
  kRoutingTable  ///< of hash gates: experts of each token, no parameter
};
inline constexpr int kWeightRoleCount = 10;
const char* name(WeightRole role);

/// A small vector in f32 (norm gains, router bias), decoded from whatever type the file has.
using VectorWeight = std::vector<float>;

/// One weight of a model, as its checkpoint should hold it.
struct WeightSlot {
  std::string name;
  Shape shape;
  WeightRole role;
  /// Exactly one is set: where the matrix is bound, or where the vector is decoded to.
  Weight* matrix = nullptr;
  VectorWeight* vector = nullptr;
};

using WeightVisitor = FunctionRef<void(const WeightSlot&)>;

}  // namespace cadre
