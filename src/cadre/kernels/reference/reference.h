#pragma once
/// The definition of every operation: scalar loops on one thread, sums in f64. Arguments as in
/// kernels/backend.h; the files are named after the concepts, as those of other back ends are.

#include <vector>

#include "cadre/kernels/backend.h"

namespace cadre::reference {

void matmul(const Matmul& args);
void head_matmul(const HeadMatmul& args);
void embed(const Embed& args);
void rms_norm(const RmsNorm& args);
void rope(const Rope& args);
void swiglu(const Swiglu& args);
void relu(const Relu& args);
void add(const Add& args);
void copy(const Copy& args);
void kv_write(const KvWrite& args);
void kv_read(const KvRead& args);
void attend(const Attend& args);
void expert_ffn(const ExpertFfn& args);

/// A row of inputs as a product with w sees it.
std::vector<float> rounded_inputs(const float* x, int64_t width, const Weight& w, Compute compute);

/// A value as a product of floats sees it, and the sum of such products.
double input(float value, Compute compute);
double dot(const float* a, const float* b, int64_t count, Compute compute = Compute::kF32);

/// All of w as the product sees it, [rows, cols].
std::vector<float> decoded(const Weight& w, Compute compute);

}  // namespace cadre::reference
