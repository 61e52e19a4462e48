#include "cadre/base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <span>
#include <vector>

#include "cadre/base/fixtures.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;

class FileTest : public ::testing::Test {
 protected:
  template <typename T>
  void expect_error(const Result<T>& result, ErrorKind kind, std::string_view fragment) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().kind, kind);
    EXPECT_NE(result.error().message.find(fragment), std::string::npos) << result.error().message;
  }

  fixtures::ScratchFolder folder_;
};

/// Their sum. Without the checks of the sanitizers, whose own memory for these pages would fault too.
[[gnu::no_sanitize_address, gnu::no_sanitize_thread]] int first_bytes_of_pages(
    std::span<const std::byte> bytes) {
  int sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 4096) sum += static_cast<int>(bytes.data()[i]);
  return sum;
}

TEST_F(FileTest, ResidentPagesAreMappedWithoutReading) {
  constexpr size_t kBytes = size_t{8} << 20;
  const auto file = MappedFile::open(folder_.file("f", std::string(kBytes, 'x')));
  ASSERT_TRUE(file);
  file->map_resident();
  const auto faults = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
  };
  const long before = faults();
  const int sum = first_bytes_of_pages(file->bytes());
  // The system maps 16 pages at a fault, so reading unmapped memory would take 128.
  EXPECT_LT(faults() - before, 64) << sum;
  EXPECT_EQ(sum, 'x' * static_cast<int>(kBytes / 4096));
}

TEST_F(FileTest, MapsWhatWasWritten) {
  const std::string text("a\0b\n", 4);
  ASSERT_TRUE(write_text_file(folder_ / "f", text));
  auto opened = MappedFile::open(folder_ / "f");
  ASSERT_TRUE(opened) << opened.error().message;
  const std::byte* data = opened->bytes().data();
  MappedFile file = std::move(*opened);
  EXPECT_EQ(file.bytes().data(), data);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(data), file.bytes().size()), text);
  EXPECT_EQ(file.path(), folder_ / "f");
  EXPECT_EQ(read_text_file(folder_ / "f"), text);
  EXPECT_EQ(folder_.names().size(), 1u);
}

TEST_F(FileTest, MapsAnEmptyFile) {
  ASSERT_TRUE(write_text_file(folder_ / "f", ""));
  const auto file = MappedFile::open(folder_ / "f");
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->bytes().empty());
  EXPECT_EQ(read_text_file(folder_ / "f"), "");
}

TEST_F(FileTest, ReadingErrorsSayWhat) {
  expect_error(MappedFile::open(folder_ / "none"), ErrorKind::kNotFound,
               "none: cannot open: No such file or directory");
  expect_error(MappedFile::open(folder_.path()), ErrorKind::kInvalid, "expected a file, found a directory");
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  // A reader of a pipe waits for a writer unless one is there.
  const int writer = ::open((folder_ / "pipe").c_str(), O_RDWR);
  expect_error(MappedFile::open(folder_ / "pipe"), ErrorKind::kInvalid,
               "something that is not a regular file");
  ::close(writer);
  ASSERT_TRUE(write_text_file(folder_ / "f", "12345"));
  expect_error(read_text_file(folder_ / "f", 4), ErrorKind::kTooLarge, "f: 5 bytes, at most 4 are read");
  EXPECT_TRUE(read_text_file(folder_ / "f", 5));
}

TEST_F(FileTest, AtomicFileAppearsOnCommitOnly) {
  ASSERT_TRUE(write_text_file(folder_ / "f", "old"));
  auto file = AtomicFile::create(folder_ / "f");
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_TRUE(file->write("new "));
  ASSERT_TRUE(file->write(std::as_bytes(std::span(std::string_view("text")))));
  EXPECT_EQ(file->bytes_written(), 8U);
  EXPECT_EQ(read_text_file(folder_ / "f"), "old");
  AtomicFile moved = std::move(*file);
  ASSERT_TRUE(moved.commit());
  EXPECT_EQ(read_text_file(folder_ / "f"), "new text");
  EXPECT_EQ(folder_.names().size(), 1u);
}

TEST_F(FileTest, AtomicFileWithoutCommitLeavesNothing) {
  {
    auto file = AtomicFile::create(folder_ / "f");
    ASSERT_TRUE(file && file->write("half"));
    EXPECT_EQ(folder_.names().size(), 1u);
    auto other = AtomicFile::create(folder_ / "g");
    ASSERT_TRUE(other);
    *file = std::move(*other);
  }
  EXPECT_TRUE(folder_.empty());
}

