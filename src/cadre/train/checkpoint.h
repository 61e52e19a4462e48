#pragma once
/// Checkpoints of a run: folders step-NNNNNNNN in the run's folder, each a model in the Hugging Face layout
/// with f32 weights that `cadre run` opens (or, of a run that learns adapters, an adapter in PEFT's), beside
/// optimiser.safetensors and training.json, from which the run goes on bit for bit. A folder appears when it
/// is complete.

#include <filesystem>
#include <optional>
#include <vector>

#include "cadre/train/optimiser.h"
#include "cadre/train/routing_record.h"

namespace cadre::train {

/// What a run knows beside weights and the optimiser's state.
struct RunState {
  int64_t step = 0;  ///< steps done
  int64_t tokens = 0;
  int64_t log_bytes = 0;            ///< of the log, up to this step
  std::optional<double> best_loss;  ///< lowest held-out loss so far
  int64_t best_step = 0;
  RoutingRecord routing;
};

/// What a resumed run must have in common with the one that wrote the checkpoint.
struct RunIdentity {
  Json architecture;            ///< config.json
  std::string base_model = {};  ///< of a run that learns adapters: the model they are for
  uint64_t seed = 0;
  int64_t sequences = 0;
  int64_t length = 0;
  int64_t micro_sequences = 0;
  Compute compute = Compute::kF32;
};

struct CheckpointFolder {
  int64_t step = 0;
  std::filesystem::path path;
};

/// Of a run's folder, ascending; none where there is no folder.
std::vector<CheckpointFolder> checkpoints(const std::filesystem::path& run);

/// `tokenizer` is the folder whose tokenizer files are copied; empty: none. Errors: kIo; kTooLarge when the
/// disk has no room. Nothing half-written stays.
Status write_checkpoint(const std::filesystem::path& run, const TrainableModel& model,
                        const Optimiser& optimiser, const RunIdentity& identity, const RunState& state,
                        const std::filesystem::path& tokenizer);

/// Fills model and optimiser. Errors: kInvalid when the checkpoint is of another architecture, optimiser,
/// seed, batch or compute type, or damaged, naming the file and the field.
Result<RunState> read_checkpoint(const std::filesystem::path& folder, TrainableModel& model,
                                 Optimiser& optimiser, const RunIdentity& identity);

/// Removes all but the last `keep` checkpoints and that of `best_step`.
Status remove_old_checkpoints(const std::filesystem::path& run, int64_t keep, int64_t best_step);

}  // namespace cadre::train
