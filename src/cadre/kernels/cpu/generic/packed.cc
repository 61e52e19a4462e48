#include "cadre/kernels/cpu/generic/lanes.h"
#include "cadre/kernels/cpu/table.h"
// The loops come last: they are written in the lanes and quads above.
#include "cadre/kernels/cpu/generic/quads.h"
#include "cadre/kernels/cpu/loops/packed.h"

namespace cadre {

void fill_generic_packed(CpuTable& table) { fill_packed(table); }

}  // namespace cadre
