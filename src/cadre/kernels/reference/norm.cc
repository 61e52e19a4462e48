#include <cmath>

#include "cadre/kernels/reference/reference.h"

namespace cadre::reference {

void rms_norm(const RmsNorm& args) {
  for (int64_t t = 0; t < args.x.rows; ++t) {
    for (int64_t h = 0; h < args.x.heads; ++h) {
      const float* x = args.x.at(t, h);
      double squares = 0;
      for (int64_t i = 0; i < args.x.width; ++i) squares += double{x[i]} * double{x[i]};
      const double inverse = 1 / std::sqrt(squares / static_cast<double>(args.x.width) + double{args.eps});
      for (int64_t i = 0; i < args.x.width; ++i) {
        const double gain = args.gain != nullptr ? double{args.gain[i]} : 1.0;
        args.y.at(t, h)[i] = static_cast<float>(double{x[i]} * inverse * gain);
      }
    }
  }
}

}  // namespace cadre::reference
