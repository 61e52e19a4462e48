#pragma once
/// What this machine can do at most, measured in the process that is to be judged by it.

#include <cstdint>

#include "cadre/base/cpu_features.h"

namespace cadre {

struct MachineLimits {
  double read_bytes_per_second = 0;  ///< memory read by all threads together, of a buffer beyond the caches
  double f32_flops = 0;              ///< fused multiply-adds count as two, of all threads together
  /// Products of bytes added up in 32 bits, counted as two each, with the instructions that the products of
  /// packed weights use; of all threads together.
  double int8_ops = 0;
};

/// Best of several passes with `threads` threads and the vector registers of `isa`; takes about a second.
/// `read_bytes` is the size of the buffer; 0: four times the last-level cache, at most an eighth of memory.
MachineLimits measure_machine_limits(int threads, Isa isa, int64_t read_bytes = 0);

}  // namespace cadre
