#pragma once
/// What a model in training says: a few prompts, answered by each checkpoint as `cadre run` would answer
/// them.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "cadre/kernels/backend.h"

namespace cadre::train {

struct SampleOptions {
  std::vector<std::string> prompts;
  bool raw = false;     ///< continue the prompt as it is, without the chat template
  int64_t tokens = 64;  ///< most tokens to answer with
  CpuOptions cpu;
  std::filesystem::path base_model;  ///< where checkpoints are adapters: what they are for
};

struct Sample {
  int64_t step = 0;
  std::string prompt;
  std::string text;
};

/// The greedy answers of the model in `checkpoint`. Errors: of loading it; kInvalid when its tokenizer lacks
/// a chat template that `raw` does not need.
Result<std::vector<Sample>> take_samples(const std::filesystem::path& checkpoint, int64_t step,
                                         const SampleOptions& options);

/// Adds samples to a file of lines {"step", "prompt", "text"}, in place of those of the same and later steps.
Status add_samples(const std::filesystem::path& path, std::span<const Sample> samples);
/// None where there is no file. Errors: kIo; kInvalid naming file, line and field.
Result<std::vector<Sample>> read_samples(const std::filesystem::path& path);

}  // namespace cadre::train
