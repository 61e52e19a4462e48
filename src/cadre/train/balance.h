#pragma once
/// Keeping experts equally busy (spec of methods: selection bias of DeepSeek-V3, arXiv:2408.15664;
/// sequence-wise and global-batch auxiliary losses, arXiv:2412.19437 and arXiv:2501.11873; router z-loss,
/// arXiv:2202.08906), and saying how equal they are.
///
/// With c_i the tokens that chose expert i among N experts, s the scores and q = s / sum s:
///   F_i = N c_i / sum c;   Q_i = mean_t q_ti;   L = sum_i F_i Q_i      (1 when all are equally busy)
/// Gradients flow through Q, never through F or the bias.

#include <cstdint>
#include <span>
#include <vector>

#include "cadre/model/transformer.h"

namespace cadre::train {

/// Coefficients of the auxiliary losses; 0 leaves one out.
struct AuxiliaryLosses {
  double sequence = 0;  ///< L of each sequence by itself, mean over sequences
  double batch = 0;     ///< L with F counted over the whole step
  double z = 0;         ///< mean_t logsumexp(z_t)^2
};

/// What routing was like at one MoE layer.
struct LayerRouting {
  int layer = 0;
  std::vector<int64_t> counts;  ///< [E] tokens that chose each expert
  int64_t tokens = 0;
  double sequence_loss = 0;
  double batch_loss = 0;
  double z_loss = 0;
  double entropy_sum = 0;  ///< over tokens, of q / log N
};

/// max_i c_i / mean(c) - 1
double max_violation(std::span<const int64_t> counts);
/// H(c / sum c) / log N
double load_entropy(std::span<const int64_t> counts);

/// Watches the routing of a step's micro-batches. A step is: begin_step; for each micro-batch begin_pass,
/// then the forward pass with `policy()` first among its policies, and its backward pass with `gradient()`.
/// Where the batch loss is on and there is more than one micro-batch, a round of forward passes comes first,
/// and `stop_counting` between the two. Thread-compatible; policies refer to this.
class Balance {
 public:
  Balance(const ModelConfig& config, const AuxiliaryLosses& losses);
  Balance(const Balance&) = delete;
  Balance& operator=(const Balance&) = delete;

  /// A step of so many tokens and sequences.
  void begin_step(int64_t tokens, int64_t sequences);
  void begin_pass(std::span<const SequenceRows> batch) { batch_ = batch; }
  void stop_counting() { counting_ = false; }
  /// Counts what is chosen, and changes nothing.
  RoutingPolicy policy();
  const AuxiliaryGradient& gradient() const { return gradient_; }

  /// b_i += rate * sign(mean(c) - c_i) at every MoE layer, from the counts of the step.
  void update_bias(Transformer& model, double rate) const;

  /// Of the step so far, one entry a MoE layer; losses and entropy of the backward passes.
  std::span<const LayerRouting> layers() const { return layers_; }
  /// The sum over layers of coefficient * loss.
  double loss() const;

 private:
  LayerRouting& layer_of(int layer) {
    return layers_[static_cast<size_t>(index_[static_cast<size_t>(layer)])];
  }
  void add_gradient(const RoutingPlan& decided, const Tensor& dlogits);

  MoeConfig config_;
  AuxiliaryLosses losses_;
  std::vector<LayerRouting> layers_;
  std::vector<int> index_;  ///< of a model layer in layers_
  std::span<const SequenceRows> batch_;
  int64_t tokens_ = 0;
  int64_t sequences_ = 0;
  bool counting_ = true;
  AuxiliaryGradient gradient_;
};

}  // namespace cadre::train
