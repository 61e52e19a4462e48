#pragma once
/// Which instruction sets this processor and its operating system offer.

#include <cstdint>
#include <optional>
#include <string_view>

namespace cadre {

/// Instruction sets that kernels are written for, each a superset of those before it.
enum class Isa : uint8_t {
  kGeneric,  ///< whatever the compiler was told to assume
  kAvx2,     ///< AVX2, FMA, F16C
  kAvx512,   ///< AVX-512 F, BW, VL and DQ besides
};
inline constexpr int kIsaCount = 3;

/// "generic", "avx2", "avx512"
std::string_view name(Isa isa);
std::optional<Isa> isa_from_name(std::string_view name);

/// True where the processor has the instructions and the system saves the registers.
bool has_isa(Isa isa);
Isa best_isa();
/// True where the processor has the integer dot products that go with the registers of `isa`: AVX-VNNI with
/// AVX2, AVX-512 VNNI with AVX-512.
bool has_vnni(Isa isa);

/// Cores this process may run on: its affinity mask, cut to the processor time its control group grants.
int available_cores();

}  // namespace cadre
