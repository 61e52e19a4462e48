#pragma once
/// Models with random weights of any shape, written to disk tensor by tensor: for benchmarks, tests and
/// planning. Memory stays at some tens of megabytes whatever the model's size.

#include <cstdint>
#include <filesystem>

#include "cadre/base/function_ref.h"
#include "cadre/base/json.h"
#include "cadre/base/result.h"
#include "cadre/tensor/dtype.h"

namespace cadre {

struct RandomModelOptions {
  DType type = DType::kBF16;  ///< of the matrices: kBF16, kF32 or packed (see random_tensors)
  uint64_t seed = 0;
  int threads = 0;  ///< 0: one per core
};

struct RandomModelReport {
  int64_t tensors = 0;
  int64_t parameters = 0;
  int64_t bytes = 0;           ///< of all tensors
  bool has_tokenizer = false;  ///< false when the vocabulary has no room for the 256 bytes
};

/// Hears how many bytes of the weights' total are written.
using WriteProgress = FunctionRef<void(int64_t done_bytes, int64_t total_bytes)>;

/// Writes the Hugging Face directory `out`: config.json (the given one with the weights' type),
/// model.safetensors, a byte tokenizer and generation_config.json. `out` must not exist or be empty, and
/// appears only when it is complete. A tensor's values depend on its name and the seed alone: not on threads,
/// and a model cut to fewer layers has the same values in those.
///
/// Weights are normal (packed codes: even) with standard deviation 0.02, norm gains 1, selection biases 0.
/// Embeddings have standard deviation 1: the residual stream is then that of the token rather than of the
/// layers before, and routing spreads over the experts. Tied to the head they have 1 / sqrt(hidden_size),
/// which keeps logits of order 1 but for the token just seen, which such a model predicts again.
///
/// Errors: kInvalid (the configuration, `out` in use), kTooLarge (not enough disk, with the numbers), kIo,
/// kInterrupt. None leaves anything behind.
Result<RandomModelReport> write_random_model(Json config, const std::filesystem::path& out,
                                             const RandomModelOptions& options, WriteProgress progress);

}  // namespace cadre
