#include "cadre/kernels/conformance.h"

namespace cadre {
namespace {

using namespace conformance;

struct MatmulCase {
  int64_t rows = 1;
  int64_t k = 1;
  int64_t out = 1;
  Compute compute = Compute::kF32;
  Values values = Values::kOrdinary;
  int64_t x_gap = 0;  ///< floats between rows of x
  int64_t y_gap = 0;
  int64_t offset = 0;  ///< floats that x and y are off their alignment
};

std::vector<float> with_gaps(std::span<const float> dense, int64_t rows, int64_t width, int64_t gap) {
  std::vector<float> spread(static_cast<size_t>(rows * (width + gap) + 1),
                            std::numeric_limits<float>::quiet_NaN());
  for (int64_t r = 0; r < rows; ++r)
    std::copy_n(dense.begin() + r * width, width, spread.begin() + r * (width + gap));
  return spread;
}

/// The product of two scales may be subnormal, and the integers that it is multiplied with add up to at most
/// 127 * 128 for each of the k products.
double product_of_scales_error(const MatmulCase& c, const Weight& w) {
  const bool int8 = c.compute == Compute::kInt8 && is_packed(w.dtype);
  return int8 ? static_cast<double>(c.k) * 127 * 128 * 0x1p-150 : 0;
}

Expected expected_matmul(const MatmulCase& c, const std::vector<float>& x, const Weight& w) {
  Expected expected;
  expected.values.resize(static_cast<size_t>(c.rows * c.out));
  reference().matmul({.x = Tensor::dense(const_cast<float*>(x.data()), c.rows, c.k),
                      .w = w,
                      .y = Tensor::dense(expected.values.data(), c.rows, c.out),
                      .compute = c.compute});
  std::vector<float> row(static_cast<size_t>(c.k));
  expected.allowed.resize(expected.values.size());
  for (int64_t o = 0; o < c.out; ++o) {
    decode_weight_row(w, o, row.data());
    for (int64_t t = 0; t < c.rows; ++t) {
      double magnitude = 0;
      for (int64_t k = 0; k < c.k; ++k)
        magnitude +=
            std::abs(double{x[static_cast<size_t>(t * c.k + k)]} * double{row[static_cast<size_t>(k)]});
      // Inputs rounded to bf16 may be larger by 2^-8 each.
      expected.allowed[static_cast<size_t>(t * c.out + o)] =
          tolerance(c.k, magnitude * 1.01) + product_of_scales_error(c, w);
    }
  }
  return expected;
}

void check_matmul(const MatmulCase& c, const Weight& w) {
  SCOPED_TRACE(testing::Message() << c.rows << " x " << c.k << " -> " << c.out << ", " << name(w.dtype)
                                  << name(c.compute));
  const std::vector<float> x = random_values(c.rows * c.k, 7, c.values);
  std::vector<float> spread = with_gaps(x, c.rows, c.k, c.x_gap);
  spread.insert(spread.begin(), static_cast<size_t>(c.offset), 0.0f);
  const auto run = [&](Backend& backend) {
    GuardedOutput y(c.rows * (c.out + c.y_gap), c.offset);
    const Tensor input{spread.data() + c.offset, c.rows, 1, c.k, c.k + c.x_gap, c.k};
    const Tensor output{y.data(), c.rows, 1, c.out, c.out + c.y_gap, c.out};
    backend.matmul({.x = input, .w = w, .y = output, .compute = c.compute});
    std::vector<float> dense;
    const std::vector<float> all = y.take();
    for (int64_t t = 0; t < c.rows; ++t) {
      const auto begin = all.begin() + t * (c.out + c.y_gap);
      dense.insert(dense.end(), begin, begin + c.out);
      for (int64_t i = 0; i < c.y_gap; ++i)
        EXPECT_EQ(std::bit_cast<uint32_t>(begin[c.out + i]), GuardedOutput::kPattern) << "gap of row " << t;
    }
    return dense;
  };
  expect_conformance(run, expected_matmul(c, x, w));
}

constexpr int64_t kLengths[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17,
                                18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 47, 97, 257};

TEST(Matmul, EveryInnerLength) {
  for (const int64_t k : kLengths)
    for (const DType dtype : {DType::kF32, DType::kBF16})
      for (const int64_t rows : {1, 2, 3, 4, 5, 17})
        check_matmul({.rows = rows, .k = k, .out = 7}, random_weight(dtype, 7, k, 11).weight);
}

TEST(Matmul, EveryNumberOfOutputs) {
  for (int64_t out = 1; out <= 40; ++out)
    for (const int64_t rows : {1, 4, 15, 16, 17})
      check_matmul({.rows = rows, .k = 33, .out = out}, random_weight(DType::kBF16, out, 33, 13).weight);
}

TEST(Matmul, EveryWeightType) {
  for (const DType dtype : kWeightDTypes)
    for (const Compute compute : kComputes)
      for (const int64_t rows : {1, 6, 19}) {
        check_matmul({.rows = rows, .k = 512, .out = 23, .compute = compute},
                     random_weight(dtype, 23, 512, 17, /*misalign=*/3).weight);
      }
}

TEST(Matmul, Fp8ScalesOfSlicedRows) {
  OwnedWeight w = random_weight(DType::kF8E4M3, 70, 200, 19);
  add_scales(w, 16, 48, 23);
  for (const int64_t rows : {1, 18})
    for (const int64_t first : {0, 5, 33})
      check_matmul({.rows = rows, .k = 200, .out = 30}, w.weight.slice_rows(first, 30));
}

TEST(Matmul, InnerLengthsAboveOneBlock) {
  OwnedWeight fp8 = random_weight(DType::kF8E4M3, 19, 4400, 29);
  add_scales(fp8, 8, 128, 31);
  for (const int64_t rows : {3, 18, 270}) {
    for (const DType dtype : {DType::kF32, DType::kBF16})
      check_matmul({.rows = rows, .k = 4400, .out = 19}, random_weight(dtype, 19, 4400, 37, 1).weight);
    check_matmul({.rows = rows, .k = 4400, .out = 19}, fp8.weight);
  }
  check_matmul({.rows = 18, .k = 2304, .out = 9}, random_weight(DType::kQ4_K, 9, 2304, 37, 1).weight);
}

TEST(Matmul, StridesAndMisalignment) {
  for (int64_t offset = 0; offset < 4; ++offset)
    for (const int64_t rows : {1, 3, 18})
      for (const DType dtype : {DType::kF32, DType::kBF16})
        check_matmul({.rows = rows, .k = 53, .out = 21, .x_gap = 5, .y_gap = 3, .offset = offset},
                     random_weight(dtype, 21, 53, 41, offset).weight);
}

TEST(Matmul, DifficultValues) {
  for (const Values kind : {Values::kDifficult, Values::kNonFinite})
    for (const DType dtype : {DType::kF32, DType::kBF16})
      for (const Compute compute : kComputes)
        for (const int64_t rows : {1, 4, 19})
          check_matmul({.rows = rows, .k = 61, .out = 9, .compute = compute, .values = kind},
                       random_weight(dtype, 9, 61, 43, 0, kind).weight);
}

/// Every number of groups, of weight rows around the block of 16, and of rows of x around what is kept in
/// registers (4) and in a tile (64).
TEST(Matmul, PackedShapes) {
  for (int i = 0; i < kPackedTypeCount; ++i) {
    const DType dtype = packed_type(i);
    for (const int64_t out : {1, 15, 16, 17, 31, 32, 33, 48, 70})
      for (const int64_t rows : {1, 2, 3, 4, 5, 63, 64, 65, 130})
        check_matmul({.rows = rows,
                      .k = 32 * (1 + (out + rows) % 5),
                      .out = out,
                      .compute = Compute::kInt8,
                      .x_gap = 3,
                      .y_gap = 2,
                      .offset = rows % 4},
                     random_weight(dtype, out, 32 * (1 + (out + rows) % 5), 41, out % 3).weight);
    for (const Values kind : {Values::kDifficult, Values::kNonFinite})
      for (const int64_t rows : {1, 4, 19})
        check_matmul({.rows = rows, .k = 96, .out = 20, .compute = Compute::kInt8, .values = kind},
                     random_weight(dtype, 20, 96, 43).weight);
  }
}

/// Inputs and weights of the largest magnitude and one sign: what a 16-bit sum of two products cannot hold.
TEST(Matmul, PackedExtremes) {
  for (int i = 0; i < kPackedTypeCount; ++i) {
    const DType dtype = packed_type(i);
    for (const int fill : {0x00, 0xFF, 0x77, 0x88}) {
      OwnedWeight w = random_weight(dtype, 16, 64, 3);
      for (int64_t group = 0; group < 2; ++group) {
        const auto codes = w.bytes.begin() + packed_codes_offset(dtype, group);
        std::fill(codes, codes + packed_code_bytes(dtype), static_cast<std::byte>(fill));
      }
      for (const float value : {1.0f, -1.0f})
        for (const int64_t rows : {1, 7}) {
          std::vector<float> x(static_cast<size_t>(rows * 64), value);
          const auto run = [&](Backend& backend) {
            std::vector<float> y(static_cast<size_t>(rows * 16));
            backend.matmul({.x = Tensor::dense(x.data(), rows, 64),
                            .w = w.weight,
                            .y = Tensor::dense(y.data(), rows, 16),
                            .compute = Compute::kInt8});
            return y;
          };
          Expected expected{.values = run(reference()), .allowed = {}};
          // The two groups' scales may differ in sign: at most 64 products of 0.03 * 128 or 2^-11 * 12.
          expected.allowed.assign(expected.values.size(), tolerance(8, 64 * 0.03 * 128));
          expect_conformance(run, expected);
        }
    }
  }
}

TEST(Matmul, ARowDependsOnNothingElse) {
  const int64_t rows = 300, k = 1120, out = 130;
  std::vector<float> x = random_values(rows * k, 47);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kPackedQ4, DType::kPackedQ6}) {
    const Compute compute = is_packed(dtype) ? Compute::kInt8 : Compute::kF32;
    const OwnedWeight w = random_weight(dtype, out, k, 53);
    for (const Isa isa : isas()) {
      if (isa == Isa::kGeneric) continue;  // equal to the others by the tests above, and slow
      std::vector<float> all(static_cast<size_t>(rows * out));
      backend(isa, 1).matmul({.x = Tensor::dense(x.data(), rows, k),
                              .w = w.weight,
                              .y = Tensor::dense(all.data(), rows, out),
                              .compute = compute});
      for (const int64_t count : {1, 2, 3, 5, 16, 40}) {
        const int64_t first = 137;
        std::vector<float> some(static_cast<size_t>(count * out));
        backend(isa, 2).matmul({.x = Tensor::dense(x.data() + first * k, count, k),
                                .w = w.weight,
                                .y = Tensor::dense(some.data(), count, out),
                                .compute = compute});
        EXPECT_TRUE(same_bits(some, std::span(all).subspan(static_cast<size_t>(first * out), some.size())))
            << name(isa) << ' ' << name(dtype) << ", " << count << " rows";
      }
    }
  }
}

