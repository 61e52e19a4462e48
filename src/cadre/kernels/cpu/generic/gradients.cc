#include "cadre/kernels/cpu/generic/lanes.h"
#include "cadre/kernels/cpu/table.h"
// The loops come last: they are written in the lanes above.
#include "cadre/kernels/cpu/loops/gradients.h"

namespace cadre {

void fill_generic_gradients(CpuTable& table) { fill_gradients(table); }

}  // namespace cadre
