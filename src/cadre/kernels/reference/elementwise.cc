#include <cmath>

#include "cadre/kernels/reference/reference.h"

namespace cadre::reference {

void embed(const Embed& args) {
  for (size_t t = 0; t < args.ids.size(); ++t)
    decode_weight_row(args.table, args.ids[t], args.y.row(static_cast<int64_t>(t)));
}

void rope(const Rope& args) {
  const int64_t pairs = args.x.width / 2;
  for (int64_t t = 0; t < args.x.rows; ++t) {
    for (int64_t h = 0; h < args.x.heads; ++h) {
      for (int64_t i = 0; i < pairs; ++i) {
        float& first = args.x.at(t, h)[args.interleaved ? 2 * i : i];
        float& second = args.x.at(t, h)[args.interleaved ? 2 * i + 1 : i + pairs];
        const float c = args.cosine[t * pairs + i];
        const float s = args.sine[t * pairs + i];
        const float rotated = first * c - second * s;
        second = first * s + second * c;
        first = rotated;
      }
    }
  }
}

void swiglu(const Swiglu& args) {
  for (int64_t t = 0; t < args.gate.rows; ++t) {
    for (int64_t i = 0; i < args.gate.width; ++i) {
      const double gate = args.gate.row(t)[i];
      const double up = args.up.row(t)[i];
      args.y.row(t)[i] = static_cast<float>(gate / (1 + std::exp(-gate)) * up);
    }
  }
}

void relu(const Relu& args) {
  for (int64_t t = 0; t < args.x.rows; ++t) {
    for (int64_t i = 0; i < args.x.width; ++i) {
      const float x = args.x.row(t)[i];
      const float positive = x < 0 ? 0.0f : x;
      args.y.row(t)[i] = args.squared ? positive * positive : positive;
    }
  }
}

void add(const Add& args) {
  for (int64_t t = 0; t < args.x.rows; ++t)
    for (int64_t i = 0; i < args.x.width; ++i) args.y.row(t)[i] += args.x.row(t)[i];
}

void copy(const Copy& args) {
  for (int64_t t = 0; t < args.x.rows; ++t)
    for (int64_t h = 0; h < args.x.heads; ++h)
      for (int64_t i = 0; i < args.x.width; ++i) args.y.at(t, h)[i] = args.x.at(t, h)[i];
}

}  // namespace cadre::reference
