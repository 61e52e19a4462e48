#include <algorithm>

#include "cadre/kernels/conformance.h"

namespace cadre {
namespace {

using namespace conformance;

/// 0 to twice the vector width, and primes.
std::vector<int64_t> widths() {
  std::vector<int64_t> all = {47, 97, 251};
  for (int64_t width = 1; width <= 33; ++width) all.push_back(width);
  return all;
}

/// Expects each value within `units` of its own last place, and equal bits everywhere.
void expect_units(const Run& run, double units) {
  Expected expected{.values = run(reference()), .allowed = {}};
  for (const float value : expected.values)
    expected.allowed.push_back(std::isfinite(value) ? units * (std::abs(double{value}) * 0x1p-23 + 0x1p-149)
                                                    : 0);
  expect_conformance(run, expected);
}

TEST(RmsNorm, EveryWidth) {
  for (const int64_t width : widths())
    for (const bool has_gain : {true, false}) {
      std::vector<float> x = random_values(3 * 2 * (width + 1), 107), gain = random_values(width, 109);
      const Tensor input{x.data(), 3, 2, width, 2 * (width + 1), width + 1};
      // The sum's error is at most `width` units, halved by the root; then four roundings.
      expect_units(
          [&](Backend& backend) {
            GuardedOutput y(6 * width, 1);
            backend.rms_norm({.x = input,
                              .gain = has_gain ? gain.data() : nullptr,
                              .y = Tensor::dense(y.data(), 3, 2, width),
                              .eps = 1e-6f});
            return y.take();
          },
          static_cast<double>(width) / 2 + 4);
    }
}

TEST(RmsNorm, InPlaceAndDifficultValues) {
  const std::vector<float> x = random_values(4 * 53, 113, Values::kDifficult);
  expect_units(
      [&](Backend& backend) {
        std::vector<float> y = x;
        const Tensor rows = Tensor::dense(y.data(), 4, 53);
        backend.rms_norm({.x = rows, .gain = nullptr, .y = rows, .eps = 0});
        return y;
      },
      32);
}

TEST(Rope, EveryWidthInBothLayouts) {
  for (const int64_t pairs : widths())
    for (const bool interleaved : {true, false}) {
      const std::vector<float> x = random_values(3 * 2 * 2 * pairs, 127);
      const std::vector<float> cosine = random_values(3 * pairs, 131), sine = random_values(3 * pairs, 137);
      expect_units(
          [&](Backend& backend) {
            GuardedOutput y(static_cast<int64_t>(x.size()), 1);
            std::copy(x.begin(), x.end(), y.data());
            backend.rope({.x = Tensor::dense(y.data(), 3, 2, 2 * pairs),
                          .cosine = cosine.data(),
                          .sine = sine.data(),
                          .interleaved = interleaved});
            return y.take();
          },
          0);
    }
}

TEST(Swiglu, EveryWidth) {
  for (const int64_t width : widths()) {
    const std::vector<float> gate = random_values(2 * width, 139), up = random_values(2 * width, 149);
    expect_units(
        [&](Backend& backend) {
          GuardedOutput y(2 * width, 1);
          std::copy(gate.begin(), gate.end(), y.data());
          const Tensor out = Tensor::dense(y.data(), 2, width);
          backend.swiglu(
              {.gate = out, .up = Tensor::dense(const_cast<float*>(up.data()), 2, width), .y = out});
          return y.take();
        },
        4);
  }
}

/// With up = 1, silu(-x) = -x / (1 + exp(x)): every exponent of the exponential, and its ends.
TEST(Swiglu, TheExponentialIsAccurateEverywhere) {
  std::vector<float> gate;
  for (float x = -87.5f; x < 87.5f; x += 0.00711f) gate.push_back(x);
  for (float x = 0x1p-149f; x < 1; x *= 3) gate.insert(gate.end(), {x, -x});
  gate.insert(gate.end(), {0.0f, -0.0f, 88.5f, 88.9f, 200.0f, 1e30f, std::numeric_limits<float>::infinity(),
                           -std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()});
  std::vector<float> up(gate.size(), 1.0f);
  const auto count = static_cast<int64_t>(gate.size());
  expect_units(
      [&](Backend& backend) {
        std::vector<float> y(gate.size());
        backend.swiglu({.gate = Tensor::dense(gate.data(), 1, count),
                        .up = Tensor::dense(up.data(), 1, count),
                        .y = Tensor::dense(y.data(), 1, count)});
        return y;
      },
      3);
}

/// Below the range of normal results: -x exp(-x) leaves f32 step by step, and never becomes NaN.
TEST(Swiglu, TheExponentialOverflowsToZeroGate) {
  std::vector<float> gate = {-88.0f, -88.5f, -88.8f, -89.0f, -95.0f, -103.0f, -105.0f, -1e4f, -1e30f};
  std::vector<float> up(gate.size(), 1.0f);
  const auto count = static_cast<int64_t>(gate.size());
  for (const Isa isa : isas()) {
    std::vector<float> y(gate.size());
    backend(isa, 1).swiglu({.gate = Tensor::dense(gate.data(), 1, count),
                            .up = Tensor::dense(up.data(), 1, count),
                            .y = Tensor::dense(y.data(), 1, count)});
    for (const float value : y) EXPECT_LE(std::abs(value), 1e-36f) << name(isa);
  }
}

TEST(Add, EveryWidth) {
  for (const int64_t width : widths()) {
    const std::vector<float> x = random_values(3 * width, 151, Values::kNonFinite);
    const std::vector<float> y0 = random_values(3 * width, 157, Values::kDifficult);
    expect_units(
        [&](Backend& backend) {
          GuardedOutput y(3 * width, 1);
          std::copy(y0.begin(), y0.end(), y.data());
          backend.add({.x = Tensor::dense(const_cast<float*>(x.data()), 3, width),
                       .y = Tensor::dense(y.data(), 3, width)});
          return y.take();
        },
        0);
  }
}

TEST(Relu, EveryWidth) {
  for (const int64_t width : widths()) {
    for (const bool squared : {false, true}) {
      const std::vector<float> x = random_values(3 * width, 159, Values::kNonFinite);
      expect_units(
          [&](Backend& backend) {
            GuardedOutput y(3 * width, 1);
            backend.relu({.x = Tensor::dense(const_cast<float*>(x.data()), 3, width),
                          .y = Tensor::dense(y.data(), 3, width),
                          .squared = squared});
            return y.take();
          },
          0);
    }
  }
}

TEST(Copy, BetweenStrides) {
  std::vector<float> x = random_values(4 * 3 * 29, 163);
  expect_units(
      [&](Backend& backend) {
        GuardedOutput y(4 * 3 * 17);
        backend.copy(
            {.x = Tensor{x.data() + 5, 4, 3, 17, 3 * 29, 29}, .y = Tensor::dense(y.data(), 4, 3, 17)});
        return y.take();
      },
      0);
}

TEST(Copy, LargeOnesAreSharedOut) {
  std::vector<float> x = random_values(300 * 200, 167);
  expect_units(
      [&](Backend& backend) {
        GuardedOutput y(300 * 200);
        backend.copy({.x = Tensor::dense(x.data(), 300, 200), .y = Tensor::dense(y.data(), 300, 200)});
        return y.take();
      },
      0);
}

/// An embedding is a decoded row: this is the test of every decoder against tensor/'s definition.
TEST(Embed, EveryWeightTypeDecodesToTheSameBits) {
  for (const DType dtype : kWeightDTypes)
    for (const int64_t cols : {256, 512, 37, 16, 3}) {
      if (cols % info(dtype).block_elements != 0) continue;
      OwnedWeight table = random_weight(dtype, 40, cols, 173, 1);
      if (dtype == DType::kF8E4M3) {
        for (size_t i = 1; i < table.bytes.size(); ++i) table.bytes[i] = static_cast<std::byte>(i % 256);
        add_scales(table, 8, 24, 179);
      }
      const std::vector<int32_t> ids = {3, 0, 39, 3, 17};
      expect_units(
          [&](Backend& backend) {
            GuardedOutput y(5 * cols, 1);
            backend.embed({.ids = ids, .table = table.weight, .y = Tensor::dense(y.data(), 5, cols)});
            return y.take();
          },
          0);
    }
}

std::string table_name(Isa isa) { return std::string(name(isa)) + (has_vnni(isa) ? "+vnni" : ""); }

TEST(CpuBackend, RunsWhatWasAskedForOrSaysWhyNot) {
  for (const Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512}) {
    const auto made = make_cpu_backend({.threads = 2, .isa = std::string(name(isa))});
    if (has_isa(isa)) {
      ASSERT_TRUE(made.has_value());
      EXPECT_EQ((*made)->description(), "cpu/" + table_name(isa) + ", 2 threads");
      const auto plain = make_cpu_backend({.threads = 2, .isa = std::string(name(isa)), .vnni = false});
      ASSERT_TRUE(plain.has_value());
      EXPECT_EQ((*plain)->description(), "cpu/" + std::string(name(isa)) + ", 2 threads");
    } else {
      ASSERT_FALSE(made.has_value());
      EXPECT_EQ(made.error().kind, ErrorKind::kNotFound);
    }
  }
  const auto unknown = make_cpu_backend({.isa = "sse9"});
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().kind, ErrorKind::kUsage);
  EXPECT_NE(unknown.error().message.find("'sse9'"), std::string::npos);
  EXPECT_FALSE(make_cpu_backend({.threads = -1}).has_value());
  const auto best = make_cpu_backend({.threads = 1});
  ASSERT_TRUE(best.has_value());
  EXPECT_EQ((*best)->description(), "cpu/" + table_name(best_isa()) + ", 1 thread");
}

}  // namespace
}  // namespace cadre
