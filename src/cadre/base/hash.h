#pragma once
/// A fast hash of bytes, for names, checksums against damage, and fingerprints: not against an adversary.

#include <cstddef>
#include <cstdint>
#include <span>

namespace cadre {

/// 64 bits that any change of a byte, of the order or of the length changes (but for one chance in 2^64). The
/// same on every machine of one byte order. `seed` continues an earlier hash.
uint64_t hash_bytes(std::span<const std::byte> bytes, uint64_t seed = 0);

}  // namespace cadre
