#include "cadre/quant/encode.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "cadre/base/check.h"
#include "cadre/tensor/convert.h"

namespace cadre {
namespace {

constexpr int kLanes = 8;  ///< partial sums: fixed, so that no instruction set changes their order
constexpr float kLargestF16 = 65504.0f;

/// Values that are consecutive integers; code 0 stands for kFirst. `x` is a weight over the scale.
template <int kFirst, int kLow, int kHigh>
struct Integers {
  /// The value nearest to x.
  static float nearest(float x) {
    // Adding and taking away 1.5 * 2^23 rounds to an integer, ties to even.
    constexpr float kRound = 12582912.0f;
    x = x < kLow ? static_cast<float>(kLow) : x;
    x = x > kHigh ? static_cast<float>(kHigh) : x;
    return (x + kRound) - kRound;
  }
  /// Its code.
  static uint8_t code(float x) { return static_cast<uint8_t>(static_cast<int>(nearest(x)) - kFirst); }
};

/// Values of both signs with these magnitudes, ascending. Codes are either ascending too, or a sign bit above
/// the magnitude's rank.
template <bool kSignBit, int kSmallest, int... kMagnitudes>
struct Magnitudes {
  static float nearest(float x) {
    const float magnitude = std::fabs(x);
    float value = kSmallest;
    int below = kSmallest;
    // Not short-circuited: comparisons and sums of eight lanes at once.
    ((value += magnitude > middle(below, kMagnitudes) ? static_cast<float>(kMagnitudes - below) : 0.0f,
      below = kMagnitudes),
     ...);
    return std::copysign(value, x);
  }
  static uint8_t code(float x) {
    constexpr int kHalf = 1 + sizeof...(kMagnitudes);
    const float magnitude = std::fabs(x);
    int rank = 0;
    int below = kSmallest;
    ((rank += magnitude > middle(below, kMagnitudes) ? 1 : 0, below = kMagnitudes), ...);
    if (kSignBit) return static_cast<uint8_t>(rank + (x < 0 && rank > 0 ? kHalf : 0));
    return static_cast<uint8_t>(x < 0 ? kHalf - 1 - rank : kHalf + rank);
  }

