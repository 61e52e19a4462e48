#include <algorithm>

#include "cadre/kernels/conformance.h"

namespace cadre {
namespace {

using namespace conformance;

struct MoeCase {
  int64_t tokens = 1;
  int64_t d = 32;
  int64_t f = 48;
  int64_t experts = 5;
  int64_t top_k = 2;
  DType dtype = DType::kBF16;
  Compute compute = Compute::kF32;
};

/// Routing and weights of a small mixture; token t goes to top_k experts by a fixed pseudo-random choice, and
/// every seventh token nowhere.
class Mixture {
 public:
  explicit Mixture(const MoeCase& c) : c_(c) {
    for (int64_t e = 0; e < c.experts; ++e) {
      for (int part = 0; part < 3; ++part)
        weights_.push_back(random_weight(c.dtype, part == 2 ? c.d : c.f, part == 2 ? c.f : c.d,
                                         static_cast<uint64_t>(101 + 3 * e + part), part));
    }
    x_ = random_values(c.tokens * c.d, 103);
  }

  /// Rows [first, first + count) of the batch, alone.
  std::vector<float> run(Backend& backend, int64_t first, int64_t count) {
    std::vector<ExpertGroup> groups;
    std::vector<int32_t> rows;
    std::vector<float> weights;
    for (int64_t e = 0; e < c_.experts; ++e) {
      const auto begin = static_cast<int64_t>(rows.size());
      for (int64_t t = 0; t < count; ++t) {
        if (!goes_to(first + t, e)) continue;
        rows.push_back(static_cast<int32_t>(t));
        weights.push_back(0.1f + 0.01f * static_cast<float>((first + t + e) % 50));
      }
      const auto size = static_cast<int64_t>(rows.size()) - begin;
      if (size > 0 || e % 2 == 0)  // groups without rows are allowed
        groups.push_back(
            {.expert = {weight(e, 0), weight(e, 1), weight(e, 2)}, .first = begin, .count = size});
    }
    const auto assignments = static_cast<int64_t>(rows.size());
    std::vector<float> hidden(static_cast<size_t>(assignments * c_.f)),
        outputs(static_cast<size_t>(assignments * c_.d));
    GuardedOutput y(count * c_.d, 1);
    for (ExpertGroup& group : groups)
      group.hidden = Tensor::dense(hidden.data() + group.first * c_.f, group.count, c_.f);
    backend.expert_ffn({.x = Tensor::dense(x_.data() + first * c_.d, count, c_.d),
                        .groups = groups,
                        .rows = rows,
                        .weights = weights,
                        .outputs = Tensor::dense(outputs.data(), assignments, c_.d),
                        .y = Tensor::dense(y.data(), count, c_.d),
                        .compute = c_.compute});
    return y.take();
  }

 private:
  bool goes_to(int64_t token, int64_t expert) const {
    if (token % 7 == 6) return false;
    for (int64_t i = 0; i < c_.top_k; ++i)
      if ((token * 3 + i * (1 + token % 2)) % c_.experts == expert) return true;
    return false;
  }
  const Weight& weight(int64_t expert, int64_t part) const {
    return weights_[static_cast<size_t>(3 * expert + part)].weight;
  }

  MoeCase c_;
  std::vector<OwnedWeight> weights_;
  std::vector<float> x_;
};

void check_moe(const MoeCase& c) {
  SCOPED_TRACE(testing::Message() << c.tokens << " tokens, " << c.d << " x " << c.f << ", " << name(c.dtype)
                                  << name(c.compute));
  Mixture mixture(c);
  const auto run = [&](Backend& backend) { return mixture.run(backend, 0, c.tokens); };
  Expected expected{.values = run(reference()), .allowed = {}};
  // Three products in a row: relative to the largest result, each adds its length in roundings; rounding the
  // hidden channels may turn on the last bit of a product.
  double largest = 0;
  for (const float value : expected.values) largest = std::max(largest, double{std::abs(value)});
  const double flips = c.compute == Compute::kBF16 ? 0x1p-8 : c.compute == Compute::kInt8 ? 0x1p-7 : 0;
  expected.allowed.assign(expected.values.size(), largest * flips + tolerance(c.d + c.f, 16 * largest));
  expect_conformance(run, expected);
}

TEST(ExpertFfn, EveryWeightType) {
  for (const DType dtype : kWeightDTypes)
    for (const Compute compute : kComputes)
      for (const int64_t tokens : {1, 9, 60}) {
        const bool blocks = info(dtype).block_elements > 1;
        check_moe({.tokens = tokens,
                   .d = blocks ? 256 : 50,
                   .f = blocks ? 256 : 110,
                   .dtype = dtype,
                   .compute = compute});
      }
}

TEST(ExpertFfn, EveryWidth) {
  for (int64_t width = 1; width <= 34; ++width)
    for (const int64_t tokens : {2, 60})
      check_moe({.tokens = tokens, .d = width, .f = 35 - width, .experts = 3});
}

TEST(ExpertFfn, NoAssignmentsGiveZeros) {
  Mixture mixture({.tokens = 7});
  for (const Isa isa : isas())
    for (const float value : mixture.run(backend(isa, 2), 6, 1)) EXPECT_TRUE(same(value, 0.0f));
}

TEST(ExpertFfn, ARowDependsOnNothingElse) {
  for (const Compute compute : kComputes) {
    const bool packed = compute == Compute::kInt8;
    const MoeCase c{.tokens = 80,
                    .d = packed ? 64 : 70,
                    .f = packed ? 96 : 100,
                    .dtype = packed ? DType::kPackedQ4 : DType::kBF16,
                    .compute = compute};
    Mixture mixture(c);
    for (const Isa isa : isas()) {
      const std::vector<float> all = mixture.run(backend(isa, 1), 0, c.tokens);
      for (const int64_t count : {1, 3, 29})
        for (const int64_t first : {0, 20, 51})
          for (const int threads : {1, 2, 3})
            ASSERT_TRUE(same_bits(
                mixture.run(backend(isa, threads), first, count),
                std::span(all).subspan(static_cast<size_t>(first * c.d), static_cast<size_t>(count * c.d))))
                << name(isa) << ", " << count << " rows from " << first << ", " << threads << " threads";
    }
  }
}

}  // namespace
}  // namespace cadre
