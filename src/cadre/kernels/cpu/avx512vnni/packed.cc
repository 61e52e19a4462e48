#include "cadre/kernels/cpu/avx512/lanes.h"
#include "cadre/kernels/cpu/table.h"
// The loops come last: they are written in the lanes and quads above.
#include "cadre/kernels/cpu/avx512vnni/quads.h"
#include "cadre/kernels/cpu/loops/packed.h"

namespace cadre {

void fill_avx512vnni_packed(CpuTable& table) { fill_packed(table); }

}  // namespace cadre
