#pragma once
/// Which table of inner loops a set of options gives, and where each of its entries comes from.

#include <vector>

#include "cadre/base/cpu_features.h"
#include "cadre/kernels/backend.h"
#include "cadre/kernels/cpu/table.h"

namespace cadre::cpu {

/// The instruction set that the options name. Errors: as make_cpu_backend.
Result<Isa> choose_isa(const CpuOptions& options);

/// The entries of `isa`, and of those before it where it has none. `vnni`: with the integer dot products that
/// this machine has.
CpuTable table_for(Isa isa, bool vnni);

/// The source of each entry of that table, in the order of CpuTable.
std::vector<KernelSource> table_sources(Isa isa, bool vnni);

}  // namespace cadre::cpu
