#pragma once
/// Products of a few or many rows with a panel of weight rows, on one thread: what matmul, head_matmul and
/// expert_ffn are made of.

#include "cadre/kernels/cpu/context.h"

namespace cadre::cpu {

/// y[r * y_stride + j] = x_r . w_j for each row j of w.
struct PanelProduct {
  const float* const* x = nullptr;  ///< [rows], already rounded for bf16 products
  int64_t rows = 0;
  Weight w;
  float* y = nullptr;
  int64_t y_stride = 0;
  Compute compute = Compute::kF32;
};

void panel_product(const CpuTable& table, const PanelProduct& p, Worker& worker);

/// From this many rows on, a panel of weights is decoded and packed first.
inline constexpr int64_t kPackedFromRows = 16;

/// Elements [begin, begin + count) of row r as f32, rounded to bf16 if the product takes bf16 inputs.
/// `begin` is a multiple of the type's block.
void decode_weights(const CpuTable& table, const Weight& w, int64_t r, int64_t begin, int64_t count,
                    Compute compute, float* out);

/// True where the inner loops read w as it lies in memory.
bool reads_in_place(const Weight& w, Compute compute);

/// x itself, or for bf16 products a rounded copy in ctx.rounded_x. A head stride of 0 is kept.
Tensor product_input(CpuContext& ctx, const Tensor& x, Compute compute);

}  // namespace cadre::cpu
