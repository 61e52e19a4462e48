#pragma once
/// Memory for the activations of one step: a bump allocator over address space reserved once. Pages are
/// touched, and so paid for, only when first used. Thread-compatible.

#include <cstddef>
#include <cstdint>
#include <utility>

#include "cadre/base/check.h"
#include "cadre/base/result.h"

namespace cadre {

class Arena {
 public:
  /// Errors: kTooLarge when the system refuses to reserve that much.
  static Result<Arena> reserve(int64_t bytes);

  Arena(Arena&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        capacity_(std::exchange(other.capacity_, 0)),
        used_(std::exchange(other.used_, 0)),
        peak_(other.peak_) {}
  Arena& operator=(Arena&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    std::swap(used_, other.used_);
    std::swap(peak_, other.peak_);
    return *this;
  }
  ~Arena();

  /// `count` elements aligned to 64 bytes, not initialised. Going over the reservation is our own mistake:
  /// the engine sizes the arena for its largest batch.
  template <typename T>
  T* allocate(int64_t count) {
    return reinterpret_cast<T*>(allocate_bytes(count * static_cast<int64_t>(sizeof(T))));
  }

  int64_t used() const { return used_; }
  int64_t peak() const { return peak_; }
  int64_t capacity() const { return capacity_; }
  void rewind(int64_t used) { used_ = used; }

 private:
  Arena(std::byte* data, int64_t capacity) : data_(data), capacity_(capacity) {}
  std::byte* allocate_bytes(int64_t bytes);

  std::byte* data_ = nullptr;
  int64_t capacity_ = 0;
  int64_t used_ = 0;
  int64_t peak_ = 0;
};

/// Gives back, when it dies, whatever was allocated since it was made.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), used_(arena.used()) {}
  ~ArenaScope() { arena_.rewind(used_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  int64_t used_;
};

}  // namespace cadre
