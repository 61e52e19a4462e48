#pragma once
/// Products X^T X, and the factor that error compensation needs of them. Matrices are symmetric [n, n],
/// row-major, of which only the lower triangle (column <= row) is read and written. Results do not depend on
/// the threads of the back end, which does the heavy products.

#include <cstdint>
#include <vector>

#include "cadre/kernels/backend.h"

namespace cadre {

/// gram += sign X^T X.   x: [T, n], one head; gram: rows of `stride` floats
void add_gram(Backend& backend, const Tensor& x, float sign, float* gram, int64_t stride);

/// How the rounding error of one column is made good by those after it. With H = R R^T, R upper triangular,
/// the errors e of a row of weights (weight less value) cost
///
///     e H e^T = sum_k cost[k] (e_k + sum_{j < k} e_j feedback[k][j])^2,
///     feedback[k][j] = R[j][k] / R[k][k],   cost[k] = R[k][k]^2
///
/// so that column k is best rounded from w_k + sum_{j < k} e_j feedback[k][j], once those before it are. This
/// is GPTQ (Frantar et al., arXiv:2210.17323) in the form of QuIP's LDLQ (Chee et al., arXiv:2307.13304),
/// which shows the two to be equal and needs no inverse of H.
struct ErrorFeedback {
  int64_t n = 0;
  std::vector<float> feedback;  ///< [n, n], below the diagonal
  std::vector<float> cost;      ///< [n]

  const float* row(int64_t k) const { return feedback.data() + k * n; }
};

/// The factor of `h` [n, n] with `damping` times the mean of its diagonal added to the diagonal; where
/// rounding makes that indefinite, with ten times as much, and again. An h of zeros gives no feedback, and
/// costs of 1.
ErrorFeedback factorise(Backend& backend, const std::vector<float>& h, int64_t n, double damping);

}  // namespace cadre
