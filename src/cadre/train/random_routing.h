#pragma once
/// Routing that varies in training, so that one model tolerates what inference may do to it:
///   random top-k: for each pass and MoE layer, k is the model's own, or drawn from a range (Matryoshka MoE,
///     arXiv:2509.26520: layer by layer shows best);
///   expert dropout: a token may lose all its routed experts at a layer and go on with the shared ones, which
///     learn to stand in for them.
/// Draws depend on seed, step and pass alone, so that a resumed run makes the same.

#include <cstdint>
#include <span>
#include <vector>

#include "cadre/model/layers/moe.h"

namespace cadre::train {

struct RandomRoutingOptions {
  int64_t lowest_k = 0;  ///< of the range; 0: k is always the model's own
  int64_t highest_k = 0;
  double share = 0.5;   ///< of the draws that are from the range
  double warmup = 0.1;  ///< share of the steps with the model's own k
  double dropout = 0;   ///< probability that a token loses its experts at a layer
};

/// Thread-compatible; policies refer to this.
class RandomRouting {
 public:
  RandomRouting(const ModelConfig& config, const RandomRoutingOptions& options, uint64_t seed, int64_t steps);
  RandomRouting(const RandomRouting&) = delete;
  RandomRouting& operator=(const RandomRouting&) = delete;

  /// Draws for pass `pass` of step `step`, both from 0.
  void begin_pass(int64_t step, int64_t pass);
  /// Experts a token at each layer, [layers]; empty where k does not vary.
  std::span<const int64_t> top_k() const { return top_k_; }
  /// The most that top_k() can ask for.
  int64_t largest_k() const;

  /// Takes all experts from tokens drawn at random. Over the last tenth of the steps half of them are those
  /// of the lowest confidence: the smallest sum of the largest k softmax probabilities of the router logits.
  RoutingPolicy dropout();

 private:
  MoeConfig config_;
  int64_t layers_ = 0;
  RandomRoutingOptions options_;
  uint64_t seed_ = 0;
  int64_t steps_ = 0;
  int64_t step_ = 0;
  int64_t pass_ = 0;
  std::vector<int64_t> top_k_;
};

}  // namespace cadre::train
