#include "cadre/kernels/cpu/avx512/lanes.h"
#include "cadre/kernels/cpu/table.h"
// The loops come last: they are written in the lanes above.
#include "cadre/kernels/cpu/loops/outer.h"
#include "cadre/kernels/cpu/loops/products.h"

namespace cadre {

void fill_avx512_products(CpuTable& table) { fill_products(table); }

}  // namespace cadre
