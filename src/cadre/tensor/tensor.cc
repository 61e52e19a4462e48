#include "cadre/tensor/tensor.h"

#include <fmt/ranges.h>

#include "cadre/tensor/blocks.h"
#include "cadre/tensor/packed.h"

namespace cadre {

std::string to_string(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

void decode_weight_row(const Weight& w, int64_t r, float* out) {
  if (is_packed(w.dtype)) return decode_packed_row(w.dtype, w.data, w.cols, w.row_offset + r, 0, w.cols, out);
  decode_row(w.dtype, w.row(r), out, w.cols);
  if (w.scales == nullptr) return;
  const float* scales = w.scales + (r + w.row_offset) / w.block_rows * w.scale_stride;
  for (int64_t c = 0; c < w.cols; ++c) out[c] *= scales[c / w.block_cols];
}

}  // namespace cadre
