#include <gtest/gtest.h>

#include <filesystem>

#include "cadre/base/file.h"
#include "cadre/base/fixtures.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;

class AtomicFolderTest : public ::testing::Test {
 protected:
  fixtures::ScratchFolder parent_;
};

TEST_F(AtomicFolderTest, AppearsWithItsContentsOnCommit) {
  auto folder = AtomicFolder::create(parent_ / "out/");
  ASSERT_TRUE(folder) << folder.error().message;
  ASSERT_TRUE(write_text_file(folder->temporary() / "file", "text"));
  EXPECT_FALSE(fs::exists(parent_ / "out"));
  ASSERT_TRUE(folder->commit());
  EXPECT_EQ(*read_text_file(parent_ / "out" / "file"), "text");
  EXPECT_EQ(parent_.names().size(), 1u);
}

TEST_F(AtomicFolderTest, LeavesNothingWithoutCommit) {
  {
    auto folder = AtomicFolder::create(parent_ / "out");
    ASSERT_TRUE(folder);
    ASSERT_TRUE(write_text_file(folder->temporary() / "file", "text"));
    EXPECT_EQ(parent_.names().size(), 1u);
  }
  EXPECT_TRUE(parent_.empty());
}

TEST_F(AtomicFolderTest, RefusesWhatIsInUseAndTakesAnEmptyFolder) {
  ASSERT_TRUE(write_text_file(parent_ / "file", "text"));
  EXPECT_FALSE(AtomicFolder::create(parent_ / "file"));
  EXPECT_FALSE(AtomicFolder::create(parent_.path()));
  EXPECT_FALSE(AtomicFolder::create(parent_ / "missing" / "out"));
  fs::create_directories(parent_ / "empty");
  auto folder = AtomicFolder::create(parent_ / "empty");
  ASSERT_TRUE(folder);
  EXPECT_TRUE(folder->commit());
}

TEST_F(AtomicFolderTest, AnInterruptedProgramRemovesTheEmptyFolderAndTheFileInIt) {
  auto folder = AtomicFolder::create(parent_ / "out");
  ASSERT_TRUE(folder);
  const auto file = AtomicFile::create(folder->temporary() / "file");
  ASSERT_TRUE(file);
  remove_unfinished_files();
  EXPECT_TRUE(parent_.empty());
}

}  // namespace
}  // namespace cadre
