#include "cadre/base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace cadre {
namespace {

/// MADV_POPULATE_READ, which older C libraries have no name for.
constexpr int kPopulateRead = 22;

ErrorKind kind_of(int system_error) { return system_error == ENOENT ? ErrorKind::kNotFound : ErrorKind::kIo; }

tl::unexpected<Error> system_failure(const std::filesystem::path& path, const char* action,
                                     int system_error) {
  return fail(kind_of(system_error), "{}: cannot {}: {}", path.string(), action, std::strerror(system_error));
}

const char* describe_mode(mode_t mode) {
  return S_ISDIR(mode) ? "a directory" : "something that is not a regular file";
}

Status write_all(int descriptor, const std::filesystem::path& path, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_failure(path, "write", errno);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return {};
}

/// Temporary names of unfinished files, in a form that a signal handler may read: fixed slots, each claimed
/// by an atomic flag. A program that writes more files at once than there are slots merely loses the
/// clean-up of the excess ones after an interrupt.
constexpr int kUnfinishedSlots = 64;
constexpr int kPathLimit = 4096;
struct UnfinishedSlot {
  std::atomic<bool> claimed{false};
  std::atomic<bool> valid{false};
  char path[kPathLimit];
};
UnfinishedSlot g_unfinished[kUnfinishedSlots];

void remember_unfinished(const std::string& path) {
  if (path.size() >= kPathLimit) return;
  for (UnfinishedSlot& slot : g_unfinished) {
    bool expected = false;
    if (!slot.claimed.compare_exchange_strong(expected, true)) continue;
    std::memcpy(slot.path, path.c_str(), path.size() + 1);
    slot.valid.store(true);
    return;
  }
}

void forget_unfinished(const std::string& path) {
  for (UnfinishedSlot& slot : g_unfinished) {
    if (!slot.valid.load() || path != slot.path) continue;
    slot.valid.store(false);
    slot.claimed.store(false);
    return;
  }
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return system_failure(path, "open", errno);
  struct stat info {};
  if (::fstat(descriptor, &info) != 0) {
    const int error = errno;
    ::close(descriptor);
    return system_failure(path, "stat", error);
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(descriptor);
    return invalid("{}: expected a file, found {}", path.string(), describe_mode(info.st_mode));
  }
  const auto size = static_cast<size_t>(info.st_size);
  if (size == 0) {
    ::close(descriptor);
    return MappedFile(path, nullptr, 0);
  }
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
  const int error = errno;
  ::close(descriptor);
  if (data == MAP_FAILED) return system_failure(path, "map", error);
  return MappedFile(path, data, size);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<void*>(data_), size_);
}

void MappedFile::map_resident() const {
  struct stat info {};
  // Of files that one may not write, mincore says that every page is there, and populating would read them.
  if (::stat(path_.c_str(), &info) != 0 || (info.st_uid != ::geteuid() && ::access(path_.c_str(), W_OK) != 0))
    return;
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  constexpr size_t kPiece = size_t{64} << 20;
  auto* const data = static_cast<std::byte*>(const_cast<void*>(data_));
  std::vector<unsigned char> held(kPiece / page);
  for (size_t begin = 0; begin < size_; begin += kPiece) {
    const size_t bytes = std::min(kPiece, size_ - begin);
    const size_t pages = (bytes + page - 1) / page;
    if (::mincore(data + begin, bytes, held.data()) != 0) return;
    for (size_t first = 0; first < pages;) {
      size_t end = first;
      while (end < pages && (held[end] & 1) != 0) ++end;
      // Kernels before 5.14 refuse; the pages are then mapped as they are used.
      if (end > first && ::madvise(data + begin + first * page, (end - first) * page, kPopulateRead) != 0)
        return;
      first = end + 1;
    }
  }
}

Result<std::string> read_text_file(const std::filesystem::path& path, size_t limit_bytes) {
  CADRE_TRY(const MappedFile file, MappedFile::open(path));
  if (file.bytes().size() > limit_bytes)
    return fail(ErrorKind::kTooLarge, "{}: {} bytes, at most {} are read", path.string(), file.bytes().size(),
                limit_bytes);
  return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
}

Result<AtomicFile> AtomicFile::create(const std::filesystem::path& path) {
  if (path.empty()) return invalid("expected the path of a file to write, found an empty one");
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode))
    return invalid("{}: expected a file to write, found {}", path.string(), describe_mode(info.st_mode));
  std::string name = path.string() + ".partial-XXXXXX";
  const int descriptor = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor < 0) return system_failure(path, "create", errno);
  // mkostemp makes the file private; the finished one gets what the user's umask allows, as any new file.
  const mode_t mask = ::umask(0);
  ::umask(mask);
  ::fchmod(descriptor, 0666 & ~mask);
  remember_unfinished(name);
  return AtomicFile(path, name, descriptor);
}

AtomicFile::AtomicFile(std::filesystem::path path, std::filesystem::path temporary, int descriptor)
    : path_(std::move(path)), temporary_(std::move(temporary)), descriptor_(descriptor) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      written_(other.written_) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(written_, other.written_);
  return *this;
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() noexcept {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  descriptor_ = -1;
  ::unlink(temporary_.c_str());
  forget_unfinished(temporary_.string());
}

