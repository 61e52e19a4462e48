#pragma once
/// Block layouts of ggml's quantised types, byte for byte as GGUF files hold them (ggml-common.h), and the
/// scalar definition of what they decode to.

#include <cstdint>

#include "cadre/tensor/dtype.h"

namespace cadre {

struct BlockQ8_0 {
  uint16_t d;  ///< f16
  int8_t q[32];
};
struct BlockQ4_0 {
  uint16_t d;  ///< f16
  uint8_t q[16];
};
struct BlockQ4_K {
  uint16_t d;     ///< f16
  uint16_t dmin;  ///< f16
  uint8_t scales[12];
  uint8_t q[128];
};
struct BlockQ6_K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;  ///< f16
};
struct BlockMXFP4 {
  uint8_t e;  ///< E8M0
  uint8_t q[16];
};
static_assert(sizeof(BlockQ8_0) == 34 && sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_K) == 144);
static_assert(sizeof(BlockQ6_K) == 210 && sizeof(BlockMXFP4) == 17);

/// Decodes `elements` values (whole blocks) of any weight type to f32, without FP8's outer scales. Each value
/// is rounded as ggml's C code rounds it: Q8_0, Q4_0: d*q; Q4_K: (d*sc)*q - dmin*m; Q6_K: (d*sc)*q;
/// MXFP4: e2m1 * 2^(e-127). `source` needs no alignment.
void decode_row(DType dtype, const void* source, float* out, int64_t elements);

}  // namespace cadre
