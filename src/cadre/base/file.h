#pragma once
/// Files: reading by memory map, and writing so that a reader never sees half of one.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "cadre/base/result.h"

namespace cadre {

/// A file mapped read-only. Owns the mapping; spans into it die with it. Thread-safe to read.
/// A file that is shortened by another process while mapped raises SIGBUS on access, as with every mapping.
class MappedFile {
 public:
  /// Never blocks, whatever lies at `path`.
  /// Errors: kNotFound, kIo (with the system's reason), kInvalid for a directory or another non-file.
  static Result<MappedFile> open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_}; }
  /// Enters what the page cache already holds into the page table, so that using it first costs no fault;
  /// reads nothing from the disk. Does nothing where the system does not say what is held (files of others).
  void map_resident() const;
  const std::filesystem::path& path() const { return path_; }

 private:
  MappedFile(std::filesystem::path path, const void* data, size_t size)
      : path_(std::move(path)), data_(data), size_(size) {}

  std::filesystem::path path_;
  const void* data_ = nullptr;
  size_t size_ = 0;
};

/// Reads a whole file into memory. Errors as MappedFile::open, and kTooLarge above `limit_bytes`.
Result<std::string> read_text_file(const std::filesystem::path& path, size_t limit_bytes = size_t{1} << 30);

/// A file written under a temporary name beside its target and renamed on `commit`.
/// Destroyed without commit (error, exception, early return), it leaves nothing behind. The temporary names
/// of all files alive are known, so that an interrupted program can remove them: see remove_unfinished_files.
class AtomicFile {
 public:
  /// Errors: kInvalid (an empty path; a folder, device, pipe or socket there, which a rename would replace);
  /// kIo (no such folder, permission).
  static Result<AtomicFile> create(const std::filesystem::path& path);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  ~AtomicFile();

  /// Appends. Errors: kIo, with the path and the system's reason (full disk).
  Status write(std::span<const std::byte> bytes);
  Status write(std::string_view text);
  /// Flushes to the disk and renames to the target. Errors: kIo.
  Status commit();
  uint64_t bytes_written() const { return written_; }

 private:
  AtomicFile(std::filesystem::path path, std::filesystem::path temporary, int descriptor);
  void discard() noexcept;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  uint64_t written_ = 0;
};

/// A file that grows under its own name and stays when it is not finished, so that the work can go on later:
/// for a folder that gets its name when all of it is there.
class GrowingFile {
 public:
  /// Opens or makes `path` and cuts it to `keep_bytes`; what is written comes after them.
  /// Errors: kInvalid when it is shorter than that, kIo.
  static Result<GrowingFile> open(const std::filesystem::path& path, uint64_t keep_bytes);

  GrowingFile(GrowingFile&& other) noexcept;
  GrowingFile& operator=(GrowingFile&& other) noexcept;
  ~GrowingFile();

  /// Appends. Errors: kIo, with the path and the system's reason (full disk).
  Status write(std::span<const std::byte> bytes);
  /// Makes what was written outlast a loss of power. Errors: kIo.
  Status flush();
  /// Flushes and closes. Errors: kIo.
  Status commit();

 private:
  GrowingFile(std::filesystem::path path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

  std::filesystem::path path_;
  int descriptor_ = -1;
};

/// Writes `text` to `path` atomically.
Status write_text_file(const std::filesystem::path& path, std::string_view text);

/// A folder filled under a temporary name beside its target and renamed on `commit`. Destroyed without
/// commit, it leaves nothing behind, as AtomicFile.
class AtomicFolder {
 public:
  /// `path` must not exist, or be an empty folder. Errors: kInvalid for anything else there or an empty path,
  /// kIo.
  static Result<AtomicFolder> create(const std::filesystem::path& path);

  AtomicFolder(AtomicFolder&& other) noexcept;
  AtomicFolder& operator=(AtomicFolder&& other) noexcept;
  ~AtomicFolder();

  /// Where the contents go until `commit`.
  const std::filesystem::path& temporary() const { return temporary_; }
  Status commit();

 private:
  AtomicFolder(std::filesystem::path path, std::filesystem::path temporary)
      : path_(std::move(path)), temporary_(std::move(temporary)) {}

  std::filesystem::path path_;
  std::filesystem::path temporary_;  ///< empty once committed or moved from
};

/// Removes the temporary files of every AtomicFile alive, and the folder of every AtomicFolder that is then
/// empty. Async-signal-safe; for the last step before an interrupted program leaves.
void remove_unfinished_files() noexcept;

/// `path` from the root, without `.` and `..`.
/// Errors: kInvalid (empty), kNotFound (the working
/// directory is gone).
Result<std::filesystem::path> absolute_path(const std::filesystem::path& path);

/// Bytes free for an ordinary user on the file system that holds `path` (or its nearest existing parent).
Result<uint64_t> free_disk_bytes(const std::filesystem::path& path);

}  // namespace cadre
