#include "cadre/model/weights.h"

namespace cadre {

const char* name(WeightRole role) {
  switch (role) {
    case WeightRole::kEmbedding:
      return "embedding";
    case WeightRole::kHead:
      return "output head";
    case WeightRole::kNorm:
      return "norms";
    case WeightRole::kAttention:
      return "attention";
    case WeightRole::kRouter:
      return "router";
    case WeightRole::kDenseFfn:
      return "dense FFN";
    case WeightRole::kSharedExpert:
      return "shared experts";
    case WeightRole::kRoutedExpert:
      return "routed experts";
    case WeightRole::kFallbackExpert:
      return "fallback experts";
    case WeightRole::kRoutingTable:
      return "routing tables";
  }
  return "";
}

}  // namespace cadre
