#pragma once
/// What this process holds in memory, as the system counts it.

#include <cstdint>

namespace cadre {

struct ProcessMemory {
  int64_t anonymous_bytes = 0;  ///< its own
  int64_t mapped_bytes = 0;     ///< of files, shared with other processes that map them
};

/// Zeros where the system does not tell (Linux does).
ProcessMemory process_memory();

}  // namespace cadre
