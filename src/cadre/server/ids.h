#pragma once
/// Names for requests, answers and tool calls that do not repeat.

#include <atomic>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "cadre/base/random.h"

namespace cadre::server {

/// Thread-safe. "chatcmpl-" -> "chatcmpl-0f3a5c..." with 96 bits that differ from run to run.
class IdSource {
 public:
  IdSource() : random_((uint64_t{std::random_device{}()} << 32) | std::random_device{}(), kPurpose) {}

  std::string next(std::string_view prefix) {
    const uint64_t draw = 2 * counter_.fetch_add(1, std::memory_order_relaxed);
    return fmt::format("{}{:016x}{:08x}", prefix, random_.bits(draw), random_.bits(draw + 1) >> 32);
  }
  /// A seed for a request that names none.
  uint64_t seed() { return random_.bits(2 * counter_.fetch_add(1, std::memory_order_relaxed)); }

 private:
  static constexpr uint64_t kPurpose = 0x1D5;
  RandomStream random_;
  std::atomic<uint64_t> counter_{0};
};

}  // namespace cadre::server
