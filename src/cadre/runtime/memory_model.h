#pragma once
/// Models with random weights of any shape, made in memory: for benchmarks and tests that want no file.

#include <string>

#include "cadre/runtime/model.h"
#include "cadre/runtime/random_model.h"

namespace cadre {

/// The model that write_random_model would write, with its weights in memory of this process, laid out as in
/// the file but in huge pages where the system has them. `name` stands for its path. Progress hears bytes.
/// Errors: kInvalid (the configuration), kTooLarge (more than this machine has available, with the numbers),
/// kInterrupt.
Result<Model> make_random_model(Json config, const std::string& name, const RandomModelOptions& options,
                                WriteProgress progress);

}  // namespace cadre