 private:
  static constexpr float middle(int a, int b) { return 0.5f * static_cast<float>(a + b); }
};

using Q8 = Integers<-128, -127, 127>;
using Q6 = Integers<-32, -32, 31>;
using Q4 = Integers<-8, -8, 7>;
using Mxfp4 = Magnitudes<true, 0, 1, 2, 3, 4, 6, 8, 12>;
using Q3 = Magnitudes<false, 8, 25, 44, 70>;
using Q2 = Magnitudes<false, 3, 10>;

/// Calls body with the values of `type`.
template <typename Body>
auto with_values(DType type, Body body) {
  switch (type) {
    case DType::kPackedQ8:
      return body(Q8{});
    case DType::kPackedQ6:
      return body(Q6{});
    case DType::kPackedQ4:
      return body(Q4{});
    case DType::kPackedMXFP4:
      return body(Mxfp4{});
    case DType::kPackedQ3:
      return body(Q3{});
    default:
      CADRE_CHECK(type == DType::kPackedQ2, "{} is not a packed type", name(type));
      return body(Q2{});
  }
}

/// Which scales are tried, as the value that the largest weight is divided to.
struct Search {
  float first;
  float step;
  int count;
  bool both_signs;  ///< the largest value of one sign has no twin of the other
};

/// Plain rounding clips the largest weights a little at most. With importances it pays to clip an unimportant
/// one by half, so the range is longer. Finer steps lower the error by less than a hundredth (see the test
/// that tries every scale).
Search search_of(DType type, bool weighted) {
  switch (type) {
    case DType::kPackedQ8:
      return weighted ? Search{125.5f, 1.5f, 12, false} : Search{125.5f, 0.5f, 4, false};
    case DType::kPackedQ6:
      return weighted ? Search{28.0f, 2.0f, 14, true} : Search{29.0f, 1.0f, 5, true};
    case DType::kPackedQ4:
      return {5.5f, 0.5f, weighted ? 20 : 8, true};
    case DType::kPackedQ3:
      return {44.0f, 6.0f, weighted ? 20 : 13, false};
    default:
      return {7.0f, 1.5f, weighted ? 20 : 12, false};
  }
}

float round_scale(float scale) {
  return f16_to_f32(f32_to_f16(std::clamp(scale, -kLargestF16, kLargestF16)));
}

float reciprocal(float scale) { return scale == 0 ? 0.0f : 1.0f / scale; }

struct Fit {
  float error = std::numeric_limits<float>::infinity();
  float scale = 0;       ///< that the error is of
  float best_scale = 0;  ///< that fits the same values best, before it is rounded
};

float sum_of(const std::array<float, kLanes>& lanes) {
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

/// The sums over a group run in eight lanes, whatever the instruction set. A loop for each step: compilers
/// then use vectors.
float sum_of_group(const float* terms) {
  std::array<float, kLanes> lanes{};
  for (size_t lane = 0; lane < kLanes; ++lane)
    lanes[lane] = (terms[lane] + terms[lane + 8]) + (terms[lane + 16] + terms[lane + 24]);
  return sum_of(lanes);
}

template <typename Values>
Fit fit(Values, float scale, const float* weights, const float* importance) {
  alignas(64) float value[kPackedGroup];
  alignas(64) float error[kPackedGroup];
  alignas(64) float weight_value[kPackedGroup];
  alignas(64) float value_value[kPackedGroup];
  const float inverse = reciprocal(scale);
  for (int64_t i = 0; i < kPackedGroup; ++i) value[i] = Values::nearest(weights[i] * inverse);
  for (int64_t i = 0; i < kPackedGroup; ++i) {
    const float difference = weights[i] - scale * value[i];
    const float weighted = importance[i] * value[i];
    error[i] = importance[i] * (difference * difference);
    weight_value[i] = weighted * weights[i];
    value_value[i] = weighted * value[i];
  }
  const float denominator = sum_of_group(value_value);
  return {sum_of_group(error), scale, denominator > 0 ? sum_of_group(weight_value) / denominator : 0.0f};
}

/// The better of two; the first where they are equal.
template <typename Values>
bool improve(Values values, float scale, const float* weights, const float* importance, Fit& best) {
  const Fit other = fit(values, scale, weights, importance);
  if (!(other.error < best.error)) return false;
  best = other;
  return true;
}

/// `normalised`: weights of largest magnitude 1, so that no square leaves f32; `unit` is what 1 stands for.
template <typename Values>
float search_scale(Values values, const Search& search, const float* normalised, const float* importance,
                   float unit) {
  constexpr int kTurns = 6;
  // Scales of the normalised weights that, times the unit, are representable.
  const auto storable = [&](float scale) { return round_scale(scale * unit) / unit; };
  Fit best = fit(values, 0.0f, normalised, importance);
  const float smallest = 0x1p-24f / unit;
  for (int i = 0; i < search.count; ++i) {
    const float scale = 1.0f / (search.first + search.step * static_cast<float>(i));
    improve(values, std::max(storable(scale), smallest), normalised, importance, best);
    if (search.both_signs)
      improve(values, std::min(storable(-scale), -smallest), normalised, importance, best);
  }
  for (int turn = 0; turn < kTurns; ++turn)
    if (!improve(values, storable(best.best_scale), normalised, importance, best)) break;
  return round_scale(best.scale * unit);
}

/// E8M0, halved because the values of E2M1 are doubled: 2^(byte - 128). Of the lowest scales the reciprocals,
/// of the highest the largest values leave f32.
constexpr int kLowestExponent = 2;
constexpr int kHighestExponent = 252;
float scale_of_exponent(int byte) { return std::ldexp(1.0f, byte - 128); }

float search_exponent(const float* normalised, const float* importance, float unit) {
  int exponent = 0;
  std::frexp(unit, &exponent);  // unit in [2^(e-1), 2^e)
  // The largest value is 12, so that 2^(e-1) / 8 does not cut off anything. One more halves the range.
  const int highest = exponent - 1 - 2 + 128;
  Fit best;
  int best_byte = std::clamp(highest, kLowestExponent, kHighestExponent);
  for (int byte = highest; byte > highest - 5; --byte) {
    const int stored = std::clamp(byte, kLowestExponent, kHighestExponent);
    if (improve(Mxfp4{}, scale_of_exponent(stored) / unit, normalised, importance, best)) best_byte = stored;
  }
  return scale_of_exponent(best_byte);
}

/// Copies the factors, divided by the largest. False, and nothing copied, where all are equal.
bool normalise(const float* importance, std::array<float, kPackedGroup>& out) {
  const float largest = *std::max_element(importance, importance + kPackedGroup);
  if (largest == *std::min_element(importance, importance + kPackedGroup)) return false;
  for (size_t i = 0; i < kPackedGroup; ++i) out[i] = importance[i] / largest;
  return true;
}

constexpr std::array<float, kPackedGroup> kOnes = [] {
  std::array<float, kPackedGroup> ones{};
  for (float& one : ones) one = 1.0f;
  return ones;
}();

}  // namespace

float largest_encodable(DType type) {
  if (type == DType::kPackedMXFP4) return scale_of_exponent(kHighestExponent) * 12;
  return kLargestF16 * static_cast<float>(packed_codes(type).largest);
}

float best_group_scale(DType type, const float* weights, const float* importance) {
  float largest = 0;
  for (int64_t i = 0; i < kPackedGroup; ++i) largest = std::max(largest, std::fabs(weights[i]));
  if (largest == 0) return 0;
  // A power of two, so that dividing by it changes no bit that could decide anything.
  const float unit = std::max(std::ldexp(1.0f, std::ilogb(largest)), 0x1p-100f);
  std::array<float, kPackedGroup> normalised{};
  for (size_t i = 0; i < kPackedGroup; ++i) normalised[i] = weights[i] / unit;
  std::array<float, kPackedGroup> factors = kOnes;
  const bool weighted = importance != nullptr && normalise(importance, factors);
  if (type == DType::kPackedMXFP4) return search_exponent(normalised.data(), factors.data(), unit);
  // The range of the search counts from the largest weight, not from the unit.
  const float relative = largest / unit;
  Search search = search_of(type, weighted);
  search.first /= relative;
  search.step /= relative;
  return with_values(type, [&](auto values) {
    return search_scale(values, search, normalised.data(), factors.data(), unit);
  });
}

GroupRounder::GroupRounder(DType type, float scale)
    : codes_(&packed_codes(type)), type_(type), scale_(scale), inverse_(reciprocal(scale)) {}

uint8_t GroupRounder::code(float weight) const {
  return with_values(type_, [&](auto values) { return decltype(values)::code(weight * inverse_); });
}

double group_error(DType type, float scale, const float* weights, const float* importance) {
  const GroupRounder rounder(type, scale);
  double error = 0;
  for (int64_t i = 0; i < kPackedGroup; ++i) {
    const double difference = static_cast<double>(weights[i]) - rounder.decoded(rounder.code(weights[i]));
    error += (importance == nullptr ? 1.0 : static_cast<double>(importance[i])) * difference * difference;
  }
  return error;
}

void encode_block(DType type, const float* weights, int64_t rows, int64_t cols,
                  std::span<const float* const> importance, std::byte* block) {
  CADRE_CHECK(rows >= 0 && rows <= kPackedRows && cols % kPackedGroup == 0, "{} rows of {}", rows, cols);
  static constexpr std::array<float, kPackedGroup> kZeros{};
  std::array<uint8_t, static_cast<size_t>(kPackedRows * kPackedGroup)> codes{};
  for (int64_t group = 0; group < cols / kPackedGroup; ++group) {
    for (int64_t row = 0; row < kPackedRows; ++row) {
      const int64_t begin = group * kPackedGroup;
      const float* values = row < rows ? weights + row * cols + begin : kZeros.data();
      const float* factors =
          row < rows && !importance.empty() ? importance[static_cast<size_t>(row)] + begin : nullptr;
      const float scale = best_group_scale(type, values, factors);
      set_packed_scale(type, block + packed_scales_offset(type, group), row, scale);
      const float inverse = reciprocal(scale);
      with_values(type, [&](auto coding) {
        for (int64_t i = 0; i < kPackedGroup; ++i)
          codes[static_cast<size_t>(row * kPackedGroup + i)] = decltype(coding)::code(values[i] * inverse);
      });
    }
    pack_group(type, codes.data(), block + packed_codes_offset(type, group));
  }
}

void pack_block(DType type, const uint8_t* codes, const float* scales, int64_t rows, int64_t cols,
                std::byte* block) {
  CADRE_CHECK(rows >= 0 && rows <= kPackedRows && cols % kPackedGroup == 0, "{} rows of {}", rows, cols);
  const int64_t groups = cols / kPackedGroup;
  std::array<uint8_t, static_cast<size_t>(kPackedRows * kPackedGroup)> group_codes{};
  group_codes.fill(GroupRounder(type, 0).code(0));
  for (int64_t group = 0; group < groups; ++group) {
    for (int64_t row = 0; row < kPackedRows; ++row) {
      set_packed_scale(type, block + packed_scales_offset(type, group), row,
                       row < rows ? scales[row * groups + group] : 0.0f);
      if (row < rows)
        std::copy_n(codes + row * cols + group * kPackedGroup, kPackedGroup,
                    group_codes.begin() + row * kPackedGroup);
    }
    pack_group(type, group_codes.data(), block + packed_codes_offset(type, group));
  }
}

Status check_encodable(DType type, const float* weights, int64_t rows, int64_t cols, int64_t first_row) {
  float limit = std::numeric_limits<float>::max();
  if (is_packed(type)) limit = largest_encodable(type);
  if (type == DType::kF16) limit = kLargestF16;
  // What BF16 rounds to infinity: from half a step above its largest value on.
  if (type == DType::kBF16) limit = std::bit_cast<float>(0x7F7F7FFFu);
  for (int64_t row = 0; row < rows; ++row) {
    const float* values = weights + row * cols;
    int bad = 0;
    for (int64_t c = 0; c < cols; ++c) bad |= std::fabs(values[c]) <= limit ? 0 : 1;
    if (bad == 0) continue;
    const float* at = std::find_if(values, values + cols, [&](float v) { return !(std::fabs(v) <= limit); });
    return invalid("row {}, column {}: a finite weight of at most {:g} expected for {}, {} found",
                   first_row + row, at - values, limit, name(type), *at);
  }
  return {};
}

}  // namespace cadre
