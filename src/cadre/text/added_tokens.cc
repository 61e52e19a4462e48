#include "cadre/text/added_tokens.h"

#include "cadre/base/check.h"
#include "cadre/text/utf8.h"

namespace cadre {
namespace {

/// The character that ends at `end`, as decode_utf8 of its first byte.
Utf8Char character_before(std::string_view text, size_t end) {
  for (size_t length = 1; length <= 4 && length <= end; ++length) {
    const Utf8Char c = decode_utf8(text.substr(0, end), end - length);
    if (c.kind == Utf8Kind::kValid && c.length == length) return c;
  }
  return {};
}

/// Where the white space that ends at `end` begins, not before `limit`.
size_t skip_space_left(std::string_view text, size_t limit, size_t end) {
  while (end > limit) {
    const Utf8Char c = character_before(text, end);
    if (c.kind != Utf8Kind::kValid || !is_white_space(c.code_point) || end - c.length < limit) break;
    end -= c.length;
  }
  return end;
}

size_t skip_space_right(std::string_view text, size_t at) {
  while (at < text.size()) {
    const Utf8Char c = decode_utf8(text, at);
    if (c.kind != Utf8Kind::kValid || !is_white_space(c.code_point)) break;
    at += c.length;
  }
  return at;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    CADRE_CHECK(!tokens_[i].content.empty(), "added token {}", tokens_[i].id);
    trees_[tokens_[i].normalized ? 1 : 0].insert(tokens_[i].content, static_cast<uint32_t>(i));
    if (!tokens_[i].single_word || word_character_) continue;
    // \w of Rust's regex crate, which Hugging Face's library uses here.
    auto word = Regex::compile("[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200C}\\x{200D}]");
    CADRE_CHECK(word.has_value(), "{}", word.error().message);
    word_character_ = std::move(*word);
  }
}

bool AddedTokens::touches_word(std::string_view text, size_t begin, size_t end) const {
  RegexWorkspace workspace;
  const auto is_word = [&](std::string_view character) {
    return word_character_->find(character, 0, workspace).has_value();
  };
  const Utf8Char before = character_before(text, begin);
  if (before.kind == Utf8Kind::kValid && is_word(text.substr(begin - before.length, before.length)))
    return true;
  if (end == text.size()) return false;
  const Utf8Char after = decode_utf8(text, end);
  return after.kind == Utf8Kind::kValid && is_word(text.substr(end, after.length));
}

void AddedTokens::Tree::insert(std::string_view content, uint32_t token) {
  uint32_t node = kNone;
  for (const char byte : content) {
    const uint32_t first = node == kNone ? roots[static_cast<uint8_t>(byte)] : nodes[node].child;
    uint32_t found = first;
    while (found != kNone && nodes[found].byte != byte) found = nodes[found].sibling;
    if (found == kNone) {
      found = static_cast<uint32_t>(nodes.size());
      nodes.push_back({.byte = byte, .sibling = first});
      (node == kNone ? roots[static_cast<uint8_t>(byte)] : nodes[node].child) = found;
    }
    node = found;
  }
  nodes[node].token = token;
}

uint32_t AddedTokens::Tree::longest_match(std::string_view text, size_t at) const {
  uint32_t node = roots[static_cast<uint8_t>(text[at])];
  uint32_t longest = kNone;
  while (node != kNone) {
    if (nodes[node].token != kNone) longest = nodes[node].token;
    if (++at == text.size()) break;
    node = nodes[node].child;
    while (node != kNone && nodes[node].byte != text[at]) node = nodes[node].sibling;
  }
  return longest;
}

void AddedTokens::split_text(const Tree& tree, std::string_view text, std::vector<Part>& parts) const {
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    if (tree.roots[static_cast<uint8_t>(text[at])] == kNone) {
      ++at;
      continue;
    }
    const uint32_t match = tree.longest_match(text, at);
    if (match == kNone) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[match];
    size_t begin = at;
    size_t end = at + token.content.size();
    at = end;
    if (token.single_word && touches_word(text, begin, end)) continue;
    if (token.left_strip) begin = skip_space_left(text, done, begin);
    if (token.right_strip) end = skip_space_right(text, end);
    if (begin > done) parts.push_back({.text = text.substr(done, begin - done)});
    parts.push_back({.text = text.substr(begin, end - begin), .id = token.id});
    at = done = end;
  }
  if (done < text.size()) parts.push_back({.text = text.substr(done)});
}

std::vector<AddedTokens::Part> AddedTokens::split(std::string_view text) const {
  std::vector<Part> parts;
  if (trees_[0].nodes.empty()) {
    split_text(trees_[1], text, parts);
    return parts;
  }
  split_text(trees_[0], text, parts);
  if (trees_[1].nodes.empty()) return parts;
  std::vector<Part> finer;
  for (const Part& part : parts) {
    if (part.id == Part::kText) {
      split_text(trees_[1], part.text, finer);
    } else {
      finer.push_back(part);
    }
  }
  return finer;
}

}  // namespace cadre
