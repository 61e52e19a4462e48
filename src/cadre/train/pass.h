#pragma once
/// One pass of whole sequences through a trainable model: loss, and gradients added to the parameters'.

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "cadre/train/trainable_model.h"

namespace cadre::train {

/// Rows of a pass: sequences one after the other, each from position 0.
struct PassBatch {
  std::span<const int32_t> tokens;          ///< [T]
  std::span<const int32_t> targets;         ///< [T]; -1: no loss
  std::span<const SequenceRows> sequences;  ///< first_row and rows
};

struct PassOptions {
  /// What each target's loss is multiplied by in the gradient: 1 / (targets of the whole step).
  float scale = 1;
  bool gradient = true;  ///< false: the loss only
  std::span<const RoutingPolicy> policies;
  std::span<const int64_t> top_k;  ///< [layers] experts a token; empty: the model's own number
  const AuxiliaryGradient* auxiliary = nullptr;
  TraceSink* trace = nullptr;
};

/// What all passes of a run have in common.
struct PassMode {
  int64_t max_k = 0;       ///< most experts a token; 0: the model's own number
  bool recompute = false;  ///< compute blocks again in the backward pass instead of keeping them
  /// kF32 or kBF16: of products with weights, forward and backward, but for those that make router logits.
  Compute compute = Compute::kF32;
};

/// Thread-compatible. Owns the memory of activations; `model` and `backend` outlive it.
class Pass {
 public:
  /// For passes of at most `max_rows` rows. Errors: kUsage when the back end has no gradients, kTooLarge with
  /// the numbers when the activations do not fit the machine.
  static Result<std::unique_ptr<Pass>> create(const TrainableModel& model, Backend& backend, int64_t max_rows,
                                              const PassMode& mode = {});

  /// The sum of the targets' losses, in f64. Token ids must lie in the vocabulary.
  double run(const PassBatch& batch, const PassOptions& options);

  const TrainableModel& model() const { return *model_; }
  /// Bytes of activations that passes have taken at most so far.
  int64_t peak_bytes() const { return 2 * arena_.peak(); }

 private:
  Pass(const TrainableModel& model, Backend& backend, Arena arena, const PassMode& mode);
  /// Fills cosine_ and sine_ for the batch.
  void fill_rotations(const PassBatch& batch);

  const TrainableModel* model_;
  Backend* backend_;
  Arena arena_;
  std::optional<Tape> tape_;
  std::vector<double> rope_frequencies_;
  double rope_magnitude_;
  std::vector<int32_t> positions_;
  std::vector<float> cosine_;
  std::vector<float> sine_;
  std::vector<double> losses_;
  RoutingWorkspace routing_;
  std::vector<ExpertGroup> groups_;
  PassMode mode_;
};

/// Arena bytes that a pass of so many rows takes at most, gradients' shadow not counted.
int64_t pass_bytes(const ModelConfig& config, int64_t rows, bool recompute = false);

}  // namespace cadre::train
