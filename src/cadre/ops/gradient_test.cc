// Each operation's gradient on the tape against finite differences, on random shapes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <random>

#include "cadre/ops/ops.h"
#include "cadre/tensor/convert.h"

namespace cadre {
namespace {

constexpr int64_t kArenaBytes = int64_t{16} << 20;

/// A scalar function of some inputs: the sum of the result times fixed random factors. Inputs are weights, or
/// activations made by copying them into the arena.
class Probe {
 public:
  Probe()
      : backend_(make_reference_backend()),
        arena_(Arena::reserve(kArenaBytes).value()),
        tape_(Tape::create(arena_, *backend_->gradients()).value()) {}

  /// An input of random values.
  std::vector<float>& input(int64_t count) {
    inputs_.emplace_back(static_cast<size_t>(count));
    std::normal_distribution<float> normal(0, 1);
    for (float& value : inputs_.back()) value = normal(random_);
    return inputs_.back();
  }
  static Weight weight(std::vector<float>& values, int64_t rows, int64_t cols) {
    return {.data = reinterpret_cast<const std::byte*>(values.data()),
            .dtype = DType::kF32,
            .rows = rows,
            .cols = cols,
            .row_bytes = cols * 4};
  }

  /// `run` makes a result from `inputs`, activations through `activation`.
  using Run = std::function<Tensor(Context&)>;

  /// In the arena, so that it has a gradient; to be called by `run` once for each such input.
  Tensor activation(Context& ctx, const std::vector<float>& values, int64_t rows, int64_t heads,
                    int64_t width) {
    const Tensor x = ctx.allocate(rows, heads, width);
    std::copy(values.begin(), values.end(), x.data);
    if (ctx.tape != nullptr) {
      ctx.tape->clear_gradient(x);
      activations_.emplace_back(values.data(), x);
    }
    return x;
  }

  void expect_gradients_match(const Run& run) {
    std::vector<std::vector<float>> analytic;
    for (std::vector<float>& values : inputs_) {
      analytic.emplace_back(values.size(), 0.0f);
      tape_.bind(values.data(),
                 Tensor::dense(analytic.back().data(), 1, static_cast<int64_t>(values.size())));
    }
    // A matrix of several rows is bound as such.
    for (const Weight& w : matrices_)
      for (size_t i = 0; i < inputs_.size(); ++i)
        if (reinterpret_cast<const std::byte*>(inputs_[i].data()) == w.data)
          tape_.bind(w.data, Tensor::dense(analytic[i].data(), w.rows, w.cols));
    evaluate(run, &tape_);
    for (const auto& [values, x] : activations_)
      for (size_t i = 0; i < inputs_.size(); ++i)
        if (inputs_[i].data() == values)
          std::copy_n(tape_.gradient(x).data, inputs_[i].size(), analytic[i].data());
    for (size_t i = 0; i < inputs_.size(); ++i) {
      for (size_t j = 0; j < inputs_[i].size(); ++j) {
        const double numeric = difference(run, inputs_[i][j]);
        // The results are f32 of magnitude 10 at most: 1e-6 / 2h in the quotient, h^2 from the third
        // derivative.
        EXPECT_NEAR(double{analytic[i][j]}, numeric, 4e-3 * (1 + std::abs(numeric)))
            << "input " << i << ", " << j;
      }
    }
  }
  void matrix(const Weight& w) { matrices_.push_back(w); }

 private:
  double difference(const Run& run, float& value) {
    constexpr float kStep = 4e-3f;
    const float before = value;
    value = before + kStep;
    const double above = evaluate(run, nullptr);
    value = before - kStep;
    const double below = evaluate(run, nullptr);
    value = before;
    return (above - below) / (2 * double{kStep});
  }

  double evaluate(const Run& run, Tape* tape) {
    const ArenaScope scratch(arena_);
    Context ctx{.backend = *backend_, .arena = arena_, .tape = tape};
    const Tensor y = run(ctx);
    std::mt19937 factors(99);
    std::normal_distribution<float> normal(0, 1);
    double sum = 0;
    for (int64_t t = 0; t < y.rows; ++t)
      for (int64_t h = 0; h < y.heads; ++h)
        for (int64_t i = 0; i < y.width; ++i) {
          const float factor = normal(factors);
          sum += double{factor} * double{y.at(t, h)[i]};
          if (tape != nullptr) tape->gradient(y).at(t, h)[i] = factor;
        }
    ctx.tape = nullptr;
    if (tape != nullptr) tape->run_backward(ctx);
    return sum;
  }

