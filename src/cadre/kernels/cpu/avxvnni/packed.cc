#include "cadre/kernels/cpu/avx2/lanes.h"
#include "cadre/kernels/cpu/table.h"
// The loops come last: they are written in the lanes and quads above.
#include "cadre/kernels/cpu/avx2/quads.h"
#include "cadre/kernels/cpu/loops/packed.h"

namespace cadre {

void fill_avxvnni_packed(CpuTable& table) { fill_packed(table); }

}  // namespace cadre
