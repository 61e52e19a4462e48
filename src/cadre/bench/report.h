#pragma once
/// A benchmark's report for machines, terminals and documents.

#include <string>

#include "cadre/base/json.h"
#include "cadre/bench/benchmark.h"

namespace cadre {

/// Everything, in bytes, seconds and operations per second.
Json to_json(const BenchmarkReport& report);

/// A table of fixed width with a head and notes, then the profiles.
std::string to_text(const BenchmarkReport& report);

/// The same figures as a Markdown table, for documents; profiles as code blocks.
std::string to_markdown(const BenchmarkReport& report);

}  // namespace cadre