TEST_F(FileTest, AtomicFilesGetOrdinaryPermissions) {
  const mode_t mask = ::umask(022);
  ASSERT_TRUE(write_text_file(folder_ / "f", "x"));
  ::umask(mask);
  EXPECT_EQ(fs::status(folder_ / "f").permissions(), static_cast<fs::perms>(0644));
}

TEST_F(FileTest, TwoWritersOfOneTargetDoNotMix) {
  auto first = AtomicFile::create(folder_ / "f");
  auto second = AtomicFile::create(folder_ / "f");
  ASSERT_TRUE(first && second);
  ASSERT_TRUE(first->write("1") && second->write("2") && first->commit() && second->commit());
  EXPECT_EQ(read_text_file(folder_ / "f"), "2");
  EXPECT_EQ(folder_.names().size(), 1u);
}

TEST_F(FileTest, WritingErrorsSayWhat) {
  expect_error(AtomicFile::create(folder_ / "none" / "f"), ErrorKind::kNotFound, "cannot create");
  auto file = AtomicFile::create(folder_ / "f");
  ASSERT_TRUE(file);
  fs::create_directory(folder_ / "f");
  expect_error(file->commit(), ErrorKind::kIo, "f: cannot rename");
  EXPECT_EQ(folder_.names().size(), 1u) << "only the folder that was in the way";
}

TEST_F(FileTest, AFullDiskIsAnErrorAndLeavesNothing) {
  const auto previous_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit previous{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &previous), 0);
  const rlimit small{1000, previous.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status status = write_text_file(folder_ / "f", std::string(5000, 'x'));
  ::setrlimit(RLIMIT_FSIZE, &previous);
  std::signal(SIGXFSZ, previous_handler);
  expect_error(status, ErrorKind::kIo, "f: cannot write: File too large");
  EXPECT_TRUE(folder_.empty());
}

TEST_F(FileTest, InterruptedProgramsRemoveTheirUnfinishedFiles) {
  auto kept = AtomicFile::create(folder_ / "kept");
  ASSERT_TRUE(kept && kept->write("x") && kept->commit());
  auto first = AtomicFile::create(folder_ / "a");
  auto second = AtomicFile::create(folder_ / "b");
  ASSERT_TRUE(first && second);
  EXPECT_EQ(folder_.names().size(), 3u);
  remove_unfinished_files();
  EXPECT_EQ(folder_.names().size(), 1u);
  EXPECT_EQ(read_text_file(folder_ / "kept"), "x");
}

TEST_F(FileTest, MoreUnfinishedFilesThanAreRemembered) {
  {
    std::vector<AtomicFile> files;
    for (int i = 0; i < 100; ++i) {
      auto file = AtomicFile::create(folder_ / std::to_string(i));
      ASSERT_TRUE(file);
      files.push_back(std::move(*file));
    }
    EXPECT_EQ(folder_.names().size(), 100u);
  }
  EXPECT_TRUE(folder_.empty());
}

TEST_F(FileTest, APipeIsNeitherReadNorReplaced) {
  const fs::path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  expect_error(MappedFile::open(pipe), ErrorKind::kInvalid, "not a regular file");
  expect_error(AtomicFile::create(pipe), ErrorKind::kInvalid, "not a regular file");
  EXPECT_TRUE(fs::is_fifo(pipe));
  EXPECT_EQ(folder_.names().size(), 1u);
}

TEST_F(FileTest, AnEmptyPathIsAnError) {
  expect_error(AtomicFile::create(""), ErrorKind::kInvalid, "empty");
  expect_error(AtomicFolder::create(""), ErrorKind::kInvalid, "empty");
  expect_error(free_disk_bytes(""), ErrorKind::kInvalid, "empty");
}

TEST_F(FileTest, AWorkingDirectoryThatIsGoneIsAnError) {
  const fs::path before = fs::current_path();
  fs::create_directory(folder_ / "gone");
  fs::current_path(folder_ / "gone");
  fs::remove(folder_ / "gone");
  expect_error(free_disk_bytes("f"), ErrorKind::kNotFound, "absolute path");
  expect_error(AtomicFolder::create("f"), ErrorKind::kNotFound, "absolute path");
  fs::current_path(before);
}

TEST_F(FileTest, FreeBytesOfTheNearestFolder) {
  const auto here = free_disk_bytes(folder_.path());
  const auto below = free_disk_bytes(folder_ / "not" / "yet" / "there");
  ASSERT_TRUE(here && below);
  EXPECT_GT(*here, 0U);
  EXPECT_NEAR(static_cast<double>(*here), static_cast<double>(*below), 1e9);
}

}  // namespace
}  // namespace cadre
