#pragma once
/// What the steps of a benchmark must read and compute at least, counted while they run.

#include <cstdint>

#include "cadre/runtime/engine.h"

namespace cadre {

/// Sums over steps.
struct Traffic {
  double weight_bytes = 0;
  double kv_bytes = 0;
  double flops = 0;     ///< two for each weight that a token is multiplied with, in floating point
  double int8_ops = 0;  ///< the same in integers: packed weights with Compute::kInt8
  int64_t tokens = 0;
  int64_t expert_uses = 0;  ///< different experts, summed over MoE layers and steps
  int64_t moe_layers = 0;   ///< MoE layers passed, summed over steps

  double experts_per_layer() const {
    return moe_layers == 0 ? 0 : static_cast<double>(expert_uses) / static_cast<double>(moe_layers);
  }
  Traffic& operator+=(const Traffic& more);
};

/// Attached to one engine as a routing policy that changes nothing; must outlive its steps. A weight counts
/// once a step, however many tokens use it.
class TrafficCounter {
 public:
  explicit TrafficCounter(Engine& engine);
  TrafficCounter(const TrafficCounter&) = delete;
  TrafficCounter& operator=(const TrafficCounter&) = delete;

  /// After a step of `tokens` tokens, `logit_rows` of them with logits, that attended to `context` cached
  /// tokens in all sequences together. The experts have been counted by then.
  void add_step(int64_t tokens, int64_t logit_rows, int64_t context);

  const Traffic& total() const { return total_; }
  void reset() { total_ = {}; }

 private:
  void count_experts(const RoutingPlan& plan);
  /// Multiplications and additions of `tokens` tokens with a weight.
  void add_product(const Weight& weight, int64_t tokens);

  const Transformer& model_;
  int64_t kv_bytes_per_token_ = 0;
  int64_t shared_bytes_ = 0;       ///< of the weights that every token uses, without embedding and head
  int64_t shared_parameters_ = 0;  ///< of matrices
  int64_t shared_packed_ = 0;      ///< those of them that are multiplied in integers
  bool int8_ = false;
  std::vector<char> used_;  ///< [E] scratch
  Traffic total_;
};

}  // namespace cadre
