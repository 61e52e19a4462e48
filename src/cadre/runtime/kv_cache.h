#pragma once
/// The paged cache of what attention keeps: a pool of pages shared by all sequences, each page holding
/// `kPageTokens` tokens of every stream of every layer. Thread-compatible.

#include <cstdint>
#include <span>
#include <vector>

#include "cadre/model/transformer.h"

namespace cadre {

/// Tokens to a page, and keys to a block of attention: what attention sums over in one go.
inline constexpr int64_t kPageTokens = 64;

/// A declared stream as kernels see it, in a cache of `type` (kF32, kBF16 or kI8), without its memory.
KvStream kv_stream(const CacheStream& declared, DType type);

class KvCache {
 public:
  /// Room for `tokens` tokens (rounded up to pages) in all sequences together. Memory is reserved at once
  /// and touched page by page. Errors: kTooLarge when the system refuses.
  static Result<KvCache> create(const Transformer& model, DType type, int64_t tokens);

  /// The streams of a layer, as kernels see them.
  LayerCache layer(int64_t layer) const { return layers_[static_cast<size_t>(layer)]; }
  std::span<const LayerCache> layers() const { return layers_; }

  int64_t pages() const { return pages_; }
  int64_t free_pages() const { return static_cast<int64_t>(free_.size()); }
  /// Bytes of the whole pool.
  int64_t bytes() const { return memory_.capacity(); }

  /// A page, or -1 when none is free.
  int32_t take_page();
  void give_page(int32_t page);
  /// Copies what `from` holds, of all layers, to `to`.
  void copy_page(int32_t from, int32_t to);

 private:
  explicit KvCache(Arena memory) : memory_(std::move(memory)) {}

  Arena memory_;
  int64_t pages_ = 0;
  std::vector<int32_t> free_;
  std::vector<std::vector<KvStream>> streams_;
  std::vector<LayerCache> layers_;
};

}  // namespace cadre
