#pragma once
/// A run as a page to look at.

#include <filesystem>

#include "cadre/base/result.h"

namespace cadre::train {

/// Draws what the run's log.jsonl has: loss, held-out loss, balance, speed, and each expert's load over time.
/// Writes report.html beside it, one page that needs nothing else. Errors: those of read_run_log; kIo.
Status write_run_report(const std::filesystem::path& run);

}  // namespace cadre::train
