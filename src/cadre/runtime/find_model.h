#pragma once
/// Where models are looked up by name.

#include <filesystem>
#include <string>

#include "cadre/base/result.h"

namespace cadre {

/// The model that runs when none is named.
inline constexpr const char* kBundledModel = "cadre-s";

/// The path of a model: `name` itself if it exists or contains a path separator; else looked up in
/// $CADRE_MODELS (default ~/.cache/cadre/models), in the Hugging Face cache (`org/name`; $HF_HUB_CACHE,
/// $HF_HOME/hub or ~/.cache/huggingface/hub), and among the models that ship with cadre. An empty name is
/// $CADRE_MODEL, else the bundled model.
/// Errors: kNotFound, listing the places.
Result<std::filesystem::path> find_model(const std::string& name);

}  // namespace cadre
