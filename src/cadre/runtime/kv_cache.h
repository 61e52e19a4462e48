#pragma once
/// The paged cache of what attention keeps: a pool of pages shared by all sequences, each page holding
/// `kPageTokens` tokens of every stream of every layer. Thread-compatible.
///
/// A page is free when nobody holds it. Sequences that begin with the same tokens may hold the same pages,
/// as long as these are full: a page with more than one holder is never written. The prefix cache is a holder
/// apart (keep, unkeep), so that the pages that it alone holds can be counted.

#include <cstdint>
#include <span>
#include <vector>

#include "cadre/model/transformer.h"

namespace cadre {

/// Tokens to a page, and keys to a block of attention: what attention sums over in one go.
inline constexpr int64_t kPageTokens = 64;

/// Pages that this many tokens take.
inline constexpr int64_t pages_for(int64_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

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
  /// Pages that only the prefix cache holds.
  int64_t kept_pages() const { return kept_pages_; }
  /// Bytes of the whole pool.
  int64_t bytes() const { return memory_.capacity(); }

  /// A page with one holder, or -1 when none is free.
  int32_t take_page();
  /// One holder more.
  void share_page(int32_t page);
  /// One holder less.
  void give_page(int32_t page);
  /// Whether more than one holds the page.
  bool shared(int32_t page) const { return uses_[static_cast<size_t>(page)].holders > 1; }
  /// As share_page and give_page, for the prefix cache, which holds a page once.
  void keep_page(int32_t page);
  void unkeep_page(int32_t page);
  /// Whether the prefix cache holds the page and nobody else.
  bool only_kept(int32_t page) const {
    return uses_[static_cast<size_t>(page)].kept && uses_[static_cast<size_t>(page)].holders == 1;
  }

  /// Copies what `from` holds, of all layers, to `to`.
  void copy_page(int32_t from, int32_t to);

  /// Bytes of one page: its streams, layer after layer.
  int64_t page_bytes() const { return page_bytes_; }
  /// Copies a page out or in.   bytes: [page_bytes()]
  void read_page(int32_t page, std::span<std::byte> bytes) const;
  void write_page(int32_t page, std::span<const std::byte> bytes);

 private:
  struct PageUse {
    int32_t holders = 0;
    bool kept = false;
  };
  explicit KvCache(Arena memory) : memory_(std::move(memory)) {}

  Arena memory_;
  int64_t pages_ = 0;
  int64_t kept_pages_ = 0;
  int64_t page_bytes_ = 0;
  std::vector<PageUse> uses_;
  std::vector<int32_t> free_;
  std::vector<std::vector<KvStream>> streams_;
  std::vector<LayerCache> layers_;
};

}  // namespace cadre
