#include "cadre/runtime/snapshot_store.h"

#include <gtest/gtest.h>

#include <fstream>

#include "cadre/base/fixtures.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::byte>;

constexpr int64_t kPage = 4096;
constexpr int64_t kFile = 48 + 64 * 4 + kPage;

class SnapshotStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<SnapshotStore> open(uint64_t fingerprint = 1, int64_t limit = 100 * kFile) const {
    return SnapshotStore::open(folder_, limit, fingerprint, kPage).value();
  }
  static std::vector<int32_t> tokens(int32_t which) { return std::vector<int32_t>(64, which); }
  static Bytes page(int32_t which) { return Bytes(kPage, std::byte(which)); }
  static void save(SnapshotStore& store, int32_t which) {
    const std::vector<int32_t> ids = tokens(which);
    store.save({.experts = 0, .tokens = ids}, page(which));
  }
  static bool loads(SnapshotStore& store, int32_t which, int64_t experts = 0) {
    const std::vector<int32_t> ids = tokens(which);
    Bytes bytes(kPage);
    if (!store.load({.experts = experts, .tokens = ids}, bytes)) return false;
    EXPECT_EQ(bytes, page(which));
    return true;
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(folder_)) paths.push_back(entry.path());
    return paths;
  }

  fixtures::ScratchFolder scratch_;
  const fs::path folder_ = scratch_ / "snapshots";  ///< not there yet
};

TEST_F(SnapshotStoreTest, PagesOutliveTheProcess) {
  {
    const auto store = open();
    for (int32_t i = 0; i < 20; ++i) save(*store, i);
  }
  const auto store = open();
  EXPECT_EQ(store->stats().files, 20);
  EXPECT_EQ(store->stats().bytes, 20 * kFile);
  for (int32_t i = 0; i < 20; ++i) EXPECT_TRUE(loads(*store, i)) << i;
  EXPECT_FALSE(loads(*store, 20));
  EXPECT_FALSE(loads(*store, 3, 1)) << "of another number of experts";
  EXPECT_EQ(store->stats().hits, 20);
  EXPECT_EQ(store->stats().damaged, 0);
  EXPECT_EQ(fs::status(folder_).permissions(), fs::perms::owner_all);
}

TEST_F(SnapshotStoreTest, OtherModelsPagesAreNotServed) {
  save(*open(1), 5);
  const auto other = open(2);
  EXPECT_EQ(other->stats().files, 1);
  EXPECT_FALSE(loads(*other, 5));
  // Nor under a name that is not theirs.
  const fs::path path = files().at(0);
  std::string name = path.filename().string();
  save(*other, 5);
  fs::path own;
  while (own.empty())  // the writer is another thread
    for (const fs::path& file : files())
      if (file != path && file.extension() == ".kv") own = file;
  fs::copy_file(path, own, fs::copy_options::overwrite_existing);
  const auto again = open(2);
  EXPECT_FALSE(loads(*again, 5));
  EXPECT_EQ(again->stats().damaged, 1);
  EXPECT_FALSE(fs::exists(own));
  EXPECT_TRUE(fs::exists(path));
}

TEST_F(SnapshotStoreTest, DamagedFilesAreRemovedAndCounted) {
  {
    const auto store = open();
    for (int32_t i = 0; i < 3; ++i) save(*store, i);
  }
  const std::vector<fs::path> paths = files();
  ASSERT_EQ(paths.size(), 3u);
  fs::resize_file(paths[0], kFile - 1);
  fs::resize_file(paths[1], 0);
  std::fstream(paths[2], std::ios::in | std::ios::out | std::ios::binary).seekp(kFile - 7).put('\x5A');
  const auto store = open();
  for (int32_t i = 0; i < 3; ++i) EXPECT_FALSE(loads(*store, i)) << i;
  EXPECT_EQ(store->stats().damaged, 3);
  EXPECT_EQ(store->stats().files, 0);
  EXPECT_TRUE(files().empty());
}

TEST_F(SnapshotStoreTest, TheLeastRecentlyUsedGoesFirst) {
  {
    const auto store = open(1, 4 * kFile);
    for (int32_t i = 0; i < 4; ++i) save(*store, i);
    while (store->stats().files < 4) std::this_thread::yield();
    EXPECT_TRUE(loads(*store, 0));
    save(*store, 4);
    save(*store, 5);
  }
  {
    const auto store = open(1, 4 * kFile);
    EXPECT_EQ(store->stats().bytes, 4 * kFile);
    EXPECT_FALSE(loads(*store, 1));
    EXPECT_FALSE(loads(*store, 2));
    EXPECT_TRUE(loads(*store, 0));
    EXPECT_TRUE(loads(*store, 5));
  }
  // A restart remembers what was used last.
  const auto store = open(1, 2 * kFile);
  EXPECT_TRUE(loads(*store, 0));
  EXPECT_TRUE(loads(*store, 5));
  EXPECT_EQ(files().size(), 2u);
}

TEST_F(SnapshotStoreTest, WhatCannotBeUsedIsAnError) {
  EXPECT_FALSE(SnapshotStore::open(folder_, kPage - 1, 1, kPage).has_value());
  fixtures::write_file(folder_, "a file");
  const auto blocked = SnapshotStore::open(folder_, 10 * kPage, 1, kPage);
  ASSERT_FALSE(blocked.has_value());
  EXPECT_NE(blocked.error().message.find(folder_.string()), std::string::npos);
}

TEST_F(SnapshotStoreTest, UnfinishedFilesOfOthersGoAndFailuresAreCounted) {
  fs::create_directories(folder_);
  const fs::path old = folder_ / "0000000000000001-0000000000000002.kv.partial-abcdef";
  fixtures::write_file(old, "half");
  fs::last_write_time(old, fs::file_time_type::clock::now() - std::chrono::hours(2));
  auto store = open();
  EXPECT_FALSE(fs::exists(old));
  fs::remove_all(folder_);
  save(*store, 1);
  while (store->stats().failures == 0) std::this_thread::yield();
  EXPECT_FALSE(loads(*store, 1));
}

}  // namespace
}  // namespace cadre
