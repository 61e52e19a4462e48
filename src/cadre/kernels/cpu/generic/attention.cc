#include "cadre/kernels/cpu/generic/lanes.h"
#include "cadre/kernels/cpu/table.h"
// The loops come last: they are written in the lanes and quads above.
#include "cadre/kernels/cpu/generic/quads.h"
#include "cadre/kernels/cpu/loops/attention.h"

namespace cadre {

void fill_generic_attention(CpuTable& table) { fill_coded_attention(table); }

}  // namespace cadre
