#pragma once
/// Published and planned architectures by name, each as the config.json that its checkpoint has. For
/// random-weight models, for planning, and for counting what does not fit this machine.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/json.h"
#include "cadre/base/result.h"

namespace cadre {

/// Names that `named_shape` answers, in the order of the documentation.
std::vector<std::string_view> shape_names();

/// The config.json of a shape. Left out are fields that no random-weight model has: FP8 quantisation and
/// the multi-token-prediction layer of DeepSeek-V3.
/// Errors: kUsage for an unknown name (with the known ones), and for a published shape whose family does not
/// run.
Result<Json> named_shape(std::string_view name);

/// A named shape, or the config.json at a path (or in the directory there), whichever `name_or_path` is.
/// Errors: as named_shape and read_json_file.
Result<Json> find_shape(const std::string& name_or_path);

/// Cuts `config` to its first `layers` layers; dense first layers stay dense.
/// Errors: kUsage when the shape has fewer.
Status cut_layers(Json& config, int64_t layers);

}  // namespace cadre
