#include <algorithm>
#include <cmath>

#include "cadre/kernels/reference/reference.h"

namespace cadre::reference {
namespace {

double dot(const float* w, const float* x, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += double{w[i]} * double{x[i]};
  return sum;
}

}  // namespace

void expert_ffn(const ExpertFfn& args) {
  const int64_t d = args.x.width;
  const int64_t f = args.hidden.width;
  std::vector<double> y(static_cast<size_t>(args.y.rows * d), 0.0);
  std::vector<float> x(static_cast<size_t>(d));
  std::vector<float> hidden(static_cast<size_t>(f));
  for (const ExpertGroup& group : args.groups) {
    const std::vector<float> gate = decoded(group.expert.gate, args.compute);
    const std::vector<float> up = decoded(group.expert.up, args.compute);
    const std::vector<float> down = decoded(group.expert.down, args.compute);
    for (int64_t a = group.first; a < group.first + group.count; ++a) {
      const int64_t row = args.rows[static_cast<size_t>(a)];
      for (int64_t i = 0; i < d; ++i)
        x[static_cast<size_t>(i)] = rounded_input(args.x.row(row)[i], args.compute);
      for (int64_t j = 0; j < f; ++j) {
        const double g = dot(gate.data() + j * d, x.data(), d);
        const double u = dot(up.data() + j * d, x.data(), d);
        hidden[static_cast<size_t>(j)] =
            rounded_input(static_cast<float>(g / (1 + std::exp(-g)) * u), args.compute);
      }
      for (int64_t i = 0; i < d; ++i)
        y[static_cast<size_t>(row * d + i)] +=
            double{args.weights[static_cast<size_t>(a)]} * dot(down.data() + i * f, hidden.data(), f);
    }
  }
  for (int64_t t = 0; t < args.y.rows; ++t)
    for (int64_t i = 0; i < d; ++i) args.y.row(t)[i] = static_cast<float>(y[static_cast<size_t>(t * d + i)]);
}

}  // namespace cadre::reference
