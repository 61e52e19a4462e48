#pragma once
/// The rows of one step: a ragged mixture of prompt chunks and single decode tokens.

#include <cstdint>
#include <span>
#include <string_view>

#include "cadre/kernels/backend.h"

namespace cadre {

/// How MLA is computed. Absorbed: queries are moved into the latent space, the same arithmetic at any
/// chunking. Auto: the explicit form (keys and values expanded per head) for the rows of long prompt chunks,
/// where it takes fewer operations; equal within rounding, but bits then depend on the chunking.
enum class MlaForm : uint8_t { kAbsorbed, kAuto };

/// Rows of a sequence are adjacent and at consecutive positions; see SequenceRows.
struct Batch {
  std::span<const int32_t> tokens;  ///< [T]
  std::span<const SequenceRows> sequences;
  std::span<const float> cosine;  ///< [T, rope dim / 2]
  std::span<const float> sine;    ///< [T, rope dim / 2]
  MlaForm mla_form = MlaForm::kAbsorbed;
};

/// What an attention layer keeps per token. The runtime allocates, pages and counts it without knowing the
/// attention.
struct CacheStream {
  std::string_view name;
  int64_t width = 0;  ///< values per token
  // For int8 caches, which quantise each part by itself (kernels/backend.h: KvStream).
  int64_t parts = 1;  ///< heads that read a part each
  int64_t plain = 0;  ///< channels at the end of each part that are never quantised: rotary ones
};

/// The streams of one layer, in the order of its cache_streams().
using LayerCache = std::span<const KvStream>;

}  // namespace cadre
