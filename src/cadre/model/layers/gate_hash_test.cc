#include "cadre/model/layers/gate_hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace cadre {
namespace {

TEST(HashTable, RandomRowsAreDistinctExpertsAndTheTokensOwn) {
  const RandomStream random(7, 1);
  std::vector<float> table(300 * 3);
  for (int64_t token = 299; token >= 0; --token)
    fill_hash_row(random, token, 5, std::span(table).subspan(static_cast<size_t>(token) * 3, 3));
  EXPECT_TRUE(check_hash_table(table, 3, 5).has_value());
  std::vector<float> again(3);
  fill_hash_row(random, 17, 5, again);
  EXPECT_EQ(again, std::vector<float>(table.begin() + 51, table.begin() + 54));
  // All experts are used about equally: 180 each.
  for (int e = 0; e < 5; ++e)
    EXPECT_NEAR(std::count(table.begin(), table.end(), static_cast<float>(e)), 180, 60);
}

TEST(HashTable, WhatIsNotAChoiceOfExpertsIsRefused) {
  const auto message = [](std::vector<float> table) {
    const Status status = check_hash_table(table, 2, 4);
    return status ? std::string() : status.error().message;
  };
  EXPECT_EQ(message({0, 3, 1, 2}), "");
  EXPECT_NE(message({0, 3, 1, 4}).find("token 1: expected an expert from 0 to 3, found 4"),
            std::string::npos);
  EXPECT_NE(message({0, -1}), "");
  EXPECT_NE(message({0.5f, 1}), "");
  EXPECT_NE(message({std::numeric_limits<float>::quiet_NaN(), 1}), "");
  EXPECT_NE(message({2, 2}).find("twice"), std::string::npos);
}

}  // namespace
}  // namespace cadre
