#include "cadre/base/hash.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace cadre {
namespace {

TEST(HashBytes, EveryBitEveryLengthAndTheSeedCount) {
  std::set<uint64_t> seen;
  std::vector<std::byte> bytes(21);
  size_t inputs = 0;
  for (size_t length = 0; length <= bytes.size(); ++length, ++inputs)
    seen.insert(hash_bytes(std::span(bytes).first(length)));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit, ++inputs) {
    bytes[bit / 8] ^= std::byte(1 << (bit % 8));
    seen.insert(hash_bytes(bytes));
    bytes[bit / 8] ^= std::byte(1 << (bit % 8));
  }
  seen.insert(hash_bytes(bytes, 1));
  EXPECT_EQ(seen.size(), inputs + 1);
  EXPECT_EQ(hash_bytes(bytes), hash_bytes(std::vector<std::byte>(21)));
}

}  // namespace
}  // namespace cadre
