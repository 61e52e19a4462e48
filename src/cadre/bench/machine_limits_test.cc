#include "cadre/bench/machine_limits.h"

#include <gtest/gtest.h>

namespace cadre {
namespace {

TEST(MachineLimits, EveryInstructionSetOfThisMachineHasAPeak) {
  for (const Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512}) {
    if (!has_isa(isa)) continue;
    const MachineLimits limits = measure_machine_limits(1, isa, int64_t{8} << 20);
    EXPECT_GT(limits.read_bytes_per_second, 1e8) << name(isa);
    EXPECT_LT(limits.read_bytes_per_second, 1e13) << name(isa);
    EXPECT_GT(limits.f32_flops, 1e8) << name(isa);
    EXPECT_LT(limits.f32_flops, 1e12) << name(isa);
    EXPECT_GT(limits.int8_ops, 1e8) << name(isa);
    EXPECT_LT(limits.int8_ops, 1e13) << name(isa);
    // Four bytes fit where one f32 does, and a dot product takes them at once.
    if (has_vnni(isa)) {
      EXPECT_GT(limits.int8_ops, 2 * limits.f32_flops) << name(isa);
      EXPECT_LT(limits.int8_ops, 6 * limits.f32_flops) << name(isa);
    }
  }
}

}  // namespace
}  // namespace cadre