struct HeadCase {
  int64_t rows;
  int64_t heads;
  int64_t in;
  int64_t out;
  bool transposed;
  bool shared_input;
  Compute compute;
  int64_t first_row = 2;
  int64_t gap = 3;  ///< rows between two heads
};

void check_head_matmul(const HeadCase& c, DType dtype) {
  SCOPED_TRACE(testing::Message() << c.rows << " rows, " << c.heads << " heads, " << c.in << " -> " << c.out
                                  << ' ' << name(dtype) << (c.transposed ? ", transposed" : ""));
  const int64_t head_rows = (c.transposed ? c.in : c.out) + c.gap;
  const OwnedWeight w = random_weight(dtype, c.first_row + c.heads * head_rows, c.transposed ? c.out : c.in,
                                      59, 2, Values::kOrdinary);
  const int64_t x_heads = c.shared_input ? 1 : c.heads;
  std::vector<float> x = random_values(c.rows * x_heads * c.in, 61);
  const Tensor input{x.data(), c.rows, c.heads, c.in, x_heads * c.in, c.shared_input ? 0 : c.in};
  const auto run = [&](Backend& backend) {
    GuardedOutput y(c.rows * c.heads * c.out, 1);
    backend.head_matmul({.x = input,
                         .w = w.weight,
                         .first_row = c.first_row,
                         .head_rows = head_rows,
                         .transposed = c.transposed,
                         .y = Tensor::dense(y.data(), c.rows, c.heads, c.out),
                         .compute = c.compute});
    return y.take();
  };
  Expected expected{.values = run(reference()), .allowed = {}};
  // |x| and |w| are at most about 5 and 6 here, the latter by Q8_0's 0.03 * 128 and E4M3's 448.
  const double largest = dtype == DType::kF8E4M3 ? 448 : 16;
  expected.allowed.assign(expected.values.size(), tolerance(c.in, static_cast<double>(c.in) * 6 * largest));
  expect_conformance(run, expected);
}

