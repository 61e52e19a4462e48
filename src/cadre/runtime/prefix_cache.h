#pragma once
/// What was computed before and may be needed again: full pages of the KV cache, found by the tokens that
/// they hold and all before them.
///
/// A radix tree whose edges are the tokens of one page. Entries depend on nothing else but the number of
/// experts, which has a tree of its own each. The cache holds each page once; sequences that use it hold it
/// too. What only the cache holds is given up when pages are needed, least recently used first, ends before
/// beginnings.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "cadre/base/function_ref.h"
#include "cadre/runtime/kv_cache.h"

namespace cadre {

/// Thread-compatible.
class PrefixCache {
 public:
  /// `cache` must outlive this.
  explicit PrefixCache(KvCache& cache) : cache_(cache) {}
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  /// Pages of the longest beginning of `tokens` that is there. Valid until the next call.
  std::span<const int32_t> find(int64_t experts, std::span<const int32_t> tokens);

  /// Enters `pages`, which hold the first tokens. Where the tree has a page for these already, it stays, and
  /// `instead` hears which: the caller's copy is not needed.
  void add(int64_t experts, std::span<const int32_t> tokens, std::span<const int32_t> pages,
           FunctionRef<void(int64_t index, int32_t page)> instead);

  /// Frees up to `count` pages that nobody else holds.
  void evict(int64_t count);

  /// A page and all the tokens up to its end.
  struct Prefix {
    int64_t experts = 0;
    std::vector<int32_t> tokens;
    int32_t page = -1;
  };
  /// The oldest page that add() entered and that has not been asked for, if it is still there.
  std::optional<Prefix> next_new();
  int64_t new_pages() const { return static_cast<int64_t>(new_.size()); }
  /// Takes back that the page of exactly these tokens is new.
  void forget_new(int64_t experts, std::span<const int32_t> tokens);

 private:
  using PageKey = std::array<int32_t, kPageTokens>;
  struct Node {
    Node* parent = nullptr;
    const PageKey* key = nullptr;  ///< in the parent's map
    int32_t page = -1;
    int64_t serial = 0;
    int64_t last_use = 0;
    std::map<PageKey, std::unique_ptr<Node>> children;
  };

  static PageKey key_of(std::span<const int32_t> tokens, int64_t page);
  /// The child for the `index`-th page of `tokens`, or null.
  static Node* child(const Node& node, std::span<const int32_t> tokens, int64_t index);
  void touch(Node& node);
  void remove(Node& leaf);

  KvCache& cache_;
  std::map<int64_t, Node> roots_;  ///< by the number of experts
  int64_t clock_ = 0;
  int64_t serials_ = 0;
  std::set<std::pair<int64_t, Node*>> leaves_;  ///< by last use
  std::map<int64_t, Node*> new_;                ///< by serial number
  std::vector<int32_t> found_;
};

}  // namespace cadre
