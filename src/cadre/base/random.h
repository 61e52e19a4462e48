#pragma once
/// Random numbers by key and counter: any draw can be repeated without replaying those before it, so results
/// do not depend on the order in which threads or requests draw.

#include <cmath>
#include <cstdint>
#include <numbers>

namespace cadre {

/// A stream of draws. The key is made of a seed and a purpose; the counter selects the draw.
class RandomStream {
 public:
  constexpr RandomStream(uint64_t seed, uint64_t purpose) : key_(mix(mix(seed) ^ (purpose * kOdd))) {}

  /// 64 random bits, always the same for the same counter.
  constexpr uint64_t bits(uint64_t counter) const { return mix(mix(counter * kOdd ^ key_) + key_); }

  /// Uniform in [0, 1), 53 bits.
  constexpr double uniform(uint64_t counter) const {
    return static_cast<double>(bits(counter) >> 11) * 0x1p-53;
  }

  /// Standard normal (Box-Muller on two halves of one draw).
  double normal(uint64_t counter) const {
    const uint64_t draw = bits(counter);
    const double u = (static_cast<double>(draw >> 32) + 1) * 0x1p-32;  // (0, 1]
    const double v = static_cast<double>(draw & 0xFFFFFFFFu) * 0x1p-32;
    return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
  }

 private:
  static constexpr uint64_t kOdd = 0x9E3779B97F4A7C15ull;  // 2^64 / golden ratio, as in SplitMix64

  /// SplitMix64's finaliser (Steele, Lea, Flood 2014).
  static constexpr uint64_t mix(uint64_t x) {
    x += kOdd;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
  }

  uint64_t key_;
};

}  // namespace cadre
