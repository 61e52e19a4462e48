#pragma once
/// One page of the KV cache as a file: what was computed for the last kPageTokens of some tokens, so that it
/// need not be computed again after a restart. All numbers are little-endian:
///
///     offset   bytes
///     0        8       "cadreKV1": what this is, and the version of this layout and of the arithmetic
///     8        8       fingerprint of model, cache type and layout (cache_fingerprint.h)
///     16       8       experts per token, 0 for the model's own number
///     24       8       n: number of tokens, a multiple of kPageTokens
///     32       8       b: bytes of the page
///     40       8       hash_bytes of all else: of the 40 bytes before, continued over those behind
///     48       4 n     token ids, from the beginning of the sequence to the page's end
///     48 + 4n  b       the page (KvCache::read_page)
///
/// All tokens are there, not a hash of them: a page is served for exactly the tokens it was computed from.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/result.h"

namespace cadre {

struct Snapshot {
  uint64_t fingerprint = 0;
  int64_t experts = 0;
  std::vector<int32_t> tokens;
  std::span<const std::byte> page;  ///< of the bytes parsed
};

/// What precedes the page in the file.
std::vector<std::byte> snapshot_header(const Snapshot& snapshot);

/// Parses the bytes of a whole file; `origin` (its path) begins every message. Errors: kInvalid, naming the
/// field, what was expected and what was found.
Result<Snapshot> parse_snapshot(std::span<const std::byte> file, std::string_view origin);

}  // namespace cadre
