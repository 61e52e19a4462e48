#include "cadre/text/token_trie.h"

#include <algorithm>
#include <numeric>

#include "cadre/base/check.h"

namespace cadre {

std::shared_ptr<const TokenTrie> TokenTrie::create(const Tokenizer& tokenizer) {
  auto trie = std::shared_ptr<TokenTrie>(new TokenTrie);
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (tokenizer.contains(id) && !tokenizer.is_special(id)) {
      const auto bytes = tokenizer.token_bytes(id);
      CADRE_CHECK(bytes, "{}", bytes.error().message);
      if (tokenizer.is_added(id)) {
        trie->bytes_ += static_cast<char>(kMarker);
        trie->markers_.emplace_back(*bytes);
      }
      trie->bytes_ += *bytes;
      trie->max_token_bytes_ = std::max(trie->max_token_bytes_, bytes->size() + 1);
    }
    trie->ends_.push_back(trie->bytes_.size());
  }
  std::sort(trie->markers_.begin(), trie->markers_.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() > b.size() : a < b;
  });

  // In the order of their bytes, tokens are met as a walk through the tree meets them.
  std::vector<int32_t> order(trie->ends_.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase_if(order, [&](int32_t id) { return trie->bytes(id).empty(); });
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const std::string_view left = trie->bytes(a);
    const std::string_view right = trie->bytes(b);
    return left != right ? left < right : a < b;
  });
  trie->nodes_.emplace_back();
  std::vector<uint32_t> path{0};  // nodes from the root to the token before
  std::string_view before;
  const auto close = [&](size_t depth) {
    for (; path.size() > depth + 1; path.pop_back())
      trie->nodes_[path.back()].end = static_cast<uint32_t>(trie->nodes_.size());
  };
  for (const int32_t id : order) {
    const std::string_view bytes = trie->bytes(id);
    const auto [at, unused] = std::mismatch(before.begin(), before.end(), bytes.begin(), bytes.end());
    close(static_cast<size_t>(at - before.begin()));
    for (size_t i = path.size() - 1; i < bytes.size(); ++i) {
      Node node;
      node.parent = path.back();
      node.byte = static_cast<uint8_t>(bytes[i]);
      node.tokens_begin = static_cast<int32_t>(trie->tokens_.size());
      path.push_back(static_cast<uint32_t>(trie->nodes_.size()));
      trie->nodes_.push_back(node);
    }
    Node& node = trie->nodes_[path.back()];
    if (node.tokens_count == 0) node.tokens_begin = static_cast<int32_t>(trie->tokens_.size());
    ++node.tokens_count;
    trie->tokens_.push_back(id);
    before = bytes;
  }
  close(0);
  trie->nodes_[0].end = static_cast<uint32_t>(trie->nodes_.size());
  return trie;
}

std::string_view TokenTrie::bytes(int32_t token) const {
  const auto index = static_cast<size_t>(token);
  const size_t begin = index == 0 ? 0 : ends_[index - 1];
  return std::string_view(bytes_).substr(begin, ends_[index] - begin);
}

std::string TokenTrie::path(uint32_t node) const {
  std::string bytes;
  for (; node != 0; node = nodes_[node].parent) bytes += static_cast<char>(nodes_[node].byte);
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

std::string TokenTrie::spell(std::string_view text) const {
  std::string out;
  while (!text.empty()) {
    const auto found = std::find_if(markers_.begin(), markers_.end(),
                                    [&](const std::string& marker) { return text.starts_with(marker); });
    const size_t length = found == markers_.end() ? 1 : found->size();
    if (found != markers_.end()) out += static_cast<char>(kMarker);
    out += text.substr(0, length);
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace cadre
