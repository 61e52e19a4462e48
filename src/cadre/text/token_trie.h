#pragma once
/// The bytes of all tokens of a vocabulary as a tree, in which a constraint finds the tokens that may come
/// next without looking at each.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cadre/text/tokenizer.h"

namespace cadre {

/// Immutable; made once per tokenizer and shared by all constraints.
///
/// Special tokens (end of sequence, padding) have no bytes here and never match. Added tokens that are not
/// special (`<｜tool▁sep｜>`, `</think>`) are markers: they lie under kMarker, a byte that never occurs in
/// UTF-8, so that they match only where a grammar asks for them through spell(), never as text of a string.
class TokenTrie {
 public:
  static constexpr uint8_t kMarker = 0xFF;

  /// Nodes in depth-first order: the subtree of node n is [n, nodes()[n].end).
  struct Node {
    uint32_t end = 0;          ///< one past the last node of the subtree
    uint32_t parent = 0;       ///< of the root: itself
    int32_t tokens_begin = 0;  ///< its tokens in tokens(): several ids may have the same bytes
    uint16_t tokens_count = 0;
    uint8_t byte = 0;  ///< that leads here from the parent
  };

  static std::shared_ptr<const TokenTrie> create(const Tokenizer& tokenizer);

  std::span<const Node> nodes() const { return nodes_; }
  std::span<const int32_t> tokens(const Node& node) const {
    return std::span(tokens_).subspan(static_cast<size_t>(node.tokens_begin), node.tokens_count);
  }
  /// What the token reads as: its bytes, after kMarker if it is a marker; empty for one that never matches.
  std::string_view bytes(int32_t token) const;
  /// The bytes from the root to `node`.
  std::string path(uint32_t node) const;

  /// `text` as tokens read it, each marker inside it (the longest first) after a kMarker.
  std::string spell(std::string_view text) const;

  int32_t vocab_size() const { return static_cast<int32_t>(ends_.size()); }
  size_t max_token_bytes() const { return max_token_bytes_; }

 private:
  TokenTrie() = default;

  std::vector<Node> nodes_;
  std::vector<int32_t> tokens_;
  std::string bytes_;                 // of all tokens, by id
  std::vector<size_t> ends_;          // in bytes_
  std::vector<std::string> markers_;  // longest first
  size_t max_token_bytes_ = 0;
};

}  // namespace cadre
