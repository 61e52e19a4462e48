#pragma once
/// The parts of Muon's update: an orthogonal matrix near the momentum, by Newton-Schulz iteration.

#include <span>

#include "cadre/kernels/gradients.h"

namespace cadre::train {

/// momentum = beta momentum + g with g = scale gradient; direction = g + beta momentum; the gradient becomes
/// 0.
void nesterov_momentum(std::span<float> gradient, float scale, float beta, float* momentum,
                       std::span<float> direction);

/// x <- about U V^T for x = U S V^T: five steps X <- a X + (b A + c A^2) X, A = X X^T, from X = x / |x|_F.
/// The coefficients bring singular values to between about 0.7 and 1.2, not to 1. A matrix of zeros stays
/// zeros.
void orthogonalise(const Tensor& x, GradientBackend& device);

/// values = keep values - step direction
void step_along(std::span<const float> direction, float step, float keep, std::span<float> values);

}  // namespace cadre::train
