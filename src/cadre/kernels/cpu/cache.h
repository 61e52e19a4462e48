#pragma once
/// Where the entries of a paged cache lie.

#include "cadre/kernels/backend.h"

namespace cadre::cpu {

/// f32 and bf16 only; an int8 page has no entries that lie together.
inline int64_t entry_bytes(const KvStream& stream) {
  return stream.width * (stream.dtype == DType::kF32 ? 4 : 2);
}

inline std::byte* cache_entry(const KvStream& stream, const int32_t* pages, int64_t position) {
  const int64_t slot =
      pages[position / stream.page_tokens] * stream.page_tokens + position % stream.page_tokens;
  return stream.data + slot * entry_bytes(stream);
}

/// Part `part` of the int8 page that holds `position`.
inline std::byte* cache_part(const KvStream& stream, const KvQuantisedPart& layout, const int32_t* pages,
                             int64_t position, int64_t part) {
  return stream.data + (pages[position / stream.page_tokens] * stream.parts + part) * layout.bytes;
}

}  // namespace cadre::cpu
