#pragma once
/// How gradients change weights: AdamW (Loshchilov and Hutter, arXiv:1711.05101) for every parameter, or Muon
/// (Jordan 2024; scaled as in Moonlight, arXiv:2502.16982) for the matrices inside the blocks and AdamW for
/// embedding, head, gates and norm gains.

#include <string>
#include <vector>

#include "cadre/train/trainable_model.h"

namespace cadre::train {

struct OptimiserOptions {
  bool muon = false;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;  ///< decoupled; of matrices, not of norm gains
  double momentum = 0.95;     ///< Muon's, with Nesterov's look ahead
};

/// A tensor of the optimiser's state, for checkpoints.
struct StateTensor {
  std::string name;  ///< "m.NAME", "v.NAME" or "momentum.NAME"
  Tensor values;     ///< [rows, cols] as the parameter
};

/// Thread-compatible. Owns its state, in the order of the model's parameters.
class Optimiser {
 public:
  /// Errors: kTooLarge.
  static Result<Optimiser> create(const TrainableModel& model, const OptimiserOptions& options);

  /// One step with gradients times `gradient_scale`; the gradients become 0.
  void update(const TrainableModel& model, GradientBackend& device, double learning_rate,
              double gradient_scale = 1);

  int64_t steps() const { return steps_; }
  /// For checkpoints; what was read goes into the state's values.
  void set_steps(int64_t steps) { steps_ = steps; }
  const std::vector<StateTensor>& state() const { return state_; }

 private:
  struct Slot {
    bool muon = false;
    float* first = nullptr;   ///< m, or the momentum
    float* second = nullptr;  ///< v
  };

  explicit Optimiser(const OptimiserOptions& options) : options_(options) {}
  void update_adamw(const Parameter& parameter, const Slot& slot, GradientBackend& device,
                    double learning_rate, double gradient_scale) const;
  void update_muon(const Parameter& parameter, const Slot& slot, GradientBackend& device,
                   double learning_rate, double gradient_scale);

  OptimiserOptions options_;
  int64_t steps_ = 0;
  AnonymousMemory memory_;
  std::vector<Slot> slots_;
  std::vector<StateTensor> state_;
  std::vector<float> direction_;  ///< Muon: the matrix being orthogonalised
};

/// Whether Muon takes a parameter.
bool is_hidden_matrix(const Parameter& parameter);

/// The 2-norm of all gradients.
double gradient_norm(const TrainableModel& model, GradientBackend& device);

}  // namespace cadre::train
