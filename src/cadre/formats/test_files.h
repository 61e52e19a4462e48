#pragma once
/// For the tests of this folder: files made byte by byte.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <string_view>

#include "cadre/base/result.h"

namespace cadre::fixtures {

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

/// The value's bytes, as both formats store it.
template <typename T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

/// Expects `result` to be an error whose message contains `fragment`.
template <typename T>
void expect_error(const Result<T>& result, std::string_view fragment) {
  ASSERT_FALSE(result.has_value()) << "expected an error with: " << fragment;
  EXPECT_NE(result.error().message.find(fragment), std::string::npos)
      << "message:  " << result.error().message << "\nexpected: " << fragment;
}

/// Calls parse(bytes) on every prefix of `valid` that is not all of it, on a copy that ends exactly there, so
/// that a sanitizer sees a read beyond.
template <typename Parse>
void for_each_truncation(std::string_view valid, Parse parse) {
  for (size_t size = 0; size < valid.size(); ++size) {
    const std::vector<char> copy(valid.begin(), valid.begin() + static_cast<std::ptrdiff_t>(size));
    parse(std::as_bytes(std::span(copy)));
  }
}

/// Calls parse(bytes) on `count` copies of `valid`, each with 1 to 4 random bytes changed.
template <typename Parse>
void for_each_corruption(std::string_view valid, int count, Parse parse) {
  std::mt19937 random(20250101);
  for (int i = 0; i < count; ++i) {
    std::vector<char> copy(valid.begin(), valid.end());
    const auto changes = 1 + random() % 4;
    for (unsigned j = 0; j < changes; ++j) copy[random() % copy.size()] = static_cast<char>(random() & 0xFF);
    parse(std::as_bytes(std::span(copy)));
  }
}

}  // namespace cadre::fixtures
