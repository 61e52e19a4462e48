#pragma once
/// What `cadre train` is told: one JSON file, every field validated, unknown ones refused. docs/training.md
/// lists them.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cadre/base/json.h"
#include "cadre/kernels/backend.h"
#include "cadre/runtime/lora.h"
#include "cadre/train/balance.h"
#include "cadre/train/capacity.h"
#include "cadre/train/optimiser.h"
#include "cadre/train/random_routing.h"
#include "cadre/train/samples.h"

namespace cadre::train {

/// A folder of token shards and its share of the rows.
struct DataPart {
  std::filesystem::path path;
  double weight = 1;
};

struct TrainConfig {
  /// Either an architecture (a config.json) to be learnt from nothing, or a model folder to go on from.
  Json architecture;
  std::filesystem::path start_from;
  std::optional<LoraConfig> lora;   ///< adapters of start_from are learnt, not its weights
  std::filesystem::path tokenizer;  ///< folder whose tokenizer goes with every checkpoint
  std::vector<DataPart> data;
  std::filesystem::path out;
  uint64_t seed = 0;

  int64_t steps = 0;
  int64_t sequences = 0;        ///< rows of a step
  int64_t length = 0;           ///< tokens of a row
  int64_t micro_sequences = 0;  ///< rows of a pass; 0: as many as memory_gb holds
  double memory_gb = 0;         ///< of the run: weights, gradients, optimiser and activations
  bool recompute = false;       ///< compute blocks again in the backward pass instead of keeping them
  /// kF32 or kBF16, of products: see PassMode.
  Compute compute = Compute::kF32;

  OptimiserOptions optimiser;
  double learning_rate = 0;
  double warmup = 0.05;  ///< share of the steps
  double decay = 0.2;
  double clip = 1;  ///< largest norm of the gradient; 0: no limit

  double bias_rate = 1e-3;  ///< falls to 0 over the last tenth of the steps
  AuxiliaryLosses losses;
  CapacityOptions capacity;
  RandomRoutingOptions random_routing;

  int64_t validate_every = 0;  ///< steps; 0: never
  int64_t validate_batches = 0;
  int64_t checkpoint_every = 0;
  int64_t checkpoint_keep = 2;
  SampleOptions samples;  ///< of each checkpoint
};

/// Paths in the file are relative to its folder. Errors: kInvalid naming file and field; kNotFound, kIo.
Result<TrainConfig> read_train_config(const std::filesystem::path& path);
Result<TrainConfig> parse_train_config(const Json& document, const std::string& origin,
                                       const std::filesystem::path& folder);

}  // namespace cadre::train
