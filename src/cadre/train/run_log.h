#pragma once
/// The log of a run, log.jsonl: a line for each step.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cadre/train/trainer.h"

namespace cadre::train {

/// A step's line, with its line end.
std::string log_line(const StepReport& report, bool moe);

/// What a report draws of one step.
struct LoggedStep {
  int64_t step = 0;
  int64_t tokens = 0;  ///< since the run began
  double loss = 0;
  double seconds = 0;
  std::optional<double> held_out_loss;
  std::optional<double> max_violation;
  std::vector<LayerLoads> loads;  ///< of some steps only
};

/// Errors: kNotFound, kIo; kInvalid naming file, line and field.
Result<std::vector<LoggedStep>> read_run_log(const std::filesystem::path& path);

}  // namespace cadre::train
