#pragma once
/// The inner loops of the CPU back end as a table of functions, one table per instruction set.
///
/// Plain structs and C types only: this header is compiled with the flags of each instruction set, and must
/// not define anything that the linker could take from one of them for all. Sixteen lanes are the unit of
/// every reduction (kernels/backend.h), whatever the registers: "as if padded with zeros to a multiple of
/// 16".

#include <cstdint>

namespace cadre {

/// y[i * y_stride + j] = x_i . w_j over k elements, weights read where they lie.
struct DotRows {
  const float* const* x;  ///< [x_rows]
  int64_t x_rows;
  const void* w;  ///< row j at byte j * w_stride, any alignment
  int64_t w_stride;
  int64_t w_rows;
  int64_t k;
  float* y;
  int64_t y_stride;
};

/// Up to `tile` rows of k elements interleaved in steps of 16: out[step][row][lane], zeros where rows or
/// elements are missing.
struct PackRows {
  const void* const* rows;  ///< [count]
  int64_t count;
  int64_t tile;
  int64_t k;
  float* out;  ///< [ceil(k / 16)][tile][16]
};

/// The products of a packed tile of x with a packed tile of w, over part of their length: `first` starts the
/// partial sums, otherwise they are read from `partial`; `last` adds them up and stores the results,
/// otherwise they are written back.
struct TileProduct {
  const float* x;  ///< [steps][x_tile][16]
  const float* w;  ///< [steps][w_tile][16]
  int64_t steps;
  bool first;
  bool last;
  float* partial;  ///< [x_tile][w_tile][16]; unused if first and last
  float* y;
  int64_t y_stride;
  int64_t rows;  ///< of y that exist, up to x_tile
  int64_t cols;  ///< up to w_tile
};

/// y[r, c] = chain over j of p[r, j] * v[j, c] by fused multiply-add in ascending j, starting from 0, or
/// from y[r, c] * rescale[r].
struct ColumnProduct {
  const float* p;
  int64_t p_stride;
  int64_t rows;
  int64_t count;
  const void* v;  ///< row j at byte j * v_stride
  int64_t v_stride;
  int64_t width;
  float* y;
  int64_t y_stride;
  const float* rescale;  ///< [rows], or null to start from 0
};

/// One block of an online softmax: scores become exp(scale * score - maximum), `maximum` and `sum` take the
/// block in, and the factor for what was accumulated before comes back.
struct SoftmaxBlock {
  float* scores;
  int64_t count;  ///< at least 1
  float scale;
  float* maximum;  ///< -infinity before the first block
  float* sum;      ///< 0 before the first block
};

/// Takes one softmax, with its sum of weighted values, into another: see Attend.
struct SoftmaxMerge {
  float* maximum;
  float* sum;
  float* values;  ///< [width]
  float from_maximum;
  float from_sum;
  const float* from_values;
  int64_t width;
};

/// Rows of x rounded to bytes in groups of 32 (Compute::kInt8): [groups][rows], because a product takes one
/// group of many rows at a time. x = scale * code.
struct QuantisedRows {
  int8_t* codes;  ///< [groups][rows][32]
  float* scales;  ///< [groups][rows]
  int32_t* sums;  ///< [groups][rows] of the codes
  int64_t rows;   ///< between two groups
};

/// One row of x to QuantisedRows.
struct QuantiseRow {
  const float* x;  ///< [groups * 32]
  int64_t groups;
  int8_t* codes;  ///< group g at codes + g * code_stride
  int64_t code_stride;
  float* scales;  ///< group g at scales + g * stride
  int32_t* sums;
  int64_t stride;
};

/// y[r * y_stride + c] = x_r . w_c for x_rows rows and cols columns; w is packed, from the beginning of a
/// block.
struct PackedProduct {
  QuantisedRows x;
  int64_t x_rows;
  const uint8_t* w;
  int64_t block_bytes;  ///< of 16 rows of w
  int64_t groups;
  int64_t cols;           ///< rows of w
  const uint8_t* values;  ///< [16] value + offset by code, for types whose codes are not consecutive integers
  float* y;
  int64_t y_stride;
};

/// Columns [32 first, 32 (first + count)) of one row of a packed matrix as f32, scale * value.
struct DecodePackedRow {
  const uint8_t* block;  ///< the row's block of 16
  int64_t row;           ///< in the block
  int64_t first;
  int64_t count;
  const uint8_t* values;  ///< as PackedProduct
  float* out;
};

/// What the kernels can do with one packed type.
struct PackedLoops {
  void (*product)(const PackedProduct&);
  void (*decode_row)(const DecodePackedRow&);
};

struct RmsNormRow {
  const float* x;
  const float* gain;  ///< may be null
  float* y;           ///< may be x
  int64_t width;
  float eps;
};

struct RopeRow {
  float* x;
  const float* cosine;
  const float* sine;
  int64_t pairs;
  bool interleaved;
};

struct SwigluRow {
  const float* gate;
  const float* up;
  float* y;  ///< may be gate
  int64_t width;
  bool round_to_bf16;  ///< the result, for a product that takes bf16 inputs
};

// Attention over an int8 cache (kernels/backend.h: Attend, KvQuantisedPart). Codes of entries are stored +
// 128.

/// A group of up to 64 values as codes, filled up with zeros to a multiple of 16.
struct CodeGroup {
  const float* x;
  int64_t count;
  int8_t* codes;
  float* scale;
  int32_t* sum;  ///< of the codes
};

/// A query as codes.
struct CodedQuery {
  const int8_t* codes;  ///< [channels]
  const float* scales;  ///< [groups]
  const int32_t* sums;  ///< [groups] of the codes
  const float* plain;   ///< [plain], as they are
};

/// Scores of each query with the first `keys` entries of a page, rounded up to a multiple of 16.
struct CodedScores {
  const CodedQuery* queries;
  int64_t count;
  int64_t channels;
  int64_t plain;
  int64_t page_tokens;
  int64_t keys;
  const uint8_t* key_codes;
  const float* key_scales;
  const void* key_plain;
  const uint8_t* next;  ///< the part of the page that comes after, to be prefetched; may be null
  int64_t next_bytes;
  float* y;
  int64_t y_stride;
};

/// Codes of a page by quads of channels to signed codes by quads of entries: out[entry / 4][channel][entry %
/// 4].
struct TransposeCodes {
  const uint8_t* codes;
  int64_t channels;
  int64_t page_tokens;
  int64_t keys;  ///< rounded up to a multiple of 16
  int8_t* out;
};

/// The softmax weights of one query over a block, times the entries' scales, as codes of 0 to 127.
struct CodedWeights {
  const float* p;
  int64_t keys;
  const float* value_scales;  ///< [groups][page_tokens]
  int64_t groups;
  int64_t page_tokens;
  int8_t* u;      ///< [groups][page_tokens]; 0 from `keys` up to a multiple of 16
  float* scales;  ///< [groups]
};

/// y[r, c] = fma(sum_j u[r][c / 64][j] code_j[c], scales[r][c / 64], y[r, c] * rescale[r])
struct CodedValues {
  const int8_t* u;       ///< [rows][groups][page_tokens]
  const float* scales;   ///< [rows][groups]
  const float* rescale;  ///< [rows]
  int64_t rows;
  const int8_t* codes;  ///< as TransposeCodes leaves them
  int64_t channels;
  int64_t groups;
  int64_t page_tokens;
  int64_t keys;
  int64_t width;  ///< channels wanted, a multiple of 16
  float* y;
  int64_t y_stride;
};

// Training (kernels/gradients.h).

/// One tile of a product: c[r, j] = or += sum over i of a[i][r] b[i][j], one chain in ascending i from 0.
struct GemmTile {
  const float* a;  ///< [k][gemm_rows]
  const float* b;  ///< [k][gemm_columns]
  int64_t k;
  float* c;
  int64_t c_stride;
  int64_t rows;     ///< that exist, up to gemm_rows
  int64_t columns;  ///< up to gemm_columns
  bool add;
};

/// Lines of k elements side by side: out[i][line], zeros for lines that are missing. Writes up to 16 floats
/// beyond [k][tile].
struct GemmPack {
  const float* const* rows;  ///< along: [count], a line each; across: [k], element i of all lines each
  int64_t count;             ///< lines, up to `tile`
  int64_t tile;
  int64_t k;
  float* out;
};

struct RmsNormGradRow {
  const float* x;
  const float* gain;
  const float* dy;
  float* dx;     ///< added to
  float* dgain;  ///< added to; may be null
  int64_t width;
  float eps;
};

/// gate, up and hidden become d gate, d up and weight * hidden; dhidden is that of an unweighted output.
struct SwigluGradRow {
  float* gate;
  float* up;
  float* hidden;
  const float* dhidden;
  float weight;
  int64_t width;
};

/// dp becomes scale * p (dp - sum p dp).
struct SoftmaxGradRow {
  const float* p;
  float* dp;
  int64_t count;
  float scale;
};

/// Elements of kernels/gradients.h: AdamW.
struct AdamWRange {
  float* value;
  float* gradient;
  float* m;
  float* v;
  int64_t count;
  float gradient_scale;
  float learning_rate;
  float beta1;
  float beta2;
  float eps;
  float decay;
  float correction1;
  float correction2;
};

struct CpuTable {
  // Products along rows.
  void (*dot_rows_f32)(const DotRows&);
  void (*dot_rows_bf16)(const DotRows&);
  int64_t x_tile;  ///< rows of x in a tile of tile_product
  int64_t w_tile;
  void (*pack_f32)(const PackRows&);
  void (*pack_bf16)(const PackRows&);
  void (*tile_product)(const TileProduct&);

