// The operations of training on every instruction set against the reference, and equal bits whatever the
// threads and the instruction set.
#include "cadre/kernels/gradients.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "cadre/kernels/conformance.h"

namespace cadre {
namespace {

using conformance::backend;
using conformance::expect_conformance;
using conformance::Expected;
using conformance::GuardedOutput;
using conformance::name;
using conformance::random_values;
using conformance::random_weight;
using conformance::reference;
using conformance::tolerance;

/// Values within `allowed` of what the reference makes of the same run.
Expected expected_of(const conformance::Run& run, double allowed) {
  Expected expected{run(reference()), {}};
  expected.allowed.assign(expected.values.size(), allowed);
  return expected;
}

constexpr Compute kTrainingComputes[] = {Compute::kF32, Compute::kBF16};

float largest(std::span<const float> values) {
  float result = 0;
  for (const float v : values) result = std::max(result, std::abs(v));
  return result;
}

struct GemmShape {
  int64_t m, n, k;
};

void check_gemm(const GemmShape& shape, bool a_transposed, bool b_transposed, bool add, Compute compute) {
  const auto [m, n, k] = shape;
  // Rows are wider than they need be, and do not begin at a cache line.
  constexpr int64_t kPad = 3;
  std::vector<float> a = random_values((a_transposed ? k : m) * ((a_transposed ? m : k) + kPad), 1);
  std::vector<float> b = random_values((b_transposed ? n : k) * ((b_transposed ? k : n) + kPad), 2);
  const std::vector<float> c = random_values(m * (n + kPad), 3);
  const auto view = [&](std::vector<float>& values, int64_t rows, int64_t width) {
    return Tensor{values.data(), rows, 1, width, width + kPad, width};
  };
  const conformance::Run run = [&, m = m, n = n, k = k](Backend& device) {
    GuardedOutput out(m * (n + kPad), 1);
    std::copy(c.begin(), c.end(), out.data());
    device.gradients()->gemm({.a = a_transposed ? view(a, k, m) : view(a, m, k),
                              .b = b_transposed ? view(b, n, k) : view(b, k, n),
                              .c = {out.data(), m, 1, n, n + kPad, n},
                              .a_transposed = a_transposed,
                              .b_transposed = b_transposed,
                              .add = add,
                              .compute = compute});
    return out.take();
  };
  SCOPED_TRACE(testing::Message() << m << " x " << n << " x " << k << (a_transposed ? " a^T" : "")
                                  << (b_transposed ? " b^T" : "") << (add ? " add" : "") << name(compute));
  const double magnitude =
      double{largest(a)} * double{largest(b)} * std::sqrt(static_cast<double>(k)) * 4 + 5;
  expect_conformance(run, expected_of(run, tolerance(k, magnitude)));
}

class GemmTest : public ::testing::TestWithParam<GemmShape> {};

TEST_P(GemmTest, AllFormsAgreeWithTheReference) {
  for (const Compute compute : kTrainingComputes)
    for (const bool a_transposed : {false, true})
      for (const bool b_transposed : {false, true})
        for (const bool add : {false, true}) check_gemm(GetParam(), a_transposed, b_transposed, add, compute);
}

// Around the tiles of every instruction set (14 x 32, 6 x 16, 4 x 16), the block of 256 and of 168 x 512.
INSTANTIATE_TEST_SUITE_P(Shapes, GemmTest,
                         ::testing::Values(GemmShape{1, 1, 1}, GemmShape{3, 5, 2}, GemmShape{14, 32, 16},
                                           GemmShape{15, 33, 17}, GemmShape{13, 31, 15},
                                           GemmShape{28, 64, 256}, GemmShape{29, 47, 257},
                                           GemmShape{169, 40, 31}, GemmShape{7, 513, 33},
                                           GemmShape{170, 520, 5}, GemmShape{2, 3, 600}));

TEST(Gemm, InnerDimensionOfNothingGivesZeros) {
  for (const Isa isa : conformance::isas()) {
    std::vector<float> c(6, 5.0f);
    backend(isa, 1).gradients()->gemm({.a = Tensor::dense(nullptr, 2, 0),
                                       .b = Tensor::dense(nullptr, 0, 3),
                                       .c = Tensor::dense(c.data(), 2, 3),
                                       .add = false});
    EXPECT_EQ(c, std::vector<float>(6, 0.0f));
  }
}

TEST(RmsNormGrad, AgreesWithTheReference) {
  for (const int64_t width : {1, 2, 15, 16, 17, 40, 64}) {
    for (const int64_t rows : {1, 3, 130, 260}) {
      std::vector<float> x = random_values(rows * width, 1);
      std::vector<float> dy = random_values(rows * width, 2);
      const std::vector<float> gain = random_values(width, 3);
      const conformance::Run run = [&](Backend& device) {
        GuardedOutput out(rows * width + width);
        std::fill_n(out.data(), rows * width + width, 0.5f);
        device.gradients()->rms_norm_grad({.x = Tensor::dense(x.data(), rows, width),
                                           .gain = gain.data(),
                                           .dy = Tensor::dense(dy.data(), rows, width),
                                           .dx = Tensor::dense(out.data(), rows, width),
                                           .dgain = out.data() + rows * width,
                                           .eps = 1e-3f});
        return out.take();
      };
      SCOPED_TRACE(testing::Message() << rows << " rows of " << width);
      expect_conformance(run, expected_of(run, tolerance(rows + width, 60)));
    }
  }
}

TEST(ReluGrad, AgreesWithTheReference) {
  const int64_t rows = 5, width = 19;
  std::vector<float> x = random_values(rows * width, 1), dy = random_values(rows * width, 2);
  for (const bool squared : {false, true}) {
    const conformance::Run run = [&](Backend& device) {
      GuardedOutput out(rows * width);
      std::fill_n(out.data(), rows * width, 0.5f);
      device.gradients()->relu_grad({.x = Tensor::dense(x.data(), rows, width),
                                     .dy = Tensor::dense(dy.data(), rows, width),
                                     .dx = Tensor::dense(out.data(), rows, width),
                                     .squared = squared});
      return out.take();
    };
    expect_conformance(run, expected_of(run, tolerance(1, 0)));
  }
}

TEST(AddHeads, SumsTheHeadsWhereTheStrideIsZero) {
  const int64_t rows = 5, heads = 3, width = 19;
  std::vector<float> x = random_values(rows * heads * width, 1);
  const conformance::Run run = [&](Backend& device) {
    GuardedOutput out(rows * width);
    std::fill_n(out.data(), rows * width, 1.0f);
    device.gradients()->add_heads(
        {.x = Tensor::dense(x.data(), rows, heads, width), .y = {out.data(), rows, heads, width, width, 0}});
    return out.take();
  };
  expect_conformance(run, expected_of(run, tolerance(heads, 16)));
}

struct AttentionShape {
  std::vector<int64_t> lengths;
  int64_t heads, kv_heads, key_width, value_width;
};

class CausalAttentionTest : public ::testing::TestWithParam<AttentionShape> {};

TEST_P(CausalAttentionTest, ForwardAndGradientsAgreeWithTheReference) {
  const AttentionShape& s = GetParam();
  std::vector<SequenceRows> sequences;
  int64_t rows = 0;
  for (const int64_t length : s.lengths) {
    sequences.push_back({.first_row = rows, .rows = length});
    rows += length;
  }
  const int64_t q_size = rows * s.heads * s.key_width;
  const int64_t k_size = rows * s.kv_heads * s.key_width;
  const int64_t v_size = rows * s.kv_heads * s.value_width;
  const int64_t out_size = rows * s.heads * s.value_width;
  std::vector<float> q = random_values(q_size, 1), k = random_values(k_size, 2), v = random_values(v_size, 3);
  std::vector<float> dout = random_values(out_size, 4);
  const conformance::Run run = [&](Backend& device) {
    GuardedOutput result(out_size + q_size + k_size + v_size);
    std::fill_n(result.data(), out_size + q_size + k_size + v_size, 0.0f);
    float* dq = result.data() + out_size;
    CausalAttentionGrad grad{.forward = {.q = Tensor::dense(q.data(), rows, s.heads, s.key_width),
                                         .k = Tensor::dense(k.data(), rows, s.kv_heads, s.key_width),
                                         .v = Tensor::dense(v.data(), rows, s.kv_heads, s.value_width),
                                         .scale = 0.3f,
                                         .sequences = sequences,
                                         .out = Tensor::dense(result.data(), rows, s.heads, s.value_width)},
                             .dout = Tensor::dense(dout.data(), rows, s.heads, s.value_width),
                             .dq = Tensor::dense(dq, rows, s.heads, s.key_width),
                             .dk = Tensor::dense(dq + q_size, rows, s.kv_heads, s.key_width),
                             .dv = Tensor::dense(dq + q_size + k_size, rows, s.kv_heads, s.value_width)};
    device.gradients()->causal_attention(grad.forward);
    device.gradients()->causal_attention_grad(grad);
    return result.take();
  };
  expect_conformance(run, expected_of(run, tolerance(rows + s.key_width, 100)));
}

INSTANTIATE_TEST_SUITE_P(Shapes, CausalAttentionTest,
                         ::testing::Values(AttentionShape{{1}, 1, 1, 4, 4},
                                           AttentionShape{{3, 1, 7}, 2, 2, 20, 12},
                                           AttentionShape{{57}, 2, 1, 17, 33},
                                           AttentionShape{{56, 113}, 4, 2, 16, 16}));

struct Experts {
  int64_t rows = 0, d = 0, f = 0;
  std::vector<conformance::OwnedWeight> weights;  // gate, up, down of each
  std::vector<int32_t> assigned;
  std::vector<int64_t> counts;
  std::vector<float> factors;
};

/// Some rows to each of three experts, none to a fourth, and all of them to a last, wider one.
Experts make_experts(int64_t rows, int64_t d, int64_t f) {
  Experts e{.rows = rows, .d = d, .f = f};
  std::mt19937 random(7);
  for (int64_t expert = 0; expert < 5; ++expert) {
    const int64_t width = expert == 4 ? f + 3 : f;
    e.weights.push_back(random_weight(DType::kF32, width, d, static_cast<uint64_t>(3 * expert)));
    e.weights.push_back(random_weight(DType::kF32, width, d, static_cast<uint64_t>(3 * expert + 1)));
    e.weights.push_back(random_weight(DType::kF32, d, width, static_cast<uint64_t>(3 * expert + 2)));
    int64_t count = 0;
    for (int32_t t = 0; t < rows; ++t)
      if (expert == 4 || (expert != 2 && random() % 2 == 0)) {
        e.assigned.push_back(t);
        ++count;
      }
    e.counts.push_back(count);
  }
  e.factors = random_values(static_cast<int64_t>(e.assigned.size()), 8);
  return e;
}

void check_experts(int64_t rows, int64_t d, int64_t f, Compute compute) {
  const Experts experts = make_experts(rows, d, f);
  std::vector<float> x = random_values(rows * d, 20), dy = random_values(rows * d, 21);
  const auto assignments = static_cast<int64_t>(experts.assigned.size());
  const conformance::Run run = [&](Backend& device) {
    std::vector<std::vector<float>> memory;
    const auto tensor = [&](int64_t r, int64_t w) {
      memory.emplace_back(static_cast<size_t>(r * w), 0.25f);
      return Tensor::dense(memory.back().data(), r, w);
    };
    memory.reserve(64);
    std::vector<ExpertGroup> groups;
    std::vector<ExpertActivations> activations;
    std::vector<ExpertWeightGrad> gradients;
    std::vector<Tensor> dhidden;
    for (size_t g = 0, first = 0; g < experts.counts.size(); ++g) {
      const auto* w = experts.weights.data() + 3 * g;
      const int64_t count = experts.counts[g], width = w[0].weight.rows;
      groups.push_back({.expert = {w[0].weight, w[1].weight, w[2].weight},
                        .first = static_cast<int64_t>(first),
                        .count = count,
                        .hidden = tensor(count, width)});
      activations.push_back({tensor(count, width), tensor(count, width)});
      gradients.push_back({tensor(width, d), tensor(width, d), tensor(d, width)});
      dhidden.push_back(tensor(count, width));
      first += static_cast<size_t>(count);
    }
    gradients[1].up = {};  // frozen
    const Tensor outputs = tensor(assignments, d), y = tensor(rows, d), dx = tensor(rows, d);
    const Tensor dweights = tensor(1, assignments);
    const Tensor x_rows = Tensor::dense(x.data(), rows, d), dy_rows = Tensor::dense(dy.data(), rows, d);
    device.gradients()->expert_ffn_training({.x = x_rows,
                                             .groups = groups,
                                             .activations = activations,
                                             .rows = experts.assigned,
                                             .weights = experts.factors,
                                             .outputs = outputs,
                                             .y = y,
                                             .compute = compute});
    device.gradients()->expert_ffn_grad({.x = x_rows,
                                         .groups = groups,
                                         .activations = activations,
                                         .rows = experts.assigned,
                                         .weights = experts.factors,
                                         .dy = dy_rows,
                                         .dx = dx,
                                         .dweights = dweights.data,
                                         .gradients = gradients,
                                         .dhidden = dhidden,
                                         .outputs = outputs,
                                         .compute = compute});
    std::vector<float> result;
    const auto take = [&](const Tensor& t) {
      result.insert(result.end(), t.data, t.data + t.rows * t.width);
    };
    take(y);
    take(dx);
    take(dweights);
    for (const ExpertWeightGrad& g : gradients)
      for (const Tensor& t : {g.gate, g.up, g.down})
        if (t.data != nullptr) take(t);
    return result;
  };
  Expected expected = expected_of(run, 0);
  // Three products in a row: sums of d, f and rows terms of values that grow to the largest of the result.
  // Among the many values between the products of the largest shape, some lie so close to the middle of two
  // bf16 that they are rounded the other way; in the smaller ones none does.
  const double greatest = largest(expected.values);
  const double flips = compute == Compute::kBF16 && rows > 50 ? 0x1p-8 : 0;
  expected.allowed.assign(expected.values.size(),
                          greatest * flips + tolerance(rows + 2 * d + f, 4 * greatest));
  SCOPED_TRACE(testing::Message() << rows << " rows, " << d << " x " << f << name(compute));
  expect_conformance(run, expected);
}

TEST(ExpertFfnGrad, ForwardAndGradientsAgreeWithTheReference) {
  for (const Compute compute : kTrainingComputes)
    for (const auto& [rows, d, f] : {std::array<int64_t, 3>{1, 4, 3}, {9, 17, 12}, {60, 40, 33}})
      check_experts(rows, d, f, compute);
}

TEST(CrossEntropy, LossesAndGradientsAgreeWithTheReference) {
  for (const int64_t width : {2, 16, 33, 500}) {
    const int64_t rows = 7;
    const std::vector<float> logits = random_values(rows * width, 5);
    const std::vector<int32_t> targets = {0, 1, -1, static_cast<int32_t>(width - 1), 0, -1, 1};
    const conformance::Run run = [&](Backend& device) {
      std::vector<float> result = logits;
      std::vector<double> losses(static_cast<size_t>(rows));
      device.gradients()->cross_entropy({.logits = Tensor::dense(result.data(), rows, width),
                                         .targets = targets,
                                         .scale = 0.125f,
                                         .losses = losses.data()});
      for (const double loss : losses) result.push_back(static_cast<float>(loss));
      return result;
    };
    expect_conformance(run, expected_of(run, 2e-6));
  }
}

TEST(EmbedGrad, TokensThatComeTwiceAddUp) {
  const int64_t width = 70;
  const std::vector<int32_t> ids = {3, 1, 3, 0, 3};
  std::vector<float> dy = random_values(5 * width, 1);
  const conformance::Run run = [&](Backend& device) {
    std::vector<float> table(static_cast<size_t>(4 * width), 1.0f);
    device.gradients()->embed_grad({.ids = ids,
                                    .dy = Tensor::dense(dy.data(), 5, width),
                                    .dtable = Tensor::dense(table.data(), 4, width)});
    return table;
  };
  expect_conformance(run, expected_of(run, tolerance(3, 16)));
}

TEST(AdamW, AgreesWithTheReferenceAndClearsTheGradient) {
  for (const int64_t count : {1, 15, 16, 17, 40'000}) {
    const auto n = static_cast<size_t>(count);
    const conformance::Run run = [&](Backend& device) {
      std::vector<float> state = random_values(3 * count, 1);
      std::vector<float> gradient = random_values(count, 2);
      for (size_t i = 2 * n; i < 3 * n; ++i) state[i] = std::abs(state[i]);
      device.gradients()->adamw({.value = state.data(),
                                 .gradient = gradient.data(),
                                 .m = state.data() + n,
                                 .v = state.data() + 2 * n,
                                 .count = count,
                                 .gradient_scale = 0.5f,
                                 .learning_rate = 0.01f,
                                 .beta1 = 0.9f,
                                 .beta2 = 0.95f,
                                 .eps = 1e-8f,
                                 .decay = 0.1f,
                                 .correction1 = 0.19f,
                                 .correction2 = 0.0975f});
      state.insert(state.end(), gradient.begin(), gradient.end());
      return state;
    };
    Expected expected{run(reference()), {}};
    // The step may be large where v is nearly 0.
    for (const float value : expected.values)
      expected.allowed.push_back(8 * 0x1p-23 * (1 + std::abs(double{value})));
    expect_conformance(run, expected);
  }
}

TEST(SquareSum, AgreesWithTheReference) {
  for (const int64_t count : {0, 1, 17, 4096, 9000}) {
    const std::vector<float> x = random_values(count, 3);
    const conformance::Run run = [&](Backend& device) {
      return std::vector<float>{static_cast<float>(device.gradients()->square_sum(x))};
    };
    expect_conformance(run, expected_of(run, tolerance(300, 2.0 * static_cast<double>(count))));
  }
}

}  // namespace
}  // namespace cadre