Status AtomicFile::write(std::span<const std::byte> bytes) {
  CADRE_CHECK_OK(write_all(descriptor_, path_, bytes));
  written_ += bytes.size();
  return {};
}

Status AtomicFile::write(std::string_view text) { return write(std::as_bytes(std::span(text))); }

Status AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) return system_failure(path_, "flush", errno);
  // close reports delayed write errors on some file systems; the descriptor is gone either way.
  const int closed = ::close(std::exchange(descriptor_, -1));
  const int close_error = errno;
  forget_unfinished(temporary_.string());
  if (closed != 0) {
    ::unlink(temporary_.c_str());
    return system_failure(path_, "close", close_error);
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary_.c_str());
    return system_failure(path_, "rename", error);
  }
  return {};
}

Result<GrowingFile> GrowingFile::open(const std::filesystem::path& path, uint64_t keep_bytes) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) return system_failure(path, "open", errno);
  GrowingFile file(path, descriptor);
  const off_t size = ::lseek(descriptor, 0, SEEK_END);
  if (size < 0) return system_failure(path, "seek in", errno);
  if (static_cast<uint64_t>(size) < keep_bytes)
    return invalid("{}: at least {} bytes expected, {} found", path.string(), keep_bytes, size);
  const auto keep = static_cast<off_t>(keep_bytes);
  if (::ftruncate(descriptor, keep) != 0) return system_failure(path, "cut", errno);
  if (::lseek(descriptor, keep, SEEK_SET) < 0) return system_failure(path, "seek in", errno);
  return file;
}

GrowingFile::GrowingFile(GrowingFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

GrowingFile& GrowingFile::operator=(GrowingFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

GrowingFile::~GrowingFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status GrowingFile::write(std::span<const std::byte> bytes) { return write_all(descriptor_, path_, bytes); }

Status GrowingFile::flush() {
  if (::fsync(descriptor_) != 0) return system_failure(path_, "flush", errno);
  return {};
}

Status GrowingFile::commit() {
  CADRE_CHECK_OK(flush());
  if (::close(std::exchange(descriptor_, -1)) != 0) return system_failure(path_, "close", errno);
  return {};
}

Status write_text_file(const std::filesystem::path& path, std::string_view text) {
  CADRE_TRY(AtomicFile file, AtomicFile::create(path));
  CADRE_CHECK_OK(file.write(text));
  return file.commit();
}

Result<AtomicFolder> AtomicFolder::create(const std::filesystem::path& path) {
  std::error_code failure;
  CADRE_TRY(std::filesystem::path target, absolute_path(path));
  if (!target.has_filename()) target = target.parent_path();  // "out/"
  if (std::filesystem::exists(std::filesystem::symlink_status(target, failure))) {
    if (!std::filesystem::is_directory(target, failure))
      return invalid("{}: expected a folder to make, but a file of that name exists", path.string());
    if (!std::filesystem::is_empty(target, failure))
      return invalid("{}: expected a folder to make, but it exists and is not empty", path.string());
  }
  std::string name = target.string() + ".partial-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) return system_failure(path, "create", errno);
  const mode_t mask = ::umask(0);
  ::umask(mask);
  ::chmod(name.c_str(), 0777 & ~mask);
  remember_unfinished(name);
  return AtomicFolder(target, name);
}

AtomicFolder::AtomicFolder(AtomicFolder&& other) noexcept
    : path_(std::move(other.path_)), temporary_(std::exchange(other.temporary_, {})) {}

AtomicFolder& AtomicFolder::operator=(AtomicFolder&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  return *this;
}

AtomicFolder::~AtomicFolder() {
  if (temporary_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(temporary_, ignored);
  forget_unfinished(temporary_.string());
}

Status AtomicFolder::commit() {
  // Renaming a folder over an empty one replaces it.
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return system_failure(path_, "rename", errno);
  forget_unfinished(temporary_.string());
  temporary_.clear();
  return {};
}

void remove_unfinished_files() noexcept {
  for (UnfinishedSlot& slot : g_unfinished)
    if (slot.valid.load()) ::unlink(slot.path);
  // Folders, once what was written into them is gone: they were refused above.
  for (UnfinishedSlot& slot : g_unfinished)
    if (slot.valid.load()) ::rmdir(slot.path);
}

Result<std::filesystem::path> absolute_path(const std::filesystem::path& path) {
  if (path.empty()) return invalid("expected a path, found an empty one");
  std::error_code failure;
  const std::filesystem::path absolute = std::filesystem::absolute(path, failure);
  if (failure) return system_failure(path, "find the absolute path", failure.value());
  return absolute.lexically_normal();
}

Result<uint64_t> free_disk_bytes(const std::filesystem::path& path) {
  CADRE_TRY(std::filesystem::path existing, absolute_path(path));
  std::error_code ignored;
  while (!std::filesystem::exists(existing, ignored) && existing.has_relative_path())
    existing = existing.parent_path();
  struct statvfs info {};
  if (::statvfs(existing.c_str(), &info) != 0)
    return system_failure(existing, "stat the file system of", errno);
  return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
}

}  // namespace cadre
