#include "cadre/quant/encode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "cadre/base/random.h"
#include "cadre/tensor/convert.h"

namespace cadre {
namespace {

using Group = std::array<float, 32>;

/// Weights as they come: normal, with a rare outlier in every third group.
Group random_group(uint64_t seed) {
  const RandomStream stream(seed, 5);
  Group group{};
  for (uint64_t i = 0; i < 32; ++i) group[i] = static_cast<float>(0.02 * stream.normal(i));
  if (seed % 3 == 0) group[seed % 32] *= 6;
  return group;
}

Group random_importance(uint64_t seed) {
  const RandomStream stream(seed, 6);
  Group importance{};
  for (uint64_t i = 0; i < 32; ++i) importance[i] = static_cast<float>(std::exp(1.5 * stream.normal(i)));
  return importance;
}

/// The least error that any scale of the type reaches.
double least_error(DType type, const Group& weights, const float* importance) {
  double least = std::numeric_limits<double>::infinity();
  if (type == DType::kPackedMXFP4) {
    for (int byte = 2; byte < 253; ++byte)
      least = std::min(least, group_error(type, std::ldexp(1.0f, byte - 128), weights.data(), importance));
    return least;
  }
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float scale = f16_to_f32(static_cast<uint16_t>(bits));
    if (!std::isfinite(scale)) continue;
    // Scales under which the largest weight is not a quarter, or more than four times, the largest value.
    float largest = 0;
    for (const float w : weights) largest = std::max(largest, std::fabs(w));
    const float ratio = largest / (std::fabs(scale) * static_cast<float>(packed_codes(type).largest));
    if (ratio < 0.25f || ratio > 4) continue;
    least = std::min(least, group_error(type, scale, weights.data(), importance));
  }
  return least;
}

class Encode : public testing::TestWithParam<int> {
 protected:
  DType type() const { return packed_type(GetParam()); }
};

TEST_P(Encode, CodesAreTheNearestValues) {
  const PackedCodes& codes = packed_codes(type());
  const float scale = type() == DType::kPackedMXFP4 ? 0.25f : -0.375f;
  const GroupRounder rounder(type(), scale);
  const RandomStream stream(3, 1);
  for (uint64_t i = 0; i < 500; ++i) {
    const auto weight = static_cast<float>(stream.normal(i) * 0.6 * codes.largest * scale);
    float nearest = std::numeric_limits<float>::infinity();
    // Code 0 of q8 is never written.
    for (size_t c = type() == DType::kPackedQ8 ? 1 : 0; c < codes.values.size(); ++c)
      nearest = std::min(nearest, std::fabs(weight - scale * static_cast<float>(codes.values[c])));
    EXPECT_FLOAT_EQ(std::fabs(weight - rounder.decoded(rounder.code(weight))), nearest) << weight;
  }
}

/// What the search may lose against trying every scale, over many groups. At 6 bits and more so at 8, where
/// errors are small, the best of thousands of scales wins by chance what no sparse search can.
TEST_P(Encode, ScaleIsNearlyTheBestOfAll) {
  const int bits = packed_codes(type()).bits;
  const bool fine = bits >= 6;
  const double of_one_group = bits == 8 ? 5 : fine ? 2.5 : 1.25;
  for (const bool weighted : {false, true}) {
    double found = 0;
    double least = 0;
    for (uint64_t seed = 0; seed < 24; ++seed) {
      const Group weights = random_group(seed);
      const Group importance = random_importance(seed);
      const float* factors = weighted ? importance.data() : nullptr;
      const double error =
          group_error(type(), best_group_scale(type(), weights.data(), factors), weights.data(), factors);
      const double best = least_error(type(), weights, factors);
      EXPECT_LE(error, best * of_one_group) << "group " << seed << (weighted ? " weighted" : "");
      found += error;
      least += best;
    }
    RecordProperty(weighted ? "weighted" : "plain", std::to_string(found / least));
    EXPECT_LE(found, least * (fine ? 1.6 : 1.02)) << (weighted ? "weighted" : "plain");
  }
}

/// Half a step of the values everywhere, when the scale maps the largest weight to the largest value.
TEST_P(Encode, ErrorIsBelowTheObviousBound) {
  const PackedCodes& codes = packed_codes(type());
  int step = 0;
  std::vector<int> sorted(codes.values.begin(), codes.values.end());
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 1; i < sorted.size(); ++i) step = std::max(step, sorted[i] - sorted[i - 1]);
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Group weights = random_group(seed);
    float largest = 0;
    for (const float w : weights) largest = std::max(largest, std::fabs(w));
    // Of MXFP4, scales are powers of two; of q4 and q6, the largest values of the two signs differ by one.
    const double slack = type() == DType::kPackedMXFP4 ? 2.0 : codes.largest <= 32 ? 8.0 / 7 : 1.01;
    const double half_step = 0.5 * step * largest / codes.largest * slack;
    EXPECT_LE(group_error(type(), best_group_scale(type(), weights.data(), nullptr), weights.data(), nullptr),
              32 * half_step * half_step);
  }
}

TEST_P(Encode, ImportanceLowersTheWeightedError) {
  double plain = 0;
  double guided = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const Group weights = random_group(seed);
    const Group importance = random_importance(seed);
    const float* h = importance.data();
    plain += group_error(type(), best_group_scale(type(), weights.data(), nullptr), weights.data(), h);
    guided += group_error(type(), best_group_scale(type(), weights.data(), h), weights.data(), h);
  }
  EXPECT_LT(guided, plain);
}

TEST_P(Encode, EqualImportanceIsNone) {
  const Group weights = random_group(1);
  for (const float factor : {0.0f, 1.0f, 4096.0f}) {
    Group importance{};
    importance.fill(factor);
    EXPECT_EQ(best_group_scale(type(), weights.data(), importance.data()),
              best_group_scale(type(), weights.data(), nullptr));
  }
}

