#pragma once
/// The definition of the operations of training: scalar loops on one thread, sums in f64. Arguments as in
/// kernels/gradients.h.

#include "cadre/kernels/gradients.h"

namespace cadre::reference {

void gemm(const Gemm& args);
void add_heads(const AddHeads& args);
void rms_norm_grad(const RmsNormGrad& args);
void relu_grad(const ReluGrad& args);
void causal_attention(const CausalAttention& args);
void causal_attention_grad(const CausalAttentionGrad& args);
void expert_ffn_training(const ExpertFfnTraining& args);
void expert_ffn_grad(const ExpertFfnGrad& args);
void cross_entropy(const CrossEntropy& args);
void embed_grad(const EmbedGrad& args);
void adamw(const AdamW& args);
double square_sum(std::span<const float> x);

}  // namespace cadre::reference
