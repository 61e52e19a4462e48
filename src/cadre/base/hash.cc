#include "cadre/base/hash.h"

#include <algorithm>
#include <cstring>

namespace cadre {
namespace {

constexpr uint64_t kOdd = 0x9E3779B97F4A7C15ull;  // 2^64 / golden ratio

/// For a given hash a bijection of the word, and the other way round: one changed word cannot go unnoticed.
/// Between the two products high bits come down: a single one would leave the highest bit to itself, which a
/// change of the next word could undo.
uint64_t take_word(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * kOdd;
  return (hash ^ (hash >> 32)) * kOdd;
}

}  // namespace

uint64_t hash_bytes(std::span<const std::byte> bytes, uint64_t seed) {
  uint64_t hash = take_word(take_word(kOdd, seed), bytes.size());
  for (size_t at = 0; at < bytes.size(); at += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, std::min(sizeof(word), bytes.size() - at));
    hash = take_word(hash, word);
  }
  // SplitMix64's finaliser (Steele, Lea, Flood 2014) spreads the last words over all bits.
  hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9ull;
  hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EBull;
  return hash ^ (hash >> 31);
}

}  // namespace cadre