  std::unique_ptr<Backend> backend_;
  Arena arena_;
  Tape tape_;
  std::mt19937 random_{5};
  std::deque<std::vector<float>> inputs_;
  std::vector<Weight> matrices_;
  std::vector<std::pair<const float*, Tensor>> activations_;
};

TEST(Gradient, Matmul) {
  Probe probe;
  auto& x = probe.input(5 * 7);
  auto& w = probe.input(3 * 7);
  const Weight matrix = Probe::weight(w, 3, 7);
  probe.matrix(matrix);
  probe.expect_gradients_match(
      [&](Context& ctx) { return ops::matmul(ctx, probe.activation(ctx, x, 5, 1, 7), matrix); });
}

TEST(Gradient, MatmulF32) {
  Probe probe;
  auto& x = probe.input(2 * 3);
  auto& w = probe.input(4 * 3);
  const Weight matrix = Probe::weight(w, 4, 3);
  probe.matrix(matrix);
  probe.expect_gradients_match(
      [&](Context& ctx) { return ops::matmul_f32(ctx, probe.activation(ctx, x, 2, 1, 3), matrix); });
}

/// What a product makes of its inputs, and its gradients for that of the result: y, dx, dw.
std::vector<float> product_and_gradients(Tensor (*product)(Context&, const Tensor&, const Weight&),
                                         std::span<const float> x, std::vector<float> w,
                                         std::span<const float> dy, Compute compute) {
  constexpr int64_t kRows = 5, kIn = 7, kOut = 3;
  const std::unique_ptr<Backend> backend = make_reference_backend();
  Arena arena = Arena::reserve(kArenaBytes).value();
  Tape tape = Tape::create(arena, *backend->gradients()).value();
  std::vector<float> dw(w.size(), 0.0f);
  tape.bind(w.data(), Tensor::dense(dw.data(), kOut, kIn));
  Context ctx{.backend = *backend, .arena = arena, .compute = compute, .tape = &tape};
  const Tensor input = ctx.allocate(kRows, kIn);
  std::copy(x.begin(), x.end(), input.data);
  tape.clear_gradient(input);
  const Tensor y = product(ctx, input, Probe::weight(w, kOut, kIn));
  std::vector<float> result(y.data, y.data + kRows * kOut);
  std::copy(dy.begin(), dy.end(), tape.gradient(y).data);
  ctx.tape = nullptr;
  tape.run_backward(ctx);
  const float* dx = tape.gradient(input).data;
  result.insert(result.end(), dx, dx + kRows * kIn);
  result.insert(result.end(), dw.begin(), dw.end());
  return result;
}

TEST(Gradient, Bf16RoundsTheInputsOfAProductAndOfItsGradientButOfNoRouter) {
  Probe probe;
  const std::vector<float> x = probe.input(5 * 7), w = probe.input(3 * 7), dy = probe.input(5 * 3);
  const auto rounded = [](std::vector<float> values) {
    std::ranges::transform(values, values.begin(), round_to_bf16);
    return values;
  };
  const std::vector<float> f32 = product_and_gradients(ops::matmul, x, w, dy, Compute::kF32);
  const std::vector<float> bf16 = product_and_gradients(ops::matmul, x, w, dy, Compute::kBF16);
  EXPECT_EQ(bf16, product_and_gradients(ops::matmul, rounded(x), rounded(w), rounded(dy), Compute::kF32));
  for (size_t i = 0; i < f32.size(); ++i) EXPECT_NEAR(bf16[i], f32[i], 0.1) << i;
  EXPECT_NE(bf16, f32);
  EXPECT_EQ(product_and_gradients(ops::matmul_f32, x, w, dy, Compute::kBF16), f32);
}

TEST(Gradient, Embed) {
  Probe probe;
  auto& table = probe.input(4 * 3);
  const Weight matrix = Probe::weight(table, 4, 3);
  probe.matrix(matrix);
  const std::vector<int32_t> ids = {2, 0, 2, 1};
  probe.expect_gradients_match([&](Context& ctx) { return ops::embed(ctx, ids, matrix); });
}

TEST(Gradient, RmsNorm) {
  Probe probe;
  auto& x = probe.input(3 * 2 * 5);
  auto& gain = probe.input(5);
  probe.expect_gradients_match(
      [&](Context& ctx) { return ops::rms_norm(ctx, probe.activation(ctx, x, 3, 2, 5), gain, 1e-2f); });
}

TEST(Gradient, RmsNormOfAStreamThatIsAddedToAfterwards) {
  Probe probe;
  auto& x = probe.input(3 * 4);
  auto& more = probe.input(3 * 4);
  auto& gain = probe.input(4);
  probe.expect_gradients_match([&](Context& ctx) {
    const Tensor h = probe.activation(ctx, x, 3, 1, 4);
    const Tensor y = ops::rms_norm(ctx, h, gain, 1e-2f);
    ops::add_in_place(ctx, h, probe.activation(ctx, more, 3, 1, 4));
    ops::add_in_place(ctx, y, h);
    return y;
  });
}

TEST(Gradient, Relu) {
  for (const bool squared : {false, true}) {
    Probe probe;
    auto& x = probe.input(3 * 5);
    for (float& value : x) value += value > 0 ? 0.1f : -0.1f;  // away from the corner
    probe.expect_gradients_match(
        [&](Context& ctx) { return ops::relu(ctx, probe.activation(ctx, x, 3, 1, 5), squared); });
  }
}

TEST(Gradient, Rope) {
  for (const bool interleaved : {true, false}) {
    Probe probe;
    auto& x = probe.input(3 * 2 * 6);
    std::vector<float> cosine, sine;
    for (int i = 0; i < 9; ++i) {
      cosine.push_back(1.2f * std::cos(static_cast<float>(i)));
      sine.push_back(1.2f * std::sin(static_cast<float>(i)));
    }
    probe.expect_gradients_match([&](Context& ctx) {
      const Tensor y = probe.activation(ctx, x, 3, 2, 6);
      ops::rope_in_place(ctx, y, cosine, sine, interleaved);
      return y;
    });
  }
}

TEST(Gradient, CopyOfOneHeadToAll) {
  Probe probe;
  auto& x = probe.input(3 * 4);
  auto& other = probe.input(3 * 2 * 5);
  probe.expect_gradients_match([&](Context& ctx) {
    const Tensor one = probe.activation(ctx, x, 3, 1, 4);
    const Tensor y = ctx.allocate(3, 2, 9);
    ops::copy(ctx, Tensor{one.data, 3, 2, 4, one.row_stride, 0}, y.slice_width(0, 4));
    ops::copy(ctx, probe.activation(ctx, other, 3, 2, 5), y.slice_width(4, 5));
    return y;
  });
}

TEST(Gradient, CausalAttention) {
  for (const int64_t kv_heads : {1, 2}) {
    Probe probe;
    auto& q = probe.input(7 * 2 * 3);
    auto& k = probe.input(7 * kv_heads * 3);
    auto& v = probe.input(7 * kv_heads * 4);
    const std::vector<SequenceRows> sequences = {{.first_row = 0, .rows = 4}, {.first_row = 4, .rows = 3}};
    probe.expect_gradients_match([&](Context& ctx) {
      const Tensor queries = probe.activation(ctx, q, 7, 2, 3);
      const Tensor keys = probe.activation(ctx, k, 7, kv_heads, 3);
      return ops::causal_attention(ctx, queries, keys, probe.activation(ctx, v, 7, kv_heads, 4), 0.6f,
                                   sequences);
    });
  }
}

TEST(Gradient, ExpertFfn) {
  constexpr int64_t kD = 4, kF = 3;
  Probe probe;
  auto& x = probe.input(3 * kD);
  auto& factors = probe.input(5);
  std::vector<ExpertWeights> experts;
  for (int e = 0; e < 2; ++e) {
    const Weight gate = Probe::weight(probe.input(kF * kD), kF, kD);
    const Weight up = Probe::weight(probe.input(kF * kD), kF, kD);
    const Weight down = Probe::weight(probe.input(kD * kF), kD, kF);
    for (const Weight& w : {gate, up, down}) probe.matrix(w);
    experts.push_back({gate, up, down});
  }
  const std::vector<int32_t> rows = {0, 2, 0, 1, 2};
  probe.expect_gradients_match([&](Context& ctx) {
    const Tensor input = probe.activation(ctx, x, 3, 1, kD);
    const Tensor weights = probe.activation(ctx, factors, 1, 1, 5);
    std::vector<ExpertGroup> groups = {{.expert = experts[0], .first = 0, .count = 2},
                                       {.expert = experts[1], .first = 2, .count = 3}};
    return ops::expert_ffn(ctx, input, groups, rows, std::span(weights.data, 5));
  });
}

TEST(Gradient, CrossEntropyInChunks) {
  // More rows than a chunk; only some are checked by differences.
  const int64_t rows = ops::kLossRows + 2, d = 3, vocab = 5;
  const std::unique_ptr<Backend> backend = make_reference_backend();
  Arena arena = Arena::reserve(kArenaBytes).value();
  Tape tape = Tape::create(arena, *backend->gradients()).value();
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> x(static_cast<size_t>(rows * d)), w(static_cast<size_t>(vocab * d)), dw(w.size(), 0.0f);
  for (float& value : x) value = normal(random);
  for (float& value : w) value = normal(random);
  std::vector<int32_t> targets(static_cast<size_t>(rows));
  for (size_t t = 0; t < targets.size(); ++t) targets[t] = static_cast<int32_t>(t % 6) - 1;
  const Weight matrix = Probe::weight(w, vocab, d);
  tape.bind(w.data(), Tensor::dense(dw.data(), vocab, d));
  std::vector<double> losses(static_cast<size_t>(rows));
  const auto loss = [&](Tape* with, std::vector<float>* dx) {
    const ArenaScope scratch(arena);
    Context ctx{.backend = *backend, .arena = arena, .tape = with};
    const Tensor input = ctx.allocate(rows, d);
    std::copy(x.begin(), x.end(), input.data);
    if (with != nullptr) with->clear_gradient(input);
    ops::cross_entropy(ctx, input, matrix, targets, 0.5f, losses);
    if (dx != nullptr) dx->assign(with->gradient(input).data, with->gradient(input).data + rows * d);
    double sum = 0;
    for (const double value : losses) sum += 0.5 * value;
    return sum;
  };
  std::vector<float> dx;
  loss(&tape, &dx);
  EXPECT_EQ(losses[0], 0);  // target -1
  const auto numeric = [&](float& value) {
    const float before = value;
    value = before + 1e-2f;
    const double above = loss(nullptr, nullptr);
    value = before - 1e-2f;
    const double below = loss(nullptr, nullptr);
    value = before;
    return (above - below) / 2e-2;
  };
  for (const size_t i : {size_t{0}, size_t{3}, size_t{700}, x.size() - 1})
    EXPECT_NEAR(double{dx[i]}, numeric(x[i]), 1e-3) << "x " << i;
  for (size_t i = 0; i < w.size(); ++i)
    EXPECT_NEAR(double{dw[i]}, numeric(w[i]), 1e-3 * (1 + std::abs(double{dw[i]}))) << "w " << i;
}

TEST(Tape, AFrozenWeightGetsNoGradient) {
  const std::unique_ptr<Backend> backend = make_reference_backend();
  Arena arena = Arena::reserve(kArenaBytes).value();
  Tape tape = Tape::create(arena, *backend->gradients()).value();
  std::vector<float> w(6, 1.0f);
  Context ctx{.backend = *backend, .arena = arena, .tape = &tape};
  const Tensor x = ctx.allocate(2, 3);
  std::fill_n(x.data, 6, 1.0f);
  tape.clear_gradient(x);
  const Tensor y = ops::matmul(ctx, x, Probe::weight(w, 2, 3));
  tape.gradient(y).data[0] = 1;
  ctx.tape = nullptr;
  tape.run_backward(ctx);
  EXPECT_EQ(tape.gradient(x).data[0], 1.0f);
  EXPECT_EQ(tape.gradient(x).data[3], 0.0f);
}

TEST(TapeDeathTest, OperationsWithoutGradientRefuseATape) {
  const std::unique_ptr<Backend> backend = make_reference_backend();
  Arena arena = Arena::reserve(kArenaBytes).value();
  Tape tape = Tape::create(arena, *backend->gradients()).value();
  Context ctx{.backend = *backend, .arena = arena, .tape = &tape};
  const Tensor x = ctx.allocate(2, 4);
  EXPECT_DEATH(ops::swiglu(ctx, x, x), "no gradient");
}

}  // namespace
}  // namespace cadre
