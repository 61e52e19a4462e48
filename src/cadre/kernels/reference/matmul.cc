#include "cadre/kernels/reference/reference.h"
#include "cadre/tensor/convert.h"

namespace cadre::reference {

float rounded_input(float value, Compute compute) {
  return compute == Compute::kBF16 ? round_to_bf16(value) : value;
}

std::vector<float> decoded(const Weight& w, Compute compute) {
  std::vector<float> values(static_cast<size_t>(w.rows * w.cols));
  for (int64_t r = 0; r < w.rows; ++r) decode_weight_row(w, r, values.data() + r * w.cols);
  for (float& value : values) value = rounded_input(value, compute);
  return values;
}

void matmul(const Matmul& args) {
  const std::vector<float> w = decoded(args.w, args.compute);
  for (int64_t t = 0; t < args.x.rows; ++t) {
    for (int64_t o = 0; o < args.w.rows; ++o) {
      double sum = 0;
      for (int64_t k = 0; k < args.w.cols; ++k)
        sum += double{rounded_input(args.x.row(t)[k], args.compute)} *
               double{w[static_cast<size_t>(o * args.w.cols + k)]};
      args.y.row(t)[o] = static_cast<float>(sum);
    }
  }
}

void head_matmul(const HeadMatmul& args) {
  const int64_t rows = args.transposed ? args.x.width : args.y.width;
  for (int64_t h = 0; h < args.x.heads; ++h) {
    const std::vector<float> w =
        decoded(args.w.slice_rows(args.first_row + h * args.head_rows, rows), args.compute);
    for (int64_t t = 0; t < args.x.rows; ++t) {
      for (int64_t o = 0; o < args.y.width; ++o) {
        double sum = 0;
        for (int64_t i = 0; i < args.x.width; ++i) {
          const int64_t element = args.transposed ? i * args.w.cols + o : o * args.w.cols + i;
          sum += double{rounded_input(args.x.at(t, h)[i], args.compute)} *
                 double{w[static_cast<size_t>(element)]};
        }
        args.y.at(t, h)[o] = static_cast<float>(sum);
      }
    }
  }
}

}  // namespace cadre::reference
