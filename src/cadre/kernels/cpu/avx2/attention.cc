#include "cadre/kernels/cpu/avx2/lanes.h"
#include "cadre/kernels/cpu/table.h"
// The loops come last: they are written in the lanes and quads above.
#include "cadre/kernels/cpu/avx2/quads.h"
#include "cadre/kernels/cpu/loops/attention.h"

namespace cadre {

void fill_avx2_attention(CpuTable& table) { fill_coded_attention(table); }

}  // namespace cadre
