#include "cadre/kernels/cpu/avx512/lanes.h"
#include "cadre/kernels/cpu/table.h"
// The loops come last: they are written in the lanes above.
#include "cadre/kernels/cpu/loops/rows.h"

namespace cadre {

void fill_avx512_rows(CpuTable& table) { fill_rows(table); }

}  // namespace cadre
