#include "cadre/text/bpe.h"

#include <algorithm>
#include <bit>

#include "cadre/base/check.h"
#include "cadre/text/utf8.h"

namespace cadre {
namespace {

// Above this many symbols the heap wins over scanning for the least rank; measured between 64 and 256.
constexpr size_t kShortPiece = 128;
constexpr uint32_t kEnd = ~uint32_t{0};

bool stands_for_itself(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

struct Alphabet {
  std::array<std::string, 256> characters;
  std::array<int16_t, 0x144> bytes;  // by code point; -1: not of the alphabet

  Alphabet() {
    bytes.fill(-1);
    char32_t extra = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const char32_t c = stands_for_itself(byte) ? static_cast<char32_t>(byte) : extra++;
      append_utf8(characters[static_cast<size_t>(byte)], c);
      bytes[c] = static_cast<int16_t>(byte);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet table;
  return table;
}

uint64_t pair_key(int32_t left, int32_t right) {
  return (uint64_t{static_cast<uint32_t>(left)} << 32) | static_cast<uint32_t>(right);
}

/// Fibonacci hashing: the high bits of the product depend on all bits of both ids.
size_t slot_of(uint64_t pair, int shift) { return (pair * 0x9E3779B97F4A7C15) >> shift; }

uint32_t rank_of(uint64_t merge) { return static_cast<uint32_t>(merge >> 32); }
int32_t result_of(uint64_t merge) { return static_cast<int32_t>(merge & 0xFFFFFFFF); }

}  // namespace

std::optional<std::string> bytes_from_alphabet(std::string_view text) {
  const Alphabet& table = alphabet();
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    if (c.kind != Utf8Kind::kValid || c.code_point >= table.bytes.size()) return std::nullopt;
    const int16_t byte = table.bytes[c.code_point];
    if (byte < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte));
    at += c.length;
  }
  return bytes;
}

std::string bytes_to_alphabet(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char byte : bytes) text += alphabet_character(static_cast<uint8_t>(byte));
  return text;
}

std::string_view alphabet_character(uint8_t byte) { return alphabet().characters[byte]; }

Bpe::Bpe(const std::array<int32_t, 256>& byte_ids, std::span<const BpeMerge> merges) : byte_ids_(byte_ids) {
  // At most half full, at least 2 slots (a shift by 64 is undefined).
  const size_t capacity = std::bit_ceil(std::max<size_t>(2, merges.size() * 2));
  shift_ = 64 - std::countr_zero(capacity);
  slots_.resize(capacity);
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const uint64_t pair = pair_key(merges[rank].left, merges[rank].right);
    size_t at = slot_of(pair, shift_);
    while (slots_[at].pair != kNoMerge && slots_[at].pair != pair) at = (at + 1) & (capacity - 1);
    if (slots_[at].pair == pair) {
      if (!repeated_merge_) repeated_merge_ = rank;
      continue;
    }
    slots_[at] = {.pair = pair, .merge = (uint64_t{rank} << 32) | static_cast<uint32_t>(merges[rank].result)};
  }
}

uint64_t Bpe::find(int32_t left, int32_t right) const {
  const uint64_t pair = pair_key(left, right);
  for (size_t at = slot_of(pair, shift_);; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].pair == pair) return slots_[at].merge;
    if (slots_[at].pair == kNoMerge) return kNoMerge;
  }
}

void Bpe::encode(std::string_view piece, BpeWorkspace& workspace, std::vector<int32_t>& out) const {
  if (piece.size() == 1) {
    out.push_back(byte_ids_[static_cast<uint8_t>(piece[0])]);
    return;
  }
  std::vector<int32_t>& ids = workspace.ids;
  ids.resize(piece.size());
  for (size_t i = 0; i < piece.size(); ++i) ids[i] = byte_ids_[static_cast<uint8_t>(piece[i])];
  std::vector<uint64_t>& pairs = workspace.pairs;
  pairs.resize(piece.size());
  for (size_t i = 0; i + 1 < ids.size(); ++i) pairs[i] = find(ids[i], ids[i + 1]);
  if (!pairs.empty()) pairs.back() = kNoMerge;
  if (piece.size() <= kShortPiece) {
    encode_short(workspace, out);
  } else {
    encode_long(workspace, out);
  }
}

void Bpe::encode_short(BpeWorkspace& workspace, std::vector<int32_t>& out) const {
  int32_t* const ids = workspace.ids.data();
  uint64_t* const pairs = workspace.pairs.data();  // pairs[i]: the merge of ids[i] and ids[i + 1]
  size_t count = workspace.ids.size();
  while (count > 1) {
    const size_t at = static_cast<size_t>(std::min_element(pairs, pairs + count) - pairs);
    if (pairs[at] == kNoMerge) break;
    ids[at] = result_of(pairs[at]);
    std::move(ids + at + 2, ids + count, ids + at + 1);
    std::move(pairs + at + 1, pairs + count, pairs + at);
    --count;
    pairs[at] = at + 1 < count ? find(ids[at], ids[at + 1]) : kNoMerge;
    if (at > 0) pairs[at - 1] = find(ids[at - 1], ids[at]);
  }
  out.insert(out.end(), ids, ids + count);
}

void Bpe::encode_long(BpeWorkspace& workspace, std::vector<int32_t>& out) const {
  std::vector<int32_t>& ids = workspace.ids;
  std::vector<uint64_t>& pairs = workspace.pairs;
  std::vector<uint32_t>& previous = workspace.previous;
  std::vector<uint32_t>& next = workspace.next;
  std::vector<uint64_t>& heap = workspace.heap;
  CADRE_CHECK(ids.size() < kEnd, "{}", ids.size());
  const auto count = static_cast<uint32_t>(ids.size());
  previous.resize(count);
  next.resize(count);
  heap.clear();
  const auto entry = [&](uint32_t at) { return (uint64_t{rank_of(pairs[at])} << 32) | at; };
  for (uint32_t i = 0; i < count; ++i) {
    previous[i] = i == 0 ? kEnd : i - 1;
    next[i] = i + 1 == count ? kEnd : i + 1;
    if (pairs[i] != kNoMerge) heap.push_back(entry(i));
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto refresh = [&](uint32_t at) {
    pairs[at] = next[at] == kEnd ? kNoMerge : find(ids[at], ids[next[at]]);
    if (pairs[at] == kNoMerge) return;
    heap.push_back(entry(at));
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const uint64_t top = heap.back();
    heap.pop_back();
    const auto at = static_cast<uint32_t>(top & 0xFFFFFFFF);
    // An entry outlives its pair when a neighbour was merged first; then another rank, or none, stands there.
    if (pairs[at] == kNoMerge || rank_of(pairs[at]) != rank_of(top)) continue;
    const uint32_t eaten = next[at];
    ids[at] = result_of(pairs[at]);
    next[at] = next[eaten];
    if (next[at] != kEnd) previous[next[at]] = at;
    pairs[eaten] = kNoMerge;
    refresh(at);
    if (previous[at] != kEnd) refresh(previous[at]);
  }
  for (uint32_t at = 0; at != kEnd; at = next[at]) out.push_back(ids[at]);
}

}  // namespace cadre
