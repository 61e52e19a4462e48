#pragma once
/// Token capacity (GShard, arXiv:2006.16668; order by priority: V-MoE, arXiv:2106.05974): an expert takes at
/// most ceil(factor k T / N) of the T tokens of a micro-batch, and what overflows is dropped, so that a token
/// goes on with fewer experts. For training only: what happens to a token depends on its neighbours.

#include <cstdint>

#include "cadre/model/routing_plan.h"

namespace cadre::train {

enum class CapacityOrder : uint8_t {
  kPosition,  ///< earlier tokens first
  kPriority,  ///< larger scores first; among equal ones earlier tokens
};

struct CapacityOptions {
  double factor = 0;  ///< 0: no limit
  CapacityOrder order = CapacityOrder::kPosition;
};

/// ceil(factor k T / N)
int64_t expert_capacity(const MoeConfig& config, const CapacityOptions& options, int64_t tokens);

/// Takes assignments away; the weights of those that stay are not changed. Adds to `assigned` and `dropped`
/// how many there were and how many it took. Both outlive the policy.
RoutingPolicy capacity_policy(const MoeConfig& config, const CapacityOptions& options, int64_t& assigned,
                              int64_t& dropped);

}  // namespace cadre::train
