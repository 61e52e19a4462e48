#pragma once
/// The fallback: tokens whose router is not sure go without routed experts, and a generalist serves them (the
/// fallback expert, or the shared experts alone).
///
///   p = softmax(z / T),   c = the sum of the k largest p,   alpha = 1[c >= tau]
///   y = E_shared(x) + alpha sum g_i E_i(x) + (1 - alpha) E_fb(x)
///
/// T and tau are of each MoE layer, from calibration (`cadre calibrate`). What confidence is of is the
/// unbiased router logits; normalised sigmoids would be near uniform.

#include <span>

#include "cadre/base/function_ref.h"
#include "cadre/base/result.h"
#include "cadre/model/routing_plan.h"

namespace cadre {

/// How sure a router is of one token; all in f64.
struct Confidence {
  double top = 0;      ///< the largest p
  double mass = 0;     ///< the sum of the k largest p: what the rule is about
  double entropy = 0;  ///< 1 - H(p) / log E: 1 is sure, 0 is uniform
  double margin = 0;   ///< the k-th largest logit less the next one
};

/// logits: [E]; k < E, or the margin is 0. A logit that is not a number makes the mass 0.
Confidence router_confidence(std::span<const float> logits, int64_t k, double temperature);

/// `plan` without the experts of the tokens that `falls_back` says.
RoutingPlan without_experts(RoutingPlan plan, FunctionRef<bool(int64_t token)> falls_back);

enum class FallbackUse : uint8_t {
  kAuto,   ///< on where the model has thresholds
  kOff,    ///< every token has its routed experts
  kOn,     ///< by the model's thresholds
  kForce,  ///< no token has routed experts: for measurement
};

/// The rule as a policy; an empty function when there is none to apply. Errors: kUsage for kOn without
/// thresholds, and for kForce in a model without routed experts.
Result<RoutingPolicy> fallback_policy(const ModelConfig& config, FallbackUse use);

}  // namespace cadre
