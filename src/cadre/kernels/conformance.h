#pragma once
/// What the conformance tests share: the back ends to compare, inputs, guarded outputs, tolerances.

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "cadre/kernels/backend.h"
#include "cadre/tensor/blocks.h"
#include "cadre/tensor/convert.h"
#include "cadre/tensor/packed.h"

namespace cadre::conformance {

inline std::vector<Isa> isas() {
  std::vector<Isa> present;
  for (const Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512})
    if (has_isa(isa)) present.push_back(isa);
  return present;
}

/// A back end kept for all tests of the process.
inline Backend& backend(Isa isa, int threads, bool vnni = true) {
  static std::map<std::tuple<Isa, int, bool>, std::unique_ptr<Backend>> backends;
  auto& slot = backends[{isa, threads, vnni}];
  if (!slot)
    slot = make_cpu_backend({.threads = threads, .isa = std::string(name(isa)), .vnni = vnni}).value();
  return *slot;
}

inline Backend& reference() {
  static const std::unique_ptr<Backend> backend = make_reference_backend();
  return *backend;
}

/// Same bits, all NaNs being one.
inline bool same(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) || (std::isnan(a) && std::isnan(b));
}

inline testing::AssertionResult same_bits(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return testing::AssertionFailure() << a.size() << " values, " << b.size();
  for (size_t i = 0; i < a.size(); ++i)
    if (!same(a[i], b[i]))
      return testing::AssertionFailure()
             << "value " << i << ": " << a[i] << " is not " << b[i] << " (difference " << a[i] - b[i] << ")";
  return testing::AssertionSuccess();
}

/// The largest error of a sum of `length` f32 products whose absolute values add up to `magnitude`: each
/// operation rounds once, to half a unit of 2^-23, or to half a subnormal step.
inline double tolerance(int64_t length, double magnitude) {
  const auto operations = static_cast<double>(length + 4);
  return operations * (magnitude * 0x1p-24 + 0x1p-150);
}

/// Result and allowed error of each value.
struct Expected {
  std::vector<float> values;
  std::vector<double> allowed;
};

inline testing::AssertionResult near(std::span<const float> got, const Expected& expected) {
  if (got.size() != expected.values.size())
    return testing::AssertionFailure() << got.size() << " values, expected " << expected.values.size();
  for (size_t i = 0; i < got.size(); ++i) {
    const double want = expected.values[i];
    if (same(got[i], expected.values[i])) continue;
    // A sum that leaves the range of f32 on its way says nothing about the kernel.
    if (!(expected.allowed[i] < double{std::numeric_limits<float>::max()} * 0x1p-24) && std::isfinite(want))
      continue;
    if (!(std::abs(double{got[i]} - want) <= expected.allowed[i]))
      return testing::AssertionFailure()
             << "value " << i << ": " << got[i] << ", expected " << want << " +- " << expected.allowed[i];
  }
  return testing::AssertionSuccess();
}

using Run = std::function<std::vector<float>(Backend&)>;

/// Runs on every instruction set with one and three threads: equal bits, and near `expected`.
inline void expect_conformance(const Run& run, const Expected& expected) {
  std::vector<float> first;
  for (const Isa isa : isas()) {
    for (const int threads : {1, 3}) {
      for (const bool vnni : {true, false}) {
        if (!vnni && !has_vnni(isa)) continue;
        const std::vector<float> got = run(backend(isa, threads, vnni));
        SCOPED_TRACE(backend(isa, threads, vnni).description());
        ASSERT_TRUE(near(got, expected));
        if (first.empty()) first = got;
        ASSERT_TRUE(same_bits(got, first));
      }
    }
  }
}

/// An output between two guard zones; `offset` floats off its alignment, in rows `row_stride` apart.
class GuardedOutput {
 public:
  explicit GuardedOutput(int64_t floats, int64_t offset = 0)
      : size_(static_cast<size_t>(floats)), begin_(kGuard + static_cast<size_t>(offset)) {
    memory_.assign(begin_ + size_ + kGuard, std::bit_cast<float>(kPattern));
  }
  float* data() { return memory_.data() + begin_; }
  /// The result, or a failed assertion where the guards were touched.
  std::vector<float> take() const {
    for (size_t i = 0; i < memory_.size(); ++i)
      if ((i < begin_ || i >= begin_ + size_) && std::bit_cast<uint32_t>(memory_[i]) != kPattern) {
        ADD_FAILURE() << "guard at " << static_cast<int64_t>(i) - static_cast<int64_t>(begin_) << " of "
                      << size_;
        break;
      }
    return {memory_.begin() + static_cast<int64_t>(begin_),
            memory_.begin() + static_cast<int64_t>(begin_ + size_)};
  }
  static constexpr uint32_t kPattern = 0x7FA5A5A5;  ///< a NaN, so that reading it shows too

 private:
  static constexpr size_t kGuard = 64;
  size_t size_;
  size_t begin_;
  std::vector<float> memory_;
};

enum class Values { kOrdinary, kDifficult, kNonFinite };

/// Random values; kDifficult sprinkles zeros, subnormals and one outlier, kNonFinite infinities and NaN.
inline std::vector<float> random_values(int64_t count, uint64_t seed, Values kind = Values::kOrdinary) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  if (kind == Values::kOrdinary || count == 0) return values;
  for (float& value : values) {
    const uint64_t draw = random() % 8;
    if (draw == 0) value = 0;
    if (draw == 1) value = -0.0f;
    if (draw == 2) value *= 0x1p-140f;
  }
  const size_t place = random() % values.size();
  values[place] = 1e15f;
  if (kind == Values::kNonFinite)
    values[place] =
        std::array{std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                   std::numeric_limits<float>::quiet_NaN()}[random() % 3];
  return values;
}

