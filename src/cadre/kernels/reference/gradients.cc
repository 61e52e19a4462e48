#include "cadre/kernels/reference/gradients.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "cadre/kernels/reference/reference.h"
#include "cadre/tensor/convert.h"

namespace cadre::reference {
namespace {

void add_to(float& sum, double value) { sum = static_cast<float>(double{sum} + value); }

/// A row's sums in f64, to be added once.
using Row = std::vector<double>;

const float* row_of(const Weight& w, int64_t r) { return reinterpret_cast<const float*>(w.row(r)); }

/// Softmax over the keys that row t sees.
Row probabilities(const CausalAttention& args, const SequenceRows& sequence, int64_t t, int64_t head) {
  const int64_t kv_head = head / (args.q.heads / args.k.heads);
  Row p;
  for (int64_t j = sequence.first_row; j <= t; ++j)
    p.push_back(double{args.scale} * dot(args.q.at(t, head), args.k.at(j, kv_head), args.q.width));
  const double maximum = *std::max_element(p.begin(), p.end());
  double sum = 0;
  for (double& value : p) sum += value = std::exp(value - maximum);
  for (double& value : p) value /= sum;
  return p;
}

}  // namespace

void gemm(const Gemm& args) {
  const int64_t k = args.a_transposed ? args.a.rows : args.a.width;
  for (int64_t r = 0; r < args.c.rows; ++r) {
    for (int64_t j = 0; j < args.c.width; ++j) {
      double sum = 0;
      for (int64_t i = 0; i < k; ++i)
        sum += input(args.a_transposed ? args.a.row(i)[r] : args.a.row(r)[i], args.compute) *
               input(args.b_transposed ? args.b.row(j)[i] : args.b.row(i)[j], args.compute);
      if (args.add)
        add_to(args.c.row(r)[j], sum);
      else
        args.c.row(r)[j] = static_cast<float>(sum);
    }
  }
}

void add_heads(const AddHeads& args) {
  for (int64_t t = 0; t < args.x.rows; ++t)
    for (int64_t h = 0; h < args.x.heads; ++h)
      for (int64_t i = 0; i < args.x.width; ++i) args.y.at(t, h)[i] += args.x.at(t, h)[i];
}

void relu_grad(const ReluGrad& args) {
  for (int64_t t = 0; t < args.x.rows; ++t) {
    for (int64_t i = 0; i < args.x.width; ++i) {
      const float x = args.x.row(t)[i];
      if (x > 0) args.dx.row(t)[i] += args.squared ? 2 * x * args.dy.row(t)[i] : args.dy.row(t)[i];
    }
  }
}

void rms_norm_grad(const RmsNormGrad& args) {
  const int64_t width = args.x.width;
  Row dgain(static_cast<size_t>(width), 0.0);
  for (int64_t t = 0; t < args.x.rows; ++t) {
    for (int64_t h = 0; h < args.x.heads; ++h) {
      const float* x = args.x.at(t, h);
      const float* dy = args.dy.at(t, h);
      double products = 0;
      for (int64_t i = 0; i < width; ++i) products += double{args.gain[i]} * double{dy[i]} * double{x[i]};
      const double r = 1 / std::sqrt(dot(x, x, width) / static_cast<double>(width) + double{args.eps});
      for (int64_t i = 0; i < width; ++i) {
        add_to(args.dx.at(t, h)[i], r * double{args.gain[i]} * double{dy[i]} -
                                        double{x[i]} * r * r * r / static_cast<double>(width) * products);
        dgain[static_cast<size_t>(i)] += double{dy[i]} * double{x[i]} * r;
      }
    }
  }
  if (args.dgain == nullptr) return;
  for (int64_t i = 0; i < width; ++i) add_to(args.dgain[i], dgain[static_cast<size_t>(i)]);
}

void causal_attention(const CausalAttention& args) {
  for (const SequenceRows& sequence : args.sequences) {
    for (int64_t t = sequence.first_row; t < sequence.first_row + sequence.rows; ++t) {
      for (int64_t head = 0; head < args.q.heads; ++head) {
        const int64_t kv_head = head / (args.q.heads / args.k.heads);
        const Row p = probabilities(args, sequence, t, head);
        for (int64_t i = 0; i < args.v.width; ++i) {
          double sum = 0;
          for (size_t j = 0; j < p.size(); ++j)
            sum += p[j] * double{args.v.at(sequence.first_row + static_cast<int64_t>(j), kv_head)[i]};
          args.out.at(t, head)[i] = static_cast<float>(sum);
        }
      }
    }
  }
}

void causal_attention_grad(const CausalAttentionGrad& args) {
  const CausalAttention& forward = args.forward;
  for (const SequenceRows& sequence : forward.sequences) {
    for (int64_t t = sequence.first_row; t < sequence.first_row + sequence.rows; ++t) {
      for (int64_t head = 0; head < forward.q.heads; ++head) {
        const int64_t kv_head = head / (forward.q.heads / forward.k.heads);
        const Row p = probabilities(forward, sequence, t, head);
        const float* dout = args.dout.at(t, head);
        Row dp(p.size());
        double mean = 0;
        for (size_t j = 0; j < p.size(); ++j) {
          const int64_t row = sequence.first_row + static_cast<int64_t>(j);
          dp[j] = dot(dout, forward.v.at(row, kv_head), forward.v.width);
          mean += p[j] * dp[j];
        }
        for (size_t j = 0; j < p.size(); ++j) {
          const int64_t row = sequence.first_row + static_cast<int64_t>(j);
          const double ds = double{forward.scale} * p[j] * (dp[j] - mean);
          for (int64_t i = 0; i < forward.v.width; ++i)
            add_to(args.dv.at(row, kv_head)[i], p[j] * double{dout[i]});
          for (int64_t i = 0; i < forward.q.width; ++i) {
            add_to(args.dq.at(t, head)[i], ds * double{forward.k.at(row, kv_head)[i]});
            add_to(args.dk.at(row, kv_head)[i], ds * double{forward.q.at(t, head)[i]});
          }
        }
      }
    }
  }
}

void expert_ffn_training(const ExpertFfnTraining& args) {
  for (size_t g = 0; g < args.groups.size(); ++g) {
    const ExpertGroup& group = args.groups[g];
    const auto& [gate, up] = args.activations[g];
    for (int64_t i = 0; i < group.count; ++i) {
      const float* x = args.x.row(args.rows[static_cast<size_t>(group.first + i)]);
      for (int64_t j = 0; j < gate.width; ++j) {
        gate.row(i)[j] = static_cast<float>(dot(row_of(group.expert.gate, j), x, args.x.width, args.compute));
        up.row(i)[j] = static_cast<float>(dot(row_of(group.expert.up, j), x, args.x.width, args.compute));
      }
    }
    swiglu({.gate = gate, .up = up, .y = group.hidden});
  }
  expert_ffn({.x = args.x,
              .groups = args.groups,
              .rows = args.rows,
              .weights = args.weights,
              .outputs = args.outputs,
              .y = args.y,
              .compute = args.compute});
}

void expert_ffn_grad(const ExpertFfnGrad& args) {
  const int64_t d = args.x.width;
  const auto seen = [&](float value) { return input(value, args.compute); };
  for (size_t g = 0; g < args.groups.size(); ++g) {
    const ExpertGroup& group = args.groups[g];
    const int64_t f = group.hidden.width;
    for (int64_t i = 0; i < group.count; ++i) {
      const auto a = static_cast<size_t>(group.first + i);
      const int64_t t = args.rows[a];
      const double weight = args.weights[a];
      double dweight = 0;
      Row dx(static_cast<size_t>(d), 0.0);
      for (int64_t j = 0; j < f; ++j) {
        double dhidden = 0;
        for (int64_t o = 0; o < d; ++o)
          dhidden += seen(args.dy.row(t)[o]) * seen(row_of(group.expert.down, o)[j]);
        const double hidden = group.hidden.row(i)[j];
        const double gate = args.activations[g].gate.row(i)[j];
        const double up = args.activations[g].up.row(i)[j];
        dweight += hidden * dhidden;
        const double sigmoid = 1 / (1 + std::exp(-gate));
        const auto weighted = static_cast<float>(weight * hidden);
        const auto dgate = static_cast<float>(weight * dhidden * up * sigmoid * (1 + gate * (1 - sigmoid)));
        const auto dup = static_cast<float>(weight * dhidden * gate * sigmoid);
        for (int64_t o = 0; o < d; ++o) {
          const double x = seen(args.x.row(t)[o]);
          const ExpertWeightGrad& gradient = args.gradients[g];
          if (gradient.down.data != nullptr)
            add_to(gradient.down.row(o)[j], seen(weighted) * seen(args.dy.row(t)[o]));
          if (gradient.gate.data != nullptr) add_to(gradient.gate.row(j)[o], seen(dgate) * x);
          if (gradient.up.data != nullptr) add_to(gradient.up.row(j)[o], seen(dup) * x);
          dx[static_cast<size_t>(o)] += seen(dgate) * seen(row_of(group.expert.gate, j)[o]) +
                                        seen(dup) * seen(row_of(group.expert.up, j)[o]);
        }
      }
      args.dweights[a] = static_cast<float>(dweight);
      for (int64_t o = 0; o < d; ++o) add_to(args.dx.row(t)[o], dx[static_cast<size_t>(o)]);
    }
  }
}

void cross_entropy(const CrossEntropy& args) {
  for (int64_t t = 0; t < args.logits.rows; ++t) {
    float* logits = args.logits.row(t);
    const int64_t width = args.logits.width;
    const int32_t target = args.targets[static_cast<size_t>(t)];
    args.losses[t] = 0;
    if (target < 0) {
      std::fill(logits, logits + width, 0.0f);
      continue;
    }
    const double maximum = *std::max_element(logits, logits + width);
    double sum = 0;
    for (int64_t i = 0; i < width; ++i) sum += std::exp(double{logits[i]} - maximum);
    args.losses[t] = std::log(sum) + maximum - double{logits[target]};
    for (int64_t i = 0; i < width; ++i) {
      const double p = std::exp(double{logits[i]} - maximum) / sum;
      logits[i] = static_cast<float>(double{args.scale} * (p - (i == target ? 1 : 0)));
    }
  }
}

void embed_grad(const EmbedGrad& args) {
  for (size_t t = 0; t < args.ids.size(); ++t)
    for (int64_t i = 0; i < args.dy.width; ++i)
      args.dtable.row(args.ids[t])[i] += args.dy.row(static_cast<int64_t>(t))[i];
}

void adamw(const AdamW& args) {
  for (int64_t i = 0; i < args.count; ++i) {
    const double g = double{args.gradient_scale} * double{args.gradient[i]};
    const double m = double{args.beta1} * double{args.m[i]} + (1 - double{args.beta1}) * g;
    const double v = double{args.beta2} * double{args.v[i]} + (1 - double{args.beta2}) * g * g;
    const double lr = args.learning_rate;
    args.m[i] = static_cast<float>(m);
    args.v[i] = static_cast<float>(v);
    args.value[i] = static_cast<float>(double{args.value[i]} * (1 - lr * double{args.decay}) -
                                       lr * (m / double{args.correction1}) /
                                           (std::sqrt(v / double{args.correction2}) + double{args.eps}));
    args.gradient[i] = 0;
  }
}

double square_sum(std::span<const float> x) {
  double sum = 0;
  for (const float value : x) sum += double{value} * double{value};
  return sum;
}

}  // namespace cadre::reference
