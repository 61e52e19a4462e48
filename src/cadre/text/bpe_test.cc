#include "cadre/text/bpe.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace cadre {
namespace {

TEST(ByteAlphabet, IsGpt2s) {
  EXPECT_EQ(alphabet_character('A'), "A");
  EXPECT_EQ(alphabet_character(' '), "\u0120");
  EXPECT_EQ(alphabet_character('\n'), "\u010A");
  EXPECT_EQ(alphabet_character(0), "\u0100");
  EXPECT_EQ(alphabet_character(0x7F), "\u0121");
  EXPECT_EQ(alphabet_character(0xAD), "\u0143");
  EXPECT_EQ(alphabet_character(0xFF), "\u00FF");
}

TEST(ByteAlphabet, IsReversible) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  EXPECT_EQ(bytes_from_alphabet(bytes_to_alphabet(all)), all);
}

TEST(ByteAlphabet, RefusesOtherCharacters) {
  EXPECT_EQ(bytes_from_alphabet("a b"), std::nullopt);
  EXPECT_EQ(bytes_from_alphabet("\u2581"), std::nullopt);
  EXPECT_EQ(bytes_from_alphabet("\xFF"), std::nullopt);
}

std::array<int32_t, 256> identity_bytes() {
  std::array<int32_t, 256> ids{};
  for (int byte = 0; byte < 256; ++byte) ids[static_cast<size_t>(byte)] = byte;
  return ids;
}

std::vector<int32_t> encode(const Bpe& bpe, std::string_view piece) {
  BpeWorkspace workspace;
  std::vector<int32_t> out;
  bpe.encode(piece, workspace, out);
  return out;
}

using Ids = std::vector<int32_t>;

TEST(Bpe, LowestRankGoesFirst) {
  const std::vector<BpeMerge> merges = {{'b', 'c', 256}, {'a', 'b', 257}, {256, 'd', 258}};
  const Bpe bpe(identity_bytes(), merges);
  EXPECT_EQ(encode(bpe, "abcd"), (Ids{'a', 258}));
  EXPECT_EQ(encode(bpe, "abx"), (Ids{257, 'x'}));
  EXPECT_EQ(encode(bpe, "x"), (Ids{'x'}));
  EXPECT_EQ(encode(bpe, ""), (Ids{}));
}

TEST(Bpe, AmongEqualRanksTheLeftmostGoesFirst) {
  const std::vector<BpeMerge> merges = {{'a', 'a', 256}};
  EXPECT_EQ(encode(Bpe(identity_bytes(), merges), "aaa"), (Ids{256, 'a'}));
}

TEST(Bpe, ReportsARepeatedMerge) {
  const std::vector<BpeMerge> merges = {{'a', 'b', 256}, {'b', 'c', 257}, {'a', 'b', 258}};
  EXPECT_EQ(Bpe(identity_bytes(), merges).repeated_merge(), 2u);
  EXPECT_EQ(Bpe(identity_bytes(), std::span(merges).first(2)).repeated_merge(), std::nullopt);
}

/// The definition, one merge at a time.
Ids encode_slowly(std::string_view piece, std::span<const BpeMerge> merges) {
  Ids ids;
  for (const char c : piece) ids.push_back(static_cast<uint8_t>(c));
  while (true) {
    size_t best_rank = merges.size();
    size_t best_at = 0;
    for (size_t at = 0; at + 1 < ids.size(); ++at) {
      for (size_t rank = 0; rank < best_rank; ++rank) {
        if (merges[rank].left == ids[at] && merges[rank].right == ids[at + 1]) {
          best_rank = rank;
          best_at = at;
        }
      }
    }
    if (best_rank == merges.size()) return ids;
    ids[best_at] = merges[best_rank].result;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
  }
}

TEST(Bpe, ShortAndLongPiecesFollowTheDefinition) {
  // Random merges of random tokens: ranks are in no sensible order, and several ways lead to one token.
  std::mt19937 random(11);
  for (int round = 0; round < 40; ++round) {
    std::vector<BpeMerge> merges;
    std::map<std::pair<int32_t, int32_t>, bool> seen;
    std::vector<int32_t> tokens = {'a', 'b', 'c'};
    for (int i = 0; i < 60; ++i) {
      const int32_t left = tokens[random() % tokens.size()];
      const int32_t right = tokens[random() % tokens.size()];
      const bool reuse = random() % 4 == 0;
      const int32_t result = reuse ? tokens[random() % tokens.size()] : 256 + i;
      if (!std::exchange(seen[{left, right}], true)) {
        merges.push_back({left, right, result});
        tokens.push_back(result);
      }
    }
    std::shuffle(merges.begin(), merges.end(), random);
    const Bpe bpe(identity_bytes(), merges);
    for (const size_t length : {2, 3, 17, 127, 128, 129, 130, 400}) {
      std::string piece;
      for (size_t i = 0; i < length; ++i) piece.push_back(static_cast<char>('a' + random() % 3));
      ASSERT_EQ(encode(bpe, piece), encode_slowly(piece, merges)) << "round " << round << ", " << piece;
    }
  }
}

}  // namespace
}  // namespace cadre
