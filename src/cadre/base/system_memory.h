#pragma once
/// How much memory the machine can still give.

#include <cstdint>
#include <string_view>

namespace cadre {

/// What a process may take without others being pushed out, file caches not counted as taken; all of the
/// machine's memory where the system does not tell (Linux does).
int64_t available_memory_bytes();

/// The number of a line "NAME:   123 kB" of the files that Linux describes memory in, in bytes; 0 without
/// such a line. `name` includes the colon.
int64_t memory_field_bytes(std::string_view text, std::string_view name);

}  // namespace cadre
