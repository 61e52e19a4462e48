#include "cadre/base/anonymous_memory.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "cadre/base/file.h"
#include "cadre/base/fixtures.h"

namespace cadre {
namespace {

TEST(AnonymousMemory, IsZeroWritableAndMovable) {
  AnonymousMemory memory = AnonymousMemory::reserve(1 << 20).value();
  ASSERT_EQ(memory.size(), 1 << 20);
  EXPECT_TRUE(std::all_of(memory.data(), memory.data() + memory.size(),
                          [](std::byte b) { return b == std::byte{0}; }));
  memory.data()[12345] = std::byte{7};
  const AnonymousMemory moved = std::move(memory);
  EXPECT_EQ(moved.data()[12345], std::byte{7});
}

TEST(AnonymousMemory, NothingIsAllowedAndTooMuchIsAnError) {
  EXPECT_EQ(AnonymousMemory::reserve(0)->size(), 0);
  const auto huge = AnonymousMemory::reserve(INT64_MAX / 2);
  ASSERT_FALSE(huge.has_value());
  EXPECT_EQ(huge.error().kind, ErrorKind::kTooLarge);
}

TEST(ReleasePages, TheBytesAreStillThere) {
  const fixtures::ScratchFolder scratch;
  const MappedFile file = MappedFile::open(scratch.file("f", std::string(20000, 'x'))).value();
  release_pages(file.bytes().subspan(100));
  release_pages(file.bytes().subspan(100, 5));
  EXPECT_EQ(std::count(file.bytes().begin(), file.bytes().end(), std::byte{'x'}), 20000);
}

}  // namespace
}  // namespace cadre
