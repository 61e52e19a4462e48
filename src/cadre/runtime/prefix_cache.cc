#include "cadre/runtime/prefix_cache.h"

#include <algorithm>

#include "cadre/base/check.h"

namespace cadre {

PrefixCache::~PrefixCache() {
  while (!leaves_.empty()) remove(*leaves_.begin()->second);
}

PrefixCache::PageKey PrefixCache::key_of(std::span<const int32_t> tokens, int64_t page) {
  PageKey key;
  std::copy_n(tokens.begin() + page * kPageTokens, kPageTokens, key.begin());
  return key;
}

PrefixCache::Node* PrefixCache::child(const Node& node, std::span<const int32_t> tokens, int64_t index) {
  if (static_cast<int64_t>(tokens.size()) < (index + 1) * kPageTokens) return nullptr;
  const auto found = node.children.find(key_of(tokens, index));
  return found == node.children.end() ? nullptr : found->second.get();
}

void PrefixCache::touch(Node& node) {
  const bool leaf = leaves_.erase({node.last_use, &node}) > 0;
  node.last_use = ++clock_;
  if (leaf) leaves_.insert({node.last_use, &node});
}

std::span<const int32_t> PrefixCache::find(int64_t experts, std::span<const int32_t> tokens) {
  found_.clear();
  Node* node = &roots_[experts];
  while (Node* next = child(*node, tokens, static_cast<int64_t>(found_.size()))) {
    touch(*next);
    found_.push_back(next->page);
    node = next;
  }
  return found_;
}

void PrefixCache::add(int64_t experts, std::span<const int32_t> tokens, std::span<const int32_t> pages,
                      FunctionRef<void(int64_t index, int32_t page)> instead) {
  Node* node = &roots_[experts];
  for (int64_t i = 0; i < static_cast<int64_t>(pages.size()); ++i) {
    const int32_t page = pages[static_cast<size_t>(i)];
    if (Node* there = child(*node, tokens, i)) {
      touch(*there);
      if (there->page != page) instead(i, there->page);
      node = there;
      continue;
    }
    leaves_.erase({node->last_use, node});
    const auto [entry, inserted] = node->children.emplace(key_of(tokens, i), std::make_unique<Node>());
    Node& fresh = *entry->second;
    fresh.parent = node;
    fresh.key = &entry->first;
    fresh.page = page;
    fresh.serial = ++serials_;
    fresh.last_use = ++clock_;
    cache_.keep_page(page);
    leaves_.insert({fresh.last_use, &fresh});
    new_.emplace(fresh.serial, &fresh);
    node = &fresh;
  }
}

void PrefixCache::remove(Node& leaf) {
  cache_.unkeep_page(leaf.page);
  leaves_.erase({leaf.last_use, &leaf});
  new_.erase(leaf.serial);
  Node& parent = *leaf.parent;
  parent.children.erase(parent.children.find(*leaf.key));
  if (parent.parent != nullptr && parent.children.empty()) leaves_.insert({parent.last_use, &parent});
}

void PrefixCache::evict(int64_t count) {
  for (; count > 0; --count) {
    const auto oldest = std::find_if(leaves_.begin(), leaves_.end(),
                                     [&](const auto& leaf) { return cache_.only_kept(leaf.second->page); });
    if (oldest == leaves_.end()) return;
    remove(*oldest->second);
  }
}

std::optional<PrefixCache::Prefix> PrefixCache::next_new() {
  if (new_.empty()) return std::nullopt;
  const Node* node = new_.begin()->second;
  new_.erase(new_.begin());
  Prefix prefix{.page = node->page};
  std::vector<const Node*> path;
  for (; node->parent != nullptr; node = node->parent) path.push_back(node);
  for (auto step = path.rbegin(); step != path.rend(); ++step)
    prefix.tokens.insert(prefix.tokens.end(), (*step)->key->begin(), (*step)->key->end());
  prefix.experts = std::find_if(roots_.begin(), roots_.end(), [&](const auto& root) {
                     return &root.second == node;
                   })->first;
  return prefix;
}

void PrefixCache::forget_new(int64_t experts, std::span<const int32_t> tokens) {
  Node* node = &roots_[experts];
  for (int64_t i = 0; node != nullptr && i < static_cast<int64_t>(tokens.size()) / kPageTokens; ++i)
    node = child(*node, tokens, i);
  if (node != nullptr) new_.erase(node->serial);
}

}  // namespace cadre
