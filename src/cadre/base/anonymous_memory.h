#pragma once
/// Large blocks of memory straight from the system, in huge pages where it has them.

#include <cstddef>
#include <cstdint>
#include <span>

#include "cadre/base/result.h"

namespace cadre {

/// Owns its memory, which begins as zeros and is taken page by page when it is written.
class AnonymousMemory {
 public:
  AnonymousMemory() = default;
  /// Errors: kTooLarge when the system has no such range. `bytes` may be 0.
  static Result<AnonymousMemory> reserve(int64_t bytes);

  AnonymousMemory(AnonymousMemory&& other) noexcept;
  AnonymousMemory& operator=(AnonymousMemory&& other) noexcept;
  ~AnonymousMemory();

  std::byte* data() const { return data_; }
  int64_t size() const { return bytes_; }

 private:
  AnonymousMemory(std::byte* data, int64_t bytes) : data_(data), bytes_(bytes) {}

  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

/// Gives back the pages of this process that lie wholly in `mapped`, part of a MappedFile; reading them again
/// takes them from the page cache. For bytes that have been copied and are not needed for now.
void release_pages(std::span<const std::byte> mapped);

/// This machine's memory.
int64_t physical_memory_bytes();

}  // namespace cadre
