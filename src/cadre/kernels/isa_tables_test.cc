#include "cadre/kernels/cpu/isa_tables.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace cadre {
namespace {

std::string_view source_of(const std::vector<KernelSource>& kernels, std::string_view name) {
  const auto found = std::ranges::find(kernels, name, &KernelSource::kernel);
  return found == kernels.end() ? std::string_view("not there") : found->source;
}

TEST(KernelSources, ThePortableTableIsPortable) {
  const auto kernels = cpu_kernel_sources({.isa = "generic"});
  ASSERT_TRUE(kernels);
  for (const KernelSource& kernel : *kernels)
    EXPECT_TRUE(kernel.source == "generic" || kernel.source == "none") << kernel.kernel;
  EXPECT_EQ(source_of(*kernels, "dot_rows_f32"), "generic");
  EXPECT_EQ(source_of(*kernels, "decode_q4_0"), "none");
}

TEST(KernelSources, EachInstructionSetOverridesTheOneBefore) {
  if (!has_isa(Isa::kAvx512)) GTEST_SKIP() << "this machine has no AVX-512";
  const auto kernels = cpu_kernel_sources({.isa = "avx512"});
  ASSERT_TRUE(kernels);
  EXPECT_EQ(source_of(*kernels, "dot_rows_f32"), "avx512");
  if (has_vnni(Isa::kAvx512)) {
    EXPECT_EQ(source_of(*kernels, "q4.product"), "avx512vnni");
  }
  const auto plain = cpu_kernel_sources({.isa = "avx512", .vnni = false});
  ASSERT_TRUE(plain);
  EXPECT_EQ(source_of(*plain, "q4.product"), "avx2");  // inherited: AVX-512 itself has none
}

TEST(KernelSources, EveryEntryOfTheTableAppliesToTheSourceThatIsNamed) {
  for (const Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512}) {
    if (!has_isa(isa)) continue;
    const auto kernels = cpu::table_sources(isa, true);
    EXPECT_EQ(kernels.size() * sizeof(void*), sizeof(CpuTable));
    for (const KernelSource& kernel : kernels) {
      if (kernel.kernel.starts_with("decode_")) continue;
      EXPECT_NE(kernel.source, "none") << kernel.kernel;
    }
  }
}

TEST(KernelSources, AnUnknownInstructionSetIsAnError) {
  const auto kernels = cpu_kernel_sources({.isa = "sse9"});
  ASSERT_FALSE(kernels);
  EXPECT_EQ(kernels.error().kind, ErrorKind::kUsage);
}

}  // namespace
}  // namespace cadre
