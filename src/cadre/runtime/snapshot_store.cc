#include "cadre/runtime/snapshot_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "cadre/base/file.h"
#include "cadre/base/hash.h"
#include "cadre/runtime/snapshot_file.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSuffix = ".kv";
constexpr const char* kUnfinished = ".kv.partial-";  ///< see AtomicFile
constexpr size_t kMostPending = 8;                   ///< pages in memory on their way to the disk
/// Unfinished files of a process that is gone are removed; one that lives writes a file in less.
constexpr auto kUnfinishedAge = std::chrono::hours(1);

fs::path path_of(const fs::path& folder, const std::string& file_name) { return folder / file_name; }

}  // namespace

Result<std::unique_ptr<SnapshotStore>> SnapshotStore::open(const fs::path& folder, int64_t limit_bytes,
                                                           uint64_t fingerprint, int64_t page_bytes) {
  if (limit_bytes < page_bytes)
    return invalid("{}: a limit of at least a page of {} bytes expected for the snapshots, {} found",
                   folder.string(), page_bytes, limit_bytes);
  std::error_code failure;
  if (fs::create_directories(folder, failure)) fs::permissions(folder, fs::perms::owner_all, failure);
  if (failure) return fail(ErrorKind::kIo, "{}: cannot create: {}", folder.string(), failure.message());
  std::unique_ptr<SnapshotStore> store(new SnapshotStore(folder, limit_bytes, fingerprint));
  CADRE_CHECK_OK(store->scan());
  store->writer_ =
      std::jthread([raw = store.get()](const std::stop_token& stop) { raw->write_pending(stop); });
  return store;
}

SnapshotStore::~SnapshotStore() {
  writer_.request_stop();
  if (writer_.joinable()) writer_.join();
}

Status SnapshotStore::scan() {
  struct Found {
    fs::file_time_type time;
    std::string name;
    int64_t bytes;
  };
  std::vector<Found> found;
  std::error_code failure;
  fs::directory_iterator entries(folder_, failure);
  if (failure) return fail(ErrorKind::kIo, "{}: cannot list: {}", folder_.string(), failure.message());
  const auto now = fs::file_time_type::clock::now();
  for (; entries != fs::directory_iterator(); entries.increment(failure)) {
    if (failure) return fail(ErrorKind::kIo, "{}: cannot list: {}", folder_.string(), failure.message());
    std::error_code gone;
    const fs::path& path = entries->path();
    const auto time = fs::last_write_time(path, gone);
    const auto bytes = fs::file_size(path, gone);
    if (gone) continue;
    const std::string name = path.filename().string();
    if (name.ends_with(kSuffix))
      found.push_back({time, name, static_cast<int64_t>(bytes)});
    else if (name.find(kUnfinished) != std::string::npos && now - time > kUnfinishedAge)
      fs::remove(path, gone);
  }
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.time < b.time; });
  const std::scoped_lock lock(mutex_);
  for (const Found& file : found) enter(file.name, file.bytes);
  keep_within_limit();
  return {};
}

std::string SnapshotStore::file_name(const PageName& name) const {
  const uint64_t hash =
      hash_bytes(std::as_bytes(name.tokens), fingerprint_ ^ static_cast<uint64_t>(name.experts));
  return fmt::format("{:016x}-{:016x}{}", fingerprint_, hash, kSuffix);
}

bool SnapshotStore::contains(const PageName& name) const {
  const std::string file = file_name(name);
  const std::scoped_lock lock(mutex_);
  return files_.contains(file) || std::any_of(pending_.begin(), pending_.end(), [&](const Pending& pending) {
           return pending.file_name == file;
         });
}

