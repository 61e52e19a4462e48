#pragma once
/// Where an entry of a paged cache lies.

#include "cadre/kernels/backend.h"

namespace cadre::cpu {

inline int64_t entry_bytes(const KvStream& stream) {
  return stream.width * (stream.dtype == DType::kF32 ? 4 : 2);
}

inline std::byte* cache_entry(const KvStream& stream, const int32_t* pages, int64_t position) {
  const int64_t slot =
      pages[position / stream.page_tokens] * stream.page_tokens + position % stream.page_tokens;
  return stream.data + slot * entry_bytes(stream);
}

}  // namespace cadre::cpu
