#pragma once
/// Quantities for people: "8.85 GB", "15.7 B", with decimal prefixes.

#include <cstdint>
#include <string>

namespace cadre {

/// 8850000000 -> "8.85 GB"
std::string format_bytes(double bytes);
/// 15706000000 -> "15.71 B", 1234 -> "1,234"
std::string format_count(int64_t count);

}  // namespace cadre