TEST_P(Encode, PowersOfTwoChangeNothingButTheScale) {
  const Group weights = random_group(2);
  Group larger = weights;
  for (float& w : larger) w *= 1024;
  EXPECT_EQ(best_group_scale(type(), larger.data(), nullptr),
            1024 * best_group_scale(type(), weights.data(), nullptr));
}

TEST_P(Encode, ZerosSubnormalsAndTheLargest) {
  Group weights{};
  EXPECT_EQ(best_group_scale(type(), weights.data(), nullptr), 0);
  weights[3] = std::numeric_limits<float>::denorm_min();
  EXPECT_LE(group_error(type(), best_group_scale(type(), weights.data(), nullptr), weights.data(), nullptr),
            static_cast<double>(weights[3]));
  weights[3] = 0x1p-26f;  // between 0 and the smallest f16
  EXPECT_LE(group_error(type(), best_group_scale(type(), weights.data(), nullptr), weights.data(), nullptr),
            0x1p-52);
  weights.fill(-largest_encodable(type()));
  const float scale = best_group_scale(type(), weights.data(), nullptr);
  EXPECT_TRUE(std::isfinite(scale));
  const GroupRounder rounder(type(), scale);
  EXPECT_NEAR(rounder.decoded(rounder.code(weights[3])) / weights[3], 1, 0.01);
}

TEST_P(Encode, BlocksHoldWhatTheGroupsSay) {
  constexpr int64_t kCols = 64;
  constexpr int64_t kRows = 5;  // eleven are filled up
  std::vector<float> weights(kRows * kCols);
  std::vector<std::vector<float>> importance;
  std::vector<const float*> factors;
  const RandomStream stream(9, 9);
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(stream.normal(i));
  for (int64_t r = 0; r < kRows; ++r) {
    const Group left = random_importance(static_cast<uint64_t>(r));
    importance.emplace_back(left.begin(), left.end()).resize(kCols, 1.0f);
  }
  for (const auto& row : importance) factors.push_back(row.data());
  std::vector<std::byte> block(static_cast<size_t>(packed_block_bytes(type(), kCols)), std::byte{0x5A});
  encode_block(type(), weights.data(), kRows, kCols, factors, block.data());
  std::array<float, kCols> decoded{};
  for (int64_t r = 0; r < kPackedRows; ++r) {
    decode_packed_row(type(), block.data(), kCols, r, 0, kCols, decoded.data());
    for (int64_t g = 0; g < kCols / 32; ++g) {
      if (r >= kRows) {
        for (int64_t c = 0; c < 32; ++c) EXPECT_EQ(decoded[static_cast<size_t>(g * 32 + c)], 0);
        continue;
      }
      const float* group = weights.data() + r * kCols + g * 32;
      const float scale = best_group_scale(type(), group, factors[static_cast<size_t>(r)] + g * 32);
      const GroupRounder rounder(type(), scale);
      for (int64_t c = 0; c < 32; ++c)
        EXPECT_EQ(decoded[static_cast<size_t>(g * 32 + c)], rounder.decoded(rounder.code(group[c])));
    }
  }
}

TEST_P(Encode, RefusesWhatIsNotFiniteOrTooLargeAndSaysWhere) {
  std::vector<float> weights(3 * 32, 0.5f);
  EXPECT_TRUE(check_encodable(type(), weights.data(), 3, 32, 0));
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    weights[2 * 32 + 7] = bad;
    const Status status = check_encodable(type(), weights.data(), 3, 32, 100);
    ASSERT_FALSE(status);
    EXPECT_NE(status.error().message.find("row 102, column 7"), std::string::npos) << status.error().message;
  }
  weights[2 * 32 + 7] = largest_encodable(type());
  EXPECT_TRUE(check_encodable(type(), weights.data(), 3, 32, 0));
  weights[2 * 32 + 7] *= 1.001f;
  EXPECT_FALSE(check_encodable(type(), weights.data(), 3, 32, 0));
}

INSTANTIATE_TEST_SUITE_P(Types, Encode, testing::Range(0, kPackedTypeCount),
                         [](const auto& test) { return std::string(name(packed_type(test.param))); });

TEST(EncodeTypes, MoreBitsMeanLessError) {
  const auto total = [](DType type) {
    double error = 0;
    for (uint64_t seed = 0; seed < 100; ++seed) {
      const Group weights = random_group(seed);
      error += group_error(type, best_group_scale(type, weights.data(), nullptr), weights.data(), nullptr);
    }
    return error;
  };
  EXPECT_LT(total(DType::kPackedQ8) * 8, total(DType::kPackedQ6));
  EXPECT_LT(total(DType::kPackedQ6) * 8, total(DType::kPackedQ4));
  EXPECT_LT(total(DType::kPackedQ4), total(DType::kPackedMXFP4));
  EXPECT_LT(total(DType::kPackedMXFP4), total(DType::kPackedQ3));
  EXPECT_LT(total(DType::kPackedQ3) * 2, total(DType::kPackedQ2));
}

TEST(EncodeTypes, PlainTypesAreCheckedToo) {
  const float large = 1e5f;
  EXPECT_TRUE(check_encodable(DType::kBF16, &large, 1, 1, 0));
  EXPECT_FALSE(check_encodable(DType::kF16, &large, 1, 1, 0));
  const float largest = std::numeric_limits<float>::max();
  EXPECT_TRUE(check_encodable(DType::kF32, &largest, 1, 1, 0));
  EXPECT_FALSE(check_encodable(DType::kBF16, &largest, 1, 1, 0));
}

}  // namespace
}  // namespace cadre
