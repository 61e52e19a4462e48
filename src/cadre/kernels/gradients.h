#pragma once
/// What a device must be able to do, beside kernels/backend.h, for a model to be trained on it.
///
/// All values are f32, and arguments have been checked by the operation that calls. Gradients are added to
/// what is there, so a buffer that starts at zero collects those of all uses and of all micro-batches.
/// Every sum has one fixed order whatever the number of threads and the instruction set, so training is
/// repeatable bit for bit. Sums over the inner dimension of a `Gemm` go in blocks of kGemmBlock: each is one
/// chain of fused multiply-adds in ascending index that starts from 0, and the blocks are added in ascending
/// order.
///
/// Where an operation has a `compute`, kBF16 rounds both sides of each of its matrix products, and those
/// alone: what it keeps and what it adds to stays f32. kInt8 means kF32.

#include <cstdint>
#include <span>

#include "cadre/kernels/backend.h"

namespace cadre {

inline constexpr int64_t kGemmBlock = 256;

/// c += a b, or c = a b if not `add`.   a: [m, k], or [k, m] if transposed; b: [k, n] or [n, k]; c: [m, n]
struct Gemm {
  Tensor a;
  Tensor b;
  Tensor c;
  bool a_transposed = false;
  bool b_transposed = false;
  bool add = true;
  Compute compute = Compute::kF32;
};

/// y += x, heads in ascending order.   x, y: [T, H, d]; a head stride of 0 in y sums the heads of x
struct AddHeads {
  Tensor x;
  Tensor y;
};

/// Of RmsNorm, with r = 1 / rms(x):  dx += r (g dy) - x r^3 / d sum_i(g_i dy_i x_i),  dg += dy x r.
struct RmsNormGrad {
  Tensor x;  ///< [T, H, d], as dy and dx
  const float* gain = nullptr;
  Tensor dy;
  Tensor dx;
  float* dgain = nullptr;  ///< [d]; null if not wanted
  float eps = 0;
};

/// Of Relu:  where x > 0, dx += dy, or dx += 2 x dy if squared.   all [T, d]
struct ReluGrad {
  Tensor x;
  Tensor dy;
  Tensor dx;
  bool squared = false;
};

/// Causal attention of whole sequences over keys and values that lie in memory as rows. For each row t of a
/// sequence and head h, with g = h / (heads / KV heads):
///   p_j = softmax_j(scale q[t, h] . k[j, g]),  j from the sequence's first row to t
///   out[t, h] = sum_j p_j v[j, g]
struct CausalAttention {
  Tensor q;  ///< [T, heads, dk]
  Tensor k;  ///< [T, KV heads, dk]
  Tensor v;  ///< [T, KV heads, dv]
  float scale = 1;
  std::span<const SequenceRows> sequences;  ///< from position 0; pages are not used
  Tensor out;                               ///< [T, heads, dv]
};

struct CausalAttentionGrad {
  CausalAttention forward;  ///< `out` is not read: the probabilities are made again
  Tensor dout;
  Tensor dq;
  Tensor dk;
  Tensor dv;
};

/// What the gradient of an expert needs from the forward pass.   all [count, f]
struct ExpertActivations {
  Tensor gate;  ///< gate x
  Tensor up;    ///< up x
};

/// As ExpertFfn, for f32 weights, keeping `activations` beside the groups' hidden rows.
struct ExpertFfnTraining {
  Tensor x;
  std::span<const ExpertGroup> groups;
  std::span<const ExpertActivations> activations;
  std::span<const int32_t> rows;
  std::span<const float> weights;
  Tensor outputs;  ///< scratch, [A, d]
  Tensor y;
  Compute compute = Compute::kF32;
};

/// Gradients of one expert's matrices, shaped as they are; data is null where none is wanted.
struct ExpertWeightGrad {
  Tensor gate;
  Tensor up;
  Tensor down;
};

/// Overwrites hidden rows and activations.
struct ExpertFfnGrad {
  Tensor x;
  std::span<const ExpertGroup> groups;
  std::span<const ExpertActivations> activations;
  std::span<const int32_t> rows;
  std::span<const float> weights;
  Tensor dy;                                    ///< [T, d]
  Tensor dx;                                    ///< [T, d]
  float* dweights = nullptr;                    ///< [A], set, not added to
  std::span<const ExpertWeightGrad> gradients;  ///< [groups]
  std::span<const Tensor> dhidden;              ///< scratch of each group, [count, f]
  Tensor outputs;                               ///< scratch, [A, d]
  Compute compute = Compute::kF32;
};

/// losses[t] = logsumexp(logits[t]) - logits[t][targets[t]], 0 where the target is -1. The logits become
/// their gradient: scale (softmax - 1[target]), 0 where the target is -1.
struct CrossEntropy {
  Tensor logits;  ///< [T, V]
  std::span<const int32_t> targets;
  float scale = 1;
  double* losses = nullptr;  ///< [T]
};

/// dtable[ids[t]] += dy[t], in ascending t.
struct EmbedGrad {
  std::span<const int32_t> ids;
  Tensor dy;
  Tensor dtable;  ///< [V, d]
};

/// One step of AdamW (Loshchilov and Hutter, arXiv:1711.05101) with g = gradient_scale * gradient:
///   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
///   value = value (1 - lr decay) - lr (m / c1) / (sqrt(v / c2) + eps),   c = 1 - b^step
/// The gradient becomes 0.
struct AdamW {
  float* value = nullptr;
  float* gradient = nullptr;
  float* m = nullptr;
  float* v = nullptr;
  int64_t count = 0;
  float gradient_scale = 1;
  float learning_rate = 0;
  float beta1 = 0;
  float beta2 = 0;
  float eps = 0;
  float decay = 0;
  float correction1 = 1;
  float correction2 = 1;
};

/// Thread-compatible, and not to be used at the same time as the Backend it belongs to.
class GradientBackend {
 public:
  virtual ~GradientBackend() = default;

  virtual void gemm(const Gemm& args) = 0;
  virtual void add_heads(const AddHeads& args) = 0;
  virtual void rms_norm_grad(const RmsNormGrad& args) = 0;
  virtual void relu_grad(const ReluGrad& args) = 0;
  virtual void causal_attention(const CausalAttention& args) = 0;
  virtual void causal_attention_grad(const CausalAttentionGrad& args) = 0;
  virtual void expert_ffn_training(const ExpertFfnTraining& args) = 0;
  virtual void expert_ffn_grad(const ExpertFfnGrad& args) = 0;
  virtual void cross_entropy(const CrossEntropy& args) = 0;
  virtual void embed_grad(const EmbedGrad& args) = 0;
  virtual void adamw(const AdamW& args) = 0;
  /// Sum of squares, in f64 between blocks.
  virtual double square_sum(std::span<const float> x) = 0;
};

}  // namespace cadre
