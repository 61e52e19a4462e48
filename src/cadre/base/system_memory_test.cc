#include "cadre/base/system_memory.h"

#include <gtest/gtest.h>

#include "cadre/base/anonymous_memory.h"

namespace cadre {
namespace {

TEST(SystemMemory, ReadsFieldsByTheirWholeName) {
  constexpr std::string_view kText = "VmRSSAnon:\t7 kB\nRssAnon:\t     12 kB\nRssFile:\t 3 kB\nBroken:";
  EXPECT_EQ(memory_field_bytes(kText, "RssAnon:"), 12 * 1024);
  EXPECT_EQ(memory_field_bytes(kText, "RssFile:"), 3 * 1024);
  EXPECT_EQ(memory_field_bytes(kText, "RssShmem:"), 0);
  EXPECT_EQ(memory_field_bytes(kText, "Broken:"), 0);
  EXPECT_EQ(memory_field_bytes("", "Broken:"), 0);
}

TEST(SystemMemory, SomeIsAvailableButNotMoreThanThereIs) {
  EXPECT_GT(available_memory_bytes(), 0);
  EXPECT_LE(available_memory_bytes(), physical_memory_bytes());
}

}  // namespace
}  // namespace cadre
