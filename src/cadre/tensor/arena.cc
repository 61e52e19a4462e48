#include "cadre/tensor/arena.h"

#include <sys/mman.h>

#include <algorithm>

namespace cadre {
namespace {

constexpr int64_t kAlignment = 64;

}  // namespace

Result<Arena> Arena::reserve(int64_t bytes) {
  bytes = std::max<int64_t>(bytes, kAlignment);
  void* data = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED)
    return fail(ErrorKind::kTooLarge, "cannot reserve {} bytes for activations; a smaller batch needs less",
                bytes);
  return Arena(static_cast<std::byte*>(data), bytes);
}

Arena::~Arena() {
  if (data_ != nullptr) ::munmap(data_, static_cast<size_t>(capacity_));
}

std::byte* Arena::allocate_bytes(int64_t bytes) {
  const int64_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  CADRE_CHECK(used_ + rounded <= capacity_, "arena of {} bytes, {} used, {} more asked", capacity_, used_,
              bytes);
  std::byte* result = data_ + used_;
  used_ += rounded;
  peak_ = std::max(peak_, used_);
  return result;
}

}  // namespace cadre