  // Products with packed weights.
  void (*quantise_row)(const QuantiseRow&);
  PackedLoops q8;
  PackedLoops q6;
  PackedLoops q4;
  PackedLoops mxfp4;
  PackedLoops q3;
  PackedLoops q2;

  // Products along columns.
  void (*column_product_f32)(const ColumnProduct&);
  void (*column_product_bf16)(const ColumnProduct&);

  // One row.
  float (*softmax_block)(const SoftmaxBlock&);
  void (*softmax_merge)(const SoftmaxMerge&);
  void (*rms_norm_row)(const RmsNormRow&);
  void (*rope_row)(const RopeRow&);
  void (*swiglu_row)(const SwigluRow&);
  void (*add_row)(const float* x, float* y, int64_t width);
  void (*multiply_add_row)(float factor, const float* x, float* y, int64_t width);  ///< y = fma(factor, x, y)
  void (*multiply_row)(float factor, float* y, int64_t width);
  void (*divide_row)(const float* x, float divisor, float* y, int64_t width);
  void (*round_to_bf16_row)(const float* x, float* y, int64_t width);

  // Attention over an int8 cache.
  void (*code_group)(const CodeGroup&);
  void (*coded_scores)(const CodedScores&);
  void (*transpose_codes)(const TransposeCodes&);
  void (*coded_weights)(const CodedWeights&);
  void (*coded_values)(const CodedValues&);