TEST(HeadMatmul, EveryForm) {
  for (const DType dtype : kWeightDTypes)
    for (const bool transposed : {false, true})
      for (const bool shared : {false, true})
        for (const int64_t rows : {1, 5, 18}) {
          const bool blocks = info(dtype).block_elements > 1;
          const int64_t cols = blocks ? 256 : 37;
          check_head_matmul({.rows = rows,
                             .heads = 3,
                             .in = transposed ? 19 : cols,
                             .out = transposed ? cols : 19,
                             .transposed = transposed,
                             .shared_input = shared,
                             .compute = rows == 5 ? Compute::kBF16 : Compute::kF32},
                            dtype);
        }
}

TEST(HeadMatmul, PackedHeadsOfWholeBlocksTakeInt8) {
  for (int i = 0; i < kPackedTypeCount; ++i)
    for (const bool shared : {false, true})
      for (const int64_t rows : {1, 5, 300})
        check_head_matmul({.rows = rows,
                           .heads = 3,
                           .in = 96,
                           .out = 27,
                           .transposed = false,
                           .shared_input = shared,
                           .compute = Compute::kInt8,
                           .first_row = 16,
                           .gap = 5},
                          packed_type(i));
}

TEST(HeadMatmul, EveryWidth) {
  for (const int64_t width : kLengths)
    for (const bool transposed : {false, true})
      check_head_matmul({.rows = 3,
                         .heads = 2,
                         .in = transposed ? 5 : width,
                         .out = transposed ? width : 5,
                         .transposed = transposed,
                         .shared_input = false,
                         .compute = Compute::kF32},
                        DType::kBF16);
}

TEST(HeadMatmul, ManyRowsAreSharedOut) {
  for (const bool transposed : {false, true})
    check_head_matmul({.rows = 300,
                       .heads = 2,
                       .in = 40,
                       .out = 24,
                       .transposed = transposed,
                       .shared_input = false,
                       .compute = Compute::kF32},
                      DType::kF32);
}

}  // namespace
}  // namespace cadre
