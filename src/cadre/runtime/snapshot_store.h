#pragma once
/// Pages of the KV cache in a folder, within a limit of bytes. Pages are written by a thread of its own; the
/// least recently used go when the limit is reached.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "cadre/base/result.h"

namespace cadre {

struct SnapshotStats {
  int64_t files = 0;  ///< all in the folder, those of other models too
  int64_t bytes = 0;
  int64_t hits = 0;      ///< pages served
  int64_t damaged = 0;   ///< files that were found damaged and removed
  int64_t failures = 0;  ///< pages that could not be written
};

/// A page and the tokens up to its end.
struct PageName {
  int64_t experts = 0;
  std::span<const int32_t> tokens;
};

/// Thread-safe.
class SnapshotStore {
 public:
  /// Makes the folder if it is not there, for this user alone: it will hold what users wrote. Other models'
  /// snapshots in it are not served, but count, and go when they are the oldest.
  /// Errors: kInvalid (the limit is below one page), kIo.
  static Result<std::unique_ptr<SnapshotStore>> open(const std::filesystem::path& folder, int64_t limit_bytes,
                                                     uint64_t fingerprint, int64_t page_bytes);
  /// Writes what is still to be written.
  ~SnapshotStore();

  /// Whether there seems to be a file of this page, here or soon.
  bool contains(const PageName& name) const;
  /// Fills `page` with what was computed for exactly these tokens by an engine of the same fingerprint; false
  /// where there is no such file. One that is damaged is removed.   page: [page_bytes]
  bool load(const PageName& name, std::span<std::byte> page);

  /// Whether save() would not wait.
  bool has_room() const;
  /// Has a page written, soon. Waits while others are still to be written.
  void save(const PageName& name, std::vector<std::byte> page);

  SnapshotStats stats() const;

 private:
  struct File {
    int64_t bytes = 0;
    int64_t last_use = 0;
  };
  struct Pending {
    std::string file_name;
    int64_t experts = 0;
    std::vector<int32_t> tokens;
    std::vector<std::byte> page;
  };

  SnapshotStore(std::filesystem::path folder, int64_t limit_bytes, uint64_t fingerprint)
      : folder_(std::move(folder)), limit_bytes_(limit_bytes), fingerprint_(fingerprint) {}
  Status scan();
  std::string file_name(const PageName& name) const;
  void write_pending(const std::stop_token& stop);
  /// -> bytes of the file
  Result<int64_t> write(const Pending& pending) const;
  // Under the lock:
  void enter(const std::string& file_name, int64_t bytes);
  void touch(const std::string& file_name, File& file);
  void remove(const std::string& file_name);
  void keep_within_limit();

  std::filesystem::path folder_;
  int64_t limit_bytes_;
  uint64_t fingerprint_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;  ///< of `pending_`
  std::unordered_map<std::string, File> files_;
  std::set<std::pair<int64_t, std::string>> by_use_;
  int64_t uses_ = 0;
  std::deque<Pending> pending_;  ///< the first is being written
  SnapshotStats stats_;
  std::jthread writer_;
};

}  // namespace cadre
