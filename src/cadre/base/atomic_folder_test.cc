#include <gtest/gtest.h>

#include <filesystem>

#include "cadre/base/file.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;

class AtomicFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    parent_ = fs::path(testing::TempDir()) /
              (std::string("cadre_folder_") + testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(parent_);
    fs::create_directories(parent_);
  }
  void TearDown() override { fs::remove_all(parent_); }

  size_t entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(parent_), fs::directory_iterator()));
  }

  fs::path parent_;
};

TEST_F(AtomicFolderTest, AppearsWithItsContentsOnCommit) {
  auto folder = AtomicFolder::create(parent_ / "out/");
  ASSERT_TRUE(folder) << folder.error().message;
  ASSERT_TRUE(write_text_file(folder->temporary() / "file", "text"));
  EXPECT_FALSE(fs::exists(parent_ / "out"));
  ASSERT_TRUE(folder->commit());
  EXPECT_EQ(*read_text_file(parent_ / "out" / "file"), "text");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(AtomicFolderTest, LeavesNothingWithoutCommit) {
  {
    auto folder = AtomicFolder::create(parent_ / "out");
    ASSERT_TRUE(folder);
    ASSERT_TRUE(write_text_file(folder->temporary() / "file", "text"));
    EXPECT_EQ(entries(), 1u);
  }
  EXPECT_EQ(entries(), 0u);
}

TEST_F(AtomicFolderTest, RefusesWhatIsInUseAndTakesAnEmptyFolder) {
  ASSERT_TRUE(write_text_file(parent_ / "file", "text"));
  EXPECT_FALSE(AtomicFolder::create(parent_ / "file"));
  EXPECT_FALSE(AtomicFolder::create(parent_));
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
  EXPECT_EQ(entries(), 0u);
}

}  // namespace
}  // namespace cadre