bool SnapshotStore::load(const PageName& name, std::span<std::byte> page) {
  const std::string file = file_name(name);
  {
    const std::scoped_lock lock(mutex_);
    if (!files_.contains(file)) return false;
  }
  const fs::path path = path_of(folder_, file);
  const Result<MappedFile> mapped = MappedFile::open(path);
  const Result<Snapshot> snapshot = mapped ? parse_snapshot(mapped->bytes(), path.string())
                                           : Result<Snapshot>(tl::unexpected(mapped.error()));
  const std::scoped_lock lock(mutex_);
  if (!mapped && mapped.error().kind == ErrorKind::kNotFound) {
    remove(file);  // by whoever shares the folder
    return false;
  }
  if (!snapshot || snapshot->fingerprint != fingerprint_ || snapshot->page.size() != page.size()) {
    ++stats_.damaged;
    remove(file);
    return false;
  }
  // Other tokens may have the same hash; their page is of no use here, but sound.
  if (snapshot->experts != name.experts || !std::ranges::equal(snapshot->tokens, name.tokens)) return false;
  std::copy(snapshot->page.begin(), snapshot->page.end(), page.begin());
  ++stats_.hits;
  if (const auto entry = files_.find(file); entry != files_.end()) touch(file, entry->second);
  std::error_code ignored;  // the time of the last use only decides who goes first after a restart
  fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);
  return true;
}

bool SnapshotStore::has_room() const {
  const std::scoped_lock lock(mutex_);
  return pending_.size() < kMostPending;
}

void SnapshotStore::save(const PageName& name, std::vector<std::byte> page) {
  Pending pending{.file_name = file_name(name),
                  .experts = name.experts,
                  .tokens = {name.tokens.begin(), name.tokens.end()},
                  .page = std::move(page)};
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return pending_.size() < kMostPending; });
  pending_.push_back(std::move(pending));
  changed_.notify_all();
}

void SnapshotStore::write_pending(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, stop, [&] { return !pending_.empty(); });
    if (pending_.empty()) return;  // stopped, and all is written
    // Others only add behind it.
    const Pending& first = pending_.front();
    lock.unlock();
    const Result<int64_t> written = write(first);
    lock.lock();
    if (written) {
      enter(first.file_name, *written);
      keep_within_limit();
    } else {
      ++stats_.failures;
    }
    pending_.pop_front();
    changed_.notify_all();
  }
}

Result<int64_t> SnapshotStore::write(const Pending& pending) const {
  const Snapshot snapshot{.fingerprint = fingerprint_,
                          .experts = pending.experts,
                          .tokens = pending.tokens,
                          .page = pending.page};
  CADRE_TRY(AtomicFile file, AtomicFile::create(path_of(folder_, pending.file_name)));
  CADRE_CHECK_OK(file.write(snapshot_header(snapshot)));
  CADRE_CHECK_OK(file.write(pending.page));
  const auto bytes = static_cast<int64_t>(file.bytes_written());
  CADRE_CHECK_OK(file.commit());
  return bytes;
}

void SnapshotStore::enter(const std::string& file_name, int64_t bytes) {
  const auto [entry, inserted] = files_.try_emplace(file_name, File{.bytes = bytes, .last_use = 0});
  if (!inserted) return touch(file_name, entry->second);
  entry->second.last_use = ++uses_;
  by_use_.emplace(entry->second.last_use, file_name);
  ++stats_.files;
  stats_.bytes += bytes;
}

void SnapshotStore::touch(const std::string& file_name, File& file) {
  by_use_.erase({file.last_use, file_name});
  file.last_use = ++uses_;
  by_use_.emplace(file.last_use, file_name);
}

void SnapshotStore::remove(const std::string& file_name) {
  std::error_code ignored;  // one that cannot be removed is not served either
  fs::remove(path_of(folder_, file_name), ignored);
  const auto entry = files_.find(file_name);
  if (entry == files_.end()) return;
  by_use_.erase({entry->second.last_use, file_name});
  --stats_.files;
  stats_.bytes -= entry->second.bytes;
  files_.erase(entry);
}

void SnapshotStore::keep_within_limit() {
  while (stats_.bytes > limit_bytes_) remove(std::string(by_use_.begin()->second));
}

SnapshotStats SnapshotStore::stats() const {
  const std::scoped_lock lock(mutex_);
  return stats_;
}

}  // namespace cadre