  // Training.
  int64_t gemm_rows;     ///< of a tile of gemm_tile
  int64_t gemm_columns;  ///< a multiple of 16
  void (*gemm_tile)(const GemmTile&);
  void (*gemm_pack_along)(const GemmPack&);
  void (*gemm_pack_across)(const GemmPack&);
  void (*rms_norm_grad_row)(const RmsNormGradRow&);
  float (*swiglu_grad_row)(const SwigluGradRow&);  ///< the sum of hidden dhidden
  void (*softmax_grad_row)(const SoftmaxGradRow&);
  void (*adamw_range)(const AdamWRange&);
  float (*square_sum)(const float* x, int64_t count);

  // Conversions of a row; the source needs no alignment. Null where tensor/'s decode_row is all there is.
  void (*store_bf16_row)(const float* x, void* y, int64_t width);
  void (*decode_bf16)(const void* source, float* out, int64_t elements);
  void (*decode_f16)(const void* source, float* out, int64_t elements);
  void (*decode_f8e4m3)(const void* source, float* out, int64_t elements);
  void (*decode_q8_0)(const void* source, float* out, int64_t elements);
  void (*decode_q4_0)(const void* source, float* out, int64_t elements);
  void (*decode_q4_k)(const void* source, float* out, int64_t elements);
  void (*decode_q6_k)(const void* source, float* out, int64_t elements);
  void (*decode_mxfp4)(const void* source, float* out, int64_t elements);
};

// Each sets the entries it has; an entry that an instruction set does not fill is inherited from the one
// before it. Defined in cpu/<instruction set>/.
void fill_generic_products(CpuTable& table);
void fill_generic_packed(CpuTable& table);
void fill_generic_rows(CpuTable& table);
void fill_generic_gradients(CpuTable& table);
void fill_generic_attention(CpuTable& table);
void fill_avx2_products(CpuTable& table);
void fill_avx2_packed(CpuTable& table);
void fill_avxvnni_packed(CpuTable& table);
void fill_avxvnni_attention(CpuTable& table);
void fill_avx2_rows(CpuTable& table);
void fill_avx2_gradients(CpuTable& table);
void fill_avx2_decode(CpuTable& table);
void fill_avx2_attention(CpuTable& table);
void fill_avx512_products(CpuTable& table);
void fill_avx512_rows(CpuTable& table);
void fill_avx512_gradients(CpuTable& table);
void fill_avx512_decode(CpuTable& table);
void fill_avx512vnni_packed(CpuTable& table);
void fill_avx512vnni_attention(CpuTable& table);

}  // namespace cadre
