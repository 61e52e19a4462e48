#pragma once
/// What a device must be able to do: a few coarse operations over plain argument structs.
///
/// Arguments have been checked by the operation that calls (ops/), so a back end may trust them. Activations
/// are f32. A back end may fuse, tile and thread inside an operation as it likes, under one rule, batch
/// invariance: a row of the result depends only on that row's own inputs, bit for bit, whatever the number
/// of rows in the call, the number of threads, and the other rows. Every reduction therefore has one fixed
/// order:
///   - products along a contiguous pair of rows (`matmul`, attention scores, sums of squares), as if padded
///     with zeros to a multiple of 16: sixteen partial sums, element k into sum k mod 16 by fused
///     multiply-add in ascending k, then the sixteen are added as a tree: s[l] += s[l + 8], + 4, + 2, + 1;
///   - products along a column (`head_matmul` transposed, attention values, the sum over experts): one chain
///     of fused multiply-adds in ascending index, starting from 0 (attention: rescaled before each block).
/// The order is the same in every instruction set, so forcing one (CADRE_ISA) changes no bit either.

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "cadre/base/cpu_features.h"
#include "cadre/base/result.h"
#include "cadre/tensor/tensor.h"

namespace cadre {

/// What the inputs of a matrix product are rounded to before it. Sums are f32 throughout.
enum class Compute : uint8_t {
  kF32,
  kBF16,
  /// With packed weights (tensor/packed.h): per row and group of 32 to integers of -127 to 127 times a scale,
  /// the largest magnitude / 127. Products within a group are integers and exact. Other weights: as kF32.
  kInt8,
};

/// y[t, o] = sum_k x[t, k] w[o, k].   x: [T, in], w: [out, in], y: [T, out]
struct Matmul {
  Tensor x;
  Weight w;
  Tensor y;
  Compute compute = Compute::kF32;
};

/// One matrix per head: y[t, h, o] = sum_i x[t, h, i] w_h[o, i], or sum_i x[t, h, i] w_h[i, o] if transposed.
/// w_h is rows [first_row + h * head_rows, ...) of w: [y.width, x.width], or [x.width, y.width] if
/// transposed. Transposed, or where heads do not begin at blocks of 16 rows, kInt8 means kF32.
struct HeadMatmul {
  Tensor x;  ///< [T, H, in]; a head stride of 0 gives every head the same input
  Weight w;
  int64_t first_row = 0;
  int64_t head_rows = 0;
  bool transposed = false;
  Tensor y;  ///< [T, H, out]
  Compute compute = Compute::kF32;
};

/// Whether kInt8 is what it says for packed weights: heads begin at whole blocks, and rows are summed along.
inline bool heads_take_int8(const HeadMatmul& args) {
  return !args.transposed && args.first_row % 16 == 0 && args.head_rows % 16 == 0;
}

/// y[t] = table[ids[t]].   table: [V, d], y: [T, d]
struct Embed {
  std::span<const int32_t> ids;
  Weight table;
  Tensor y;
};

/// y = x * (1 / sqrt(mean(x^2) + eps)) * gain, per row and head; y may be x.   x, y: [T, H, d], gain: [d]
struct RmsNorm {
  Tensor x;
  const float* gain = nullptr;  ///< [d]; null for no gain
  Tensor y;
  float eps = 0;
};

/// Rotates pairs of channels of each row and head in place.   x: [T, H, d], cosine and sine: [T, d / 2]
/// Interleaved (DeepSeek): pair i is channels (2i, 2i + 1). Otherwise (Llama): (i, i + d / 2).
/// first' = first * c - second * s, second' = first * s + second * c, each product rounded, then the sum.
struct Rope {
  Tensor x;
  const float* cosine = nullptr;
  const float* sine = nullptr;
  bool interleaved = true;
};

/// y = silu(gate) * up, silu(v) = v / (1 + exp(-v)).   all [T, f]; y may be gate
struct Swiglu {
  Tensor gate;
  Tensor up;
  Tensor y;
};

/// y += x.   both [T, d]
struct Add {
  Tensor x;
  Tensor y;
};

/// y = x between views of different strides.   both [T, H, d]
struct Copy {
  Tensor x;
  Tensor y;
};

/// One stream of a paged cache at one layer: entries of `width` values, `page_tokens` entries to a page.
/// Entry p of a sequence lies in page pages[p / page_tokens] at slot p % page_tokens.
struct KvStream {
  std::byte* data = nullptr;
  DType dtype = DType::kF32;  ///< kF32 or kBF16
  int64_t width = 0;
  int64_t page_tokens = 0;
};

/// Rows [first_row, first_row + rows) of a batch: consecutive positions of one sequence.
struct SequenceRows {
  int64_t first_row = 0;
  int64_t rows = 0;
  int64_t first_position = 0;
  const int32_t* pages = nullptr;  ///< enough for first_position + rows entries
};

/// Writes row t's entry, rounded to the stream's type.   x: [T, width]
struct KvWrite {
  Tensor x;
  KvStream stream;
  std::span<const SequenceRows> sequences;
};

/// y[j] = entry j of a sequence, widened to f32.   y: [n, width]
struct KvRead {
  KvStream stream;
  const int32_t* pages = nullptr;
  Tensor y;
};

/// Causal attention over a paged cache. For each row t at position p and head h, with g = h / (heads /
/// kv_heads):
///   score_j = scale * (q[t, h] . k_j[g]), j = 0..p;   out[t, h] = sum_j softmax(score)_j v_j[g]
/// k_j[g] is channels [g * key_stride, + q.width) of entry j of `keys`; v_j[g] is channels
/// [g * value_stride, + out.width) of `values`. MLA in absorbed form: one KV head, keys and values the same
/// stream. Online softmax over blocks of `page_tokens` keys in ascending order, block boundaries at multiples
/// of page_tokens from position 0, so that the order does not depend on how the rows came.
struct Attend {
  Tensor q;  ///< [T, heads, key width]
  KvStream keys;
  KvStream values;
  int64_t kv_heads = 1;
  int64_t key_stride = 0;
  int64_t value_stride = 0;
  float scale = 1;
  std::span<const SequenceRows> sequences;
  Tensor out;  ///< [T, heads, value width]
};

/// The three matrices of one SwiGLU expert.
struct ExpertWeights {
  Weight gate;  ///< [f, d]
  Weight up;    ///< [f, d]
  Weight down;  ///< [d, f]
};

/// The assignments of one expert: `rows[i]` goes to it with `weights[i]`; ascending rows. Experts of a call
/// may differ in width: a shared expert, or a dense FFN, is a group of all rows with weights 1.
struct ExpertGroup {
  ExpertWeights expert;
  int64_t first = 0;  ///< index of the group's first assignment
  int64_t count = 0;
  Tensor hidden;  ///< [count, f] after SwiGLU; the operation's result beside y
};

/// y[t] = sum over the assignments a of row t, in the order of the groups: weights[a] * E_a(x[t]).
/// E(x) = down (silu(gate x) * (up x)).   x, y: [T, d]; rows without assignments become 0
struct ExpertFfn {
  Tensor x;
  std::span<const ExpertGroup> groups;  ///< ascending expert index, the shared expert last
  std::span<const int32_t> rows;        ///< [A] row of each assignment, grouped by expert
  std::span<const float> weights;       ///< [A]
  Tensor outputs;                       ///< scratch, [A, d]
  Tensor y;
  Compute compute = Compute::kF32;
};

/// Thread-compatible: one caller at a time. Owns its threads and scratch memory.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual void matmul(const Matmul& args) = 0;
  virtual void head_matmul(const HeadMatmul& args) = 0;
  virtual void embed(const Embed& args) = 0;
  virtual void rms_norm(const RmsNorm& args) = 0;
  virtual void rope(const Rope& args) = 0;
  virtual void swiglu(const Swiglu& args) = 0;
  virtual void add(const Add& args) = 0;
  virtual void copy(const Copy& args) = 0;
  virtual void kv_write(const KvWrite& args) = 0;
  virtual void kv_read(const KvRead& args) = 0;
  virtual void attend(const Attend& args) = 0;
  virtual void expert_ffn(const ExpertFfn& args) = 0;

  /// "cpu/avx512, 2 threads": what runs, for the log and for --version.
  virtual std::string description() const = 0;
};

/// Scalar loops, one thread, sums in f64: the definition of every operation, and the twin in every test.
std::unique_ptr<Backend> make_reference_backend();

inline constexpr int kMaxThreads = 1024;

struct CpuOptions {
  int threads = 0;  ///< 0: one per core this process may run on
  /// "auto" (or empty), "generic", "avx2" or "avx512". Errors: kUsage when unknown, kNotFound when this
  /// machine lacks it; never another one silently.
  std::string isa = "auto";
  bool vnni = true;  ///< use the dot products of AVX-VNNI or AVX-512 VNNI where the machine has them
};

Result<std::unique_ptr<Backend>> make_cpu_backend(const CpuOptions& options);

}  // namespace cadre
