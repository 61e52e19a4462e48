#include "cadre/runtime/snapshot_file.h"

#include <gtest/gtest.h>

#include <cstring>

#include "cadre/runtime/kv_cache.h"

namespace cadre {
namespace {

using Bytes = std::vector<std::byte>;

Bytes page() {
  Bytes bytes(1000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = std::byte(i * 7);
  return bytes;
}

std::vector<int32_t> tokens() {
  std::vector<int32_t> ids(2 * kPageTokens);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i * 3);
  return ids;
}

Bytes file() {
  const Bytes data = page();
  Bytes bytes = snapshot_header({.fingerprint = 77, .experts = 3, .tokens = tokens(), .page = data});
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

/// The file with a number of its header changed, and the message that this gets.
std::string error_with(size_t offset, int64_t value) {
  Bytes bytes = file();
  std::memcpy(bytes.data() + offset, &value, sizeof(value));
  const auto parsed = parse_snapshot(bytes, "x.kv");
  return parsed ? "accepted" : parsed.error().message;
}

TEST(SnapshotFile, ReadsWhatWasWritten) {
  const Bytes bytes = file();
  const Snapshot read = parse_snapshot(bytes, "x.kv").value();
  EXPECT_EQ(read.fingerprint, 77u);
  EXPECT_EQ(read.experts, 3);
  EXPECT_EQ(read.tokens, tokens());
  EXPECT_EQ(Bytes(read.page.begin(), read.page.end()), page());
}

TEST(SnapshotFile, NoBitMayBeOther) {
  Bytes bytes = file();
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (const int bit : {0, 5, 7}) {
      bytes[at] ^= std::byte(1 << bit);
      ASSERT_FALSE(parse_snapshot(bytes, "x.kv").has_value()) << "byte " << at;
      bytes[at] ^= std::byte(1 << bit);
    }
  }
  EXPECT_TRUE(parse_snapshot(bytes, "x.kv").has_value());
}

TEST(SnapshotFile, NoByteMayBeMissingOrTooMany) {
  Bytes bytes = file();
  for (size_t size = 0; size < bytes.size(); ++size)
    ASSERT_FALSE(parse_snapshot(std::span(bytes).first(size), "x.kv").has_value()) << size;
  bytes.push_back(std::byte{0});
  EXPECT_FALSE(parse_snapshot(bytes, "x.kv").has_value());
}

TEST(SnapshotFile, ErrorsNameTheField) {
  EXPECT_NE(error_with(0, 1).find("x.kv: a snapshot"), std::string::npos);
  EXPECT_NE(error_with(16, -1).find("'experts'"), std::string::npos);
  for (const int64_t count : {int64_t{-64}, int64_t{0}, int64_t{65}, INT64_MAX - 63})
    EXPECT_NE(error_with(24, count).find("'tokens'"), std::string::npos) << count;
  EXPECT_NE(error_with(24, int64_t{1} << 28).find("bytes found"), std::string::npos);
  for (const int64_t size : {int64_t{-1}, int64_t{999}, INT64_MAX})
    EXPECT_NE(error_with(32, size).find("bytes found"), std::string::npos) << size;
  EXPECT_NE(error_with(40, 5).find("damaged"), std::string::npos);
}

}  // namespace
}  // namespace cadre
