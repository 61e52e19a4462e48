#pragma once
/// The operations of training on the CPU back end: how each is cut into tasks. Arguments as in
/// kernels/gradients.h.

#include "cadre/kernels/cpu/context.h"
#include "cadre/kernels/gradients.h"

namespace cadre::cpu {

void gemm(CpuContext& ctx, const Gemm& args);
void add_heads(CpuContext& ctx, const AddHeads& args);
void rms_norm_grad(CpuContext& ctx, const RmsNormGrad& args);
void relu_grad(CpuContext& ctx, const ReluGrad& args);
void causal_attention(CpuContext& ctx, const CausalAttention& args);
void causal_attention_grad(CpuContext& ctx, const CausalAttentionGrad& args);
void expert_ffn_training(CpuContext& ctx, const ExpertFfnTraining& args);
void expert_ffn_grad(CpuContext& ctx, const ExpertFfnGrad& args);
void cross_entropy(CpuContext& ctx, const CrossEntropy& args);
void embed_grad(CpuContext& ctx, const EmbedGrad& args);
void adamw(CpuContext& ctx, const AdamW& args);
double square_sum(CpuContext& ctx, std::span<const float> x);

}  // namespace cadre::cpu
