#pragma once
/// A model with a LoRA adapter merged into its weights: W' in place of W, in W's type.

#include <filesystem>

#include "cadre/convert/convert.h"

namespace cadre {

/// Writes the directory `out` from the model directory `in` and the adapter's folder. Every other tensor and
/// file is as it was. Errors: kUsage for a GGUF file; kInvalid for a matrix that is to be adapted and stored
/// quantised, and as AdaptedWeights::make; as convert_to_gguf.
Result<ConvertReport> merge_adapter(const std::filesystem::path& in, const std::filesystem::path& adapter,
                                    const std::filesystem::path& out, int threads, ConvertProgress progress);

}  // namespace cadre
