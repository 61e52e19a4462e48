#include <cmath>

#include "cadre/kernels/reference/reference.h"

namespace cadre::reference {

void expert_ffn(const ExpertFfn& args) {
  const int64_t d = args.x.width;
  std::vector<double> y(static_cast<size_t>(args.y.rows * d), 0.0);
  for (const ExpertGroup& group : args.groups) {
    const ExpertWeights& expert = group.expert;
    const std::vector<float> gate = decoded(expert.gate, args.compute);
    const std::vector<float> up = decoded(expert.up, args.compute);
    const std::vector<float> down = decoded(expert.down, args.compute);
    const int64_t f = expert.gate.rows;
    for (int64_t i = 0; i < group.count; ++i) {
      const auto a = static_cast<size_t>(group.first + i);
      const int64_t row = args.rows[a];
      const std::vector<float> for_gate = rounded_inputs(args.x.row(row), d, expert.gate, args.compute);
      const std::vector<float> for_up = rounded_inputs(args.x.row(row), d, expert.up, args.compute);
      for (int64_t j = 0; j < f; ++j) {
        const double g = dot(gate.data() + j * d, for_gate.data(), d);
        const double u = dot(up.data() + j * d, for_up.data(), d);
        group.hidden.row(i)[j] = static_cast<float>(g / (1 + std::exp(-g)) * u);
      }
      const std::vector<float> hidden = rounded_inputs(group.hidden.row(i), f, expert.down, args.compute);
      for (int64_t o = 0; o < d; ++o)
        y[static_cast<size_t>(row * d + o)] +=
            double{args.weights[a]} * dot(down.data() + o * f, hidden.data(), f);
    }
  }
  for (int64_t t = 0; t < args.y.rows; ++t)
    for (int64_t i = 0; i < d; ++i) args.y.row(t)[i] = static_cast<float>(y[static_cast<size_t>(t * d + i)]);
}

}  // namespace cadre::reference
