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
///   - products along a column (`head_matmul` transposed, attention values, the bf16 channels of scores over
///   an
///     int8 cache, the sum over experts): one chain of fused multiply-adds in ascending index, starting from
///     0 (attention values: rescaled before each block).
/// The order is the same in every instruction set, so forcing one (CADRE_ISA) changes no bit either.

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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

/// y = max(x, 0), or its square (So et al. 2021, Primer).   x, y: [T, d]; y may be x. NaN stays NaN.
struct Relu {
  Tensor x;
  Tensor y;
  bool squared = false;
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
/// Entry p of a sequence lies in page pages[p / page_tokens] at slot p % page_tokens. A page of f32 or bf16
/// is its entries one after the other; a page of int8 is laid out as KvQuantisedPart says.
struct KvStream {
  std::byte* data = nullptr;
  DType dtype = DType::kF32;  ///< kF32, kBF16 or kI8
  int64_t width = 0;
  int64_t page_tokens = 0;  ///< kI8: a multiple of 16
  int64_t parts = 1;        ///< kI8: equal parts of an entry, each quantised by itself
  int64_t plain = 0;        ///< kI8: channels at the end of each part that stay bf16
};

inline constexpr int64_t kKvGroup = 64;  ///< coded channels that share a scale
inline constexpr int64_t kKvChannels =
    16;  ///< codes of a part are filled up with zeros to a multiple of this

/// One part of an int8 page. The part's first channels are codes of -127 to 127 with an f32 scale per group
/// of 64 (the last may be shorter), scale = largest magnitude / 127; its last `plain` channels are bf16:
///
///     codes   [channels / 4][page_tokens][4]   code + 128; four channels of an entry are adjacent
///     scales  [groups][page_tokens]            f32
///     plain   [plain][page_tokens]             bf16
///
/// Entries are the inner dimension because a kernel makes the scores of 16 keys at once. A group whose
/// largest magnitude is below 1e-35 is stored as zeros; one with a NaN or an infinity has a NaN for a scale.
struct KvQuantisedPart {
  int64_t coded = 0;     ///< channels with codes
  int64_t channels = 0;  ///< `coded`, filled up to a multiple of kKvChannels
  int64_t groups = 0;
  int64_t scales_offset = 0;  ///< bytes from the part's begin
  int64_t plain_offset = 0;
  int64_t bytes = 0;  ///< of the part in one page, a multiple of 64

  explicit KvQuantisedPart(const KvStream& stream)
      : coded(stream.width / stream.parts - stream.plain),
        channels((coded + kKvChannels - 1) / kKvChannels * kKvChannels),
        groups((coded + kKvGroup - 1) / kKvGroup),
        scales_offset(channels * stream.page_tokens),
        plain_offset(scales_offset + groups * stream.page_tokens * 4),
        bytes((plain_offset + stream.plain * stream.page_tokens * 2 + 63) / 64 * 64) {}
};

inline int64_t page_bytes(const KvStream& stream) {
  if (stream.dtype == DType::kI8) return stream.parts * KvQuantisedPart(stream).bytes;
  return stream.page_tokens * stream.width * (stream.dtype == DType::kF32 ? 4 : 2);
}

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

/// Keys of an attention chunk: 16 heads of MLA read 344 KB of them (int8) and leave 33 KB to be merged.
inline constexpr int64_t kKeysPerChunk = 512;

/// Causal attention over a paged cache. For each row t at position p and head h, with g = h / (heads /
/// kv_heads):
///   score_j = scale * (q[t, h] . k_j[g]), j = 0..p;   out[t, h] = sum_j softmax(score)_j v_j[g]
/// k_j[g] is channels [g * key_stride, + q.width) of entry j of `keys`; v_j[g] is channels
/// [g * value_stride, + out.width) of `values`. MLA in absorbed form: one KV head, keys and values the same
/// stream.
///
/// Keys are taken in chunks of kKeysPerChunk (or, if larger, a page), counted from position 0, and within a
/// chunk in blocks of `page_tokens` by an online softmax. The chunks' maxima m, sums s and weighted values a
/// are merged in ascending order: M' = max(M, m), S' = S exp(M - M') + s exp(m - M'), A' likewise, and
/// out = A / S. Neither boundary depends on how the rows came, and chunks may be computed anywhere.
///
/// Over an int8 stream both products are of integers. Scores: q is quantised like an entry (its plain
/// channels stay f32), and score = sum over the plain channels, then fma(dot_g, q_scale_g * k_scale_g, score)
/// for each group g in ascending order, dot_g the sum of products of codes. Values: for each block and group,
/// w_j = softmax weight * scale of entry j is rounded to u_j = w_j * (127 / largest w), and the block adds
/// (sum_j u_j code_j) * (largest w / 127). Where the largest w is below 1e-35 the block adds nothing.
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

class GradientBackend;

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
  virtual void relu(const Relu& args) = 0;
  virtual void add(const Add& args) = 0;
  virtual void copy(const Copy& args) = 0;
  virtual void kv_write(const KvWrite& args) = 0;
  virtual void kv_read(const KvRead& args) = 0;
  virtual void attend(const Attend& args) = 0;
  virtual void expert_ffn(const ExpertFfn& args) = 0;

  /// The operations of training (kernels/gradients.h); null for a device that only runs models.
  virtual GradientBackend* gradients() { return nullptr; }

  /// "cpu/avx512, 2 threads": what runs, for the log and for --version.
  virtual std::string description() const = 0;

  /// Time that callers have spent on waiting for the threads of this back end, of all operations so far; 0
  /// without threads.
  virtual std::chrono::nanoseconds waited() const { return std::chrono::nanoseconds(0); }
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

/// Where an inner loop of the CPU back end comes from.
struct KernelSource {
  std::string_view kernel;  ///< its name in the table
  std::string_view source;  ///< an instruction set: "avx512vnni"; "none": tensor/'s own conversion serves
};

/// Of all inner loops that a back end with these options has. Errors: as make_cpu_backend.
Result<std::vector<KernelSource>> cpu_kernel_sources(const CpuOptions& options);

}  // namespace cadre
