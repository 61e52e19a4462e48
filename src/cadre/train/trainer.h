#pragma once
/// A run of training: from a configuration to checkpoints and a log.

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "cadre/base/file.h"
#include "cadre/data/batches.h"
#include "cadre/train/checkpoint.h"
#include "cadre/train/config.h"
#include "cadre/train/micro_batch.h"
#include "cadre/train/schedule.h"

namespace cadre::train {

/// How often the experts of a layer were chosen.
struct LayerLoads {
  int layer = 0;
  std::vector<int64_t> tokens;  ///< [E]
};

/// One step, as the log has it.
struct StepReport {
  int64_t step = 0;      ///< from 1
  double loss = 0;       ///< nats a target
  double auxiliary = 0;  ///< sum of the auxiliary losses times their coefficients
  double gradient_norm = 0;
  double learning_rate = 0;
  int64_t tokens = 0;  ///< of this step
  int64_t total_tokens = 0;
  double seconds = 0;
  RoutingMetrics routing;
  std::optional<double> held_out_loss;
  std::vector<LayerLoads> loads;  ///< of a hundred steps of the run; empty in the others
};

/// Hears how a run goes on.
class TrainListener {
 public:
  virtual ~TrainListener() = default;
  virtual void on_step(const StepReport& report) = 0;
  virtual void on_checkpoint(const std::filesystem::path& folder) = 0;
  virtual void on_samples(std::span<const Sample> /*samples*/) {}
};

/// Thread-compatible. `backend` outlives it.
class Trainer {
 public:
  /// Opens data, makes or loads the model, and takes all memory. With `resume`, goes on from the last
  /// checkpoint in the run's folder, or begins where there is none. Errors: kInvalid, kNotFound, kTooLarge
  /// with file and field; kUsage when there are checkpoints and `resume` is not set.
  static Result<std::unique_ptr<Trainer>> create(TrainConfig config, Backend& backend, bool resume);

  /// To the last step, with checkpoints as configured and one at the end. The log is log.jsonl in the run's
  /// folder. Errors: kInterrupt after SIGINT, with a checkpoint written; kInvalid when a loss or a gradient
  /// is not a number, naming step and layer; kIo.
  Status run(TrainListener& listener);

  const TrainableModel& model() const { return model_; }
  int64_t first_step() const { return state_.step; }
  const TrainConfig& config() const { return config_; }

 private:
  Trainer(TrainConfig config, Backend& backend, TrainableModel model, Optimiser optimiser);
  Status open_data();
  Status begin(bool resume);
  Result<StepReport> step();
  /// Forward and backward of all micro-batches; the sum of the losses.
  double accumulate(std::span<MicroBatch> micro_batches, double scale);
  Status check_routing() const;
  Status check_finite(double loss, double norm, std::span<MicroBatch> micro_batches);
  double held_out_loss();
  Status checkpoint(TrainListener& listener);
  Status log(const StepReport& report);
  RunIdentity identity() const;

  TrainConfig config_;
  Backend* backend_;
  TrainableModel model_;
  Optimiser optimiser_;
  Json architecture_;
  std::vector<std::unique_ptr<TokenSet>> sets_;
  std::unique_ptr<TokenSet> held_out_set_;
  std::optional<TrainingBatches> batches_;
  std::optional<HeldOutBatches> held_out_;
  std::unique_ptr<Pass> pass_;
  Balance balance_;
  RandomRouting random_routing_;
  Schedule schedule_;
  RunState state_;
  int64_t assigned_ = 0;
  int64_t dropped_ = 0;
  std::vector<RoutingPolicy> policies_;
  TokenBatch token_batch_;
  std::optional<GrowingFile> log_;
};

}  // namespace cadre::train