/// A weight matrix with its bytes: `misalign` bytes off.
struct OwnedWeight {
  std::vector<std::byte> bytes;
  std::vector<float> scales;
  Weight weight;
};

inline constexpr DType kWeightDTypes[] = {
    DType::kF32,      DType::kF16,      DType::kBF16,        DType::kF8E4M3,   DType::kQ8_0,
    DType::kQ4_0,     DType::kQ4_K,     DType::kQ6_K,        DType::kMXFP4,    DType::kPackedQ8,
    DType::kPackedQ6, DType::kPackedQ4, DType::kPackedMXFP4, DType::kPackedQ3, DType::kPackedQ2};
inline constexpr Compute kComputes[] = {Compute::kF32, Compute::kBF16, Compute::kInt8};

/// ", bf16 inputs", for the trace of a failure.
inline const char* name(Compute compute) {
  if (compute == Compute::kF32) return "";
  return compute == Compute::kBF16 ? ", bf16 inputs" : ", int8 inputs";
}

/// Random codes, and scales that are moderate, for the whole blocks of a packed matrix.
inline void fill_packed(DType dtype, std::byte* data, int64_t rows, int64_t cols, std::mt19937_64& random) {
  const int64_t bytes = packed_group_bytes(dtype);
  for (int64_t g = 0; g < packed_blocks(rows) * (cols / kPackedGroup); ++g, data += bytes) {
    for (int64_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>(random());
    for (int64_t i = 0; i < kPackedRows; ++i) {
      if (dtype == DType::kPackedMXFP4) {
        data[i] = static_cast<std::byte>(random() % 16 < 15 ? 110 + random() % 8 : random() % 2);
        continue;
      }
      const float magnitude = 0.01f + 0.02f * static_cast<float>(random() % 1024) / 1024;
      const uint16_t half = random() % 16 < 15 ? f32_to_f16(random() % 2 == 0 ? magnitude : -magnitude)
                                               : static_cast<uint16_t>(random() % 3);  // 0 and subnormals
      std::memcpy(data + 2 * i, &half, sizeof half);
    }
  }
}

/// Sets every f16 field of a block type to something moderate: random bits would be infinities.
inline void set_block_scales(DType dtype, std::byte* block, std::mt19937_64& random) {
  const auto set_f16 = [&](size_t offset) {
    const uint16_t bits = f32_to_f16(0.01f + 0.02f * static_cast<float>(random() % 1024) / 1024);
    std::memcpy(block + offset, &bits, sizeof bits);
  };
  switch (dtype) {
    case DType::kQ8_0:
    case DType::kQ4_0:
      return set_f16(0);
    case DType::kQ4_K:
      set_f16(0);
      return set_f16(2);
    case DType::kQ6_K:
      return set_f16(offsetof(BlockQ6_K, d));
    case DType::kMXFP4:
      block[0] = static_cast<std::byte>(120 + random() % 8);
      return;
    default:
      return;
  }
}

inline OwnedWeight random_weight(DType dtype, int64_t rows, int64_t cols, uint64_t seed, int64_t misalign = 0,
                                 Values kind = Values::kOrdinary) {
  OwnedWeight owned;
  const int64_t stride = row_bytes(dtype, cols);
  const int64_t stored_rows = is_packed(dtype) ? packed_blocks(rows) * kPackedRows : rows;
  owned.bytes.resize(static_cast<size_t>(stored_rows * stride + misalign));
  std::byte* data = owned.bytes.data() + misalign;
  std::mt19937_64 random(seed ^ 0x5EED);
  const std::vector<float> values = random_values(rows * cols, seed, kind);
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kF32) {
      std::memcpy(data + 4 * i, &values[i], 4);
    } else if (dtype == DType::kF16 || dtype == DType::kBF16) {
      const uint16_t bits = dtype == DType::kF16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]);
      std::memcpy(data + 2 * i, &bits, 2);
    } else if (dtype == DType::kF8E4M3) {
      data[i] = static_cast<std::byte>((random() & 0x80) | (random() % 0x7F));  // all but NaN
    }
  }
  if (is_packed(dtype)) {
    fill_packed(dtype, data, rows, cols, random);
  } else if (const DTypeInfo& type = info(dtype); type.block_elements > 1) {
    for (int64_t b = 0; b < rows * stride; ++b) data[b] = static_cast<std::byte>(random());
    for (int64_t b = 0; b < rows * stride; b += type.block_bytes) set_block_scales(dtype, data + b, random);
  }
  owned.weight = {.data = data, .dtype = dtype, .rows = rows, .cols = cols, .row_bytes = stride};
  return owned;
}

/// Gives an FP8 weight one scale per block of `block_rows` x `block_cols`.
inline void add_scales(OwnedWeight& owned, int32_t block_rows, int32_t block_cols, uint64_t seed) {
  Weight& w = owned.weight;
  w.scale_stride = (w.cols + block_cols - 1) / block_cols;
  owned.scales = random_values((w.rows + block_rows - 1) / block_rows * w.scale_stride, seed);
  for (float& scale : owned.scales) scale *= 0.01f;
  w.scales = owned.scales.data();
  w.block_rows = block_rows;
  w.block_cols = block_cols;
}

}  // namespace cadre::conformance
