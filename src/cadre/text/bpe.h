#pragma once
/// Byte-level byte-pair encoding: the vocabulary's byte alphabet, and merging within one piece of text.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cadre {

/// GPT-2's way to write any byte as a printable character: 33-126, 161-172 and 174-255 stand for themselves,
/// the other 68 bytes are, in increasing order, U+0100 to U+0143. Vocabulary files are written in it.
/// The bytes that `text` stands for, or nullopt if a character of it is not of that alphabet.
std::optional<std::string> bytes_from_alphabet(std::string_view text);
/// The inverse, for any bytes.
std::string bytes_to_alphabet(std::string_view bytes);
/// The character of one byte.
std::string_view alphabet_character(uint8_t byte);

/// Two adjacent tokens that become one. The rank of a merge is its place in the list: lower goes first.
struct BpeMerge {
  int32_t left = 0;
  int32_t right = 0;
  int32_t result = 0;
};

/// Memory that encoding reuses from piece to piece; one per thread.
struct BpeWorkspace {
  std::vector<int32_t> ids;
  std::vector<uint64_t> pairs;
  std::vector<uint32_t> previous;
  std::vector<uint32_t> next;
  std::vector<uint64_t> heap;
};

/// The merges of one vocabulary. Immutable, thread-safe.
class Bpe {
 public:
  static constexpr int32_t kNoToken = -1;

  /// `byte_ids[b]` is the token of byte b, or kNoToken. Of a pair that occurs twice the first counts, and
  /// `repeated_merge()` is the rank of the second.
  Bpe(const std::array<int32_t, 256>& byte_ids, std::span<const BpeMerge> merges);
  std::optional<size_t> repeated_merge() const { return repeated_merge_; }

  /// Appends the tokens of `piece`: start from its bytes, and as long as any two neighbours have a merge,
  /// apply the one of lowest rank, among equals the leftmost. Every byte must have a token.
  /// Time: quadratic in the length up to some hundred bytes, n log n above.
  void encode(std::string_view piece, BpeWorkspace& workspace, std::vector<int32_t>& out) const;

  int32_t byte_id(uint8_t byte) const { return byte_ids_[byte]; }

 private:
  // (rank << 32 | result) of a pair, so that the least value is the merge to apply.
  static constexpr uint64_t kNoMerge = ~uint64_t{0};
  struct Slot {
    uint64_t pair = kNoMerge;
    uint64_t merge = kNoMerge;
  };

  uint64_t find(int32_t left, int32_t right) const;
  void encode_short(BpeWorkspace& workspace, std::vector<int32_t>& out) const;
  void encode_long(BpeWorkspace& workspace, std::vector<int32_t>& out) const;

  std::array<int32_t, 256> byte_ids_;
  std::vector<Slot> slots_;
  int shift_ = 0;
  std::optional<size_t> repeated_merge_;
};

}  // namespace cadre
