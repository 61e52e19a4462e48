#include "cadre/text/tokenizer_data.h"

#include <algorithm>
#include <cstring>

namespace cadre {
namespace {

/// C0, C1 and F5 to FF are no part of any UTF-8; some vocabularies leave them out.
bool occurs_in_utf8(int byte) { return byte != 0xC0 && byte != 0xC1 && byte < 0xF5; }

Result<std::array<int32_t, 256>> find_byte_tokens(const TokenizerSource& source,
                                                  const Vocabulary& vocabulary) {
  std::array<int32_t, 256> ids{};
  for (int byte = 0; byte < 256; ++byte) {
    const std::string_view text = alphabet_character(static_cast<uint8_t>(byte));
    const std::optional<int32_t> id = vocabulary.find(text);
    // An added token is cut from the text as such, so it is not the token of a byte, whatever it looks like.
    const bool found = id && !vocabulary.is_added(*id);
    if (!found && occurs_in_utf8(byte)) {
      return invalid("{}: field '{}': no token for the byte 0x{:02X} (expected '{}')", source.origin,
                     source.vocabulary_field, byte, text);
    }
    ids[static_cast<size_t>(byte)] = found ? *id : Bpe::kNoToken;
  }
  return ids;
}

Result<std::vector<BpeMerge>> find_merges(const TokenizerSource& source, const Vocabulary& vocabulary) {
  std::vector<BpeMerge> merges;
  merges.reserve(source.merges.size());
  std::string joined;
  for (size_t rank = 0; rank < source.merges.size(); ++rank) {
    const auto& [left, right] = source.merges[rank];
    joined.assign(left);
    joined += right;
    const std::optional<int32_t> ids[] = {vocabulary.find(left), vocabulary.find(right),
                                          vocabulary.find(joined)};
    const std::string_view texts[] = {left, right, joined};
    for (int i = 0; i < 3; ++i) {
      if (!ids[i]) {
        return invalid("{}: field '{}[{}]': the token '{}' is not in the vocabulary", source.origin,
                       source.merges_field, rank, texts[i]);
      }
    }
    merges.push_back({.left = *ids[0], .right = *ids[1], .result = *ids[2]});
  }
  return merges;
}

}  // namespace

bool PieceCache::lookup(std::string_view piece, uint64_t hash, std::vector<int32_t>& out) const {
  const Entry& entry = entries_[hash & (entries_.size() - 1)];
  if (entry.length != piece.size() || std::memcmp(entry.bytes, piece.data(), piece.size()) != 0) return false;
  out.insert(out.end(), entry.ids, entry.ids + entry.count);
  return true;
}

void PieceCache::insert(std::string_view piece, uint64_t hash, std::span<const int32_t> ids) {
  if (ids.size() > kMaxIds) return;
  if (++inserted_ > 2 * entries_.size() && entries_.size() < kMostEntries) {
    entries_.assign(std::min(8 * entries_.size(), kMostEntries), Entry{});
    inserted_ = 0;
  }
  Entry& entry = entries_[hash & (entries_.size() - 1)];
  entry.count = static_cast<uint32_t>(ids.size());
  entry.length = static_cast<uint8_t>(piece.size());
  std::copy(piece.begin(), piece.end(), entry.bytes);
  std::copy(ids.begin(), ids.end(), entry.ids);
}

std::unique_ptr<EncodeWorkspace> WorkspacePool::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      std::unique_ptr<EncodeWorkspace> workspace = std::move(free_.back());
      free_.pop_back();
      return workspace;
    }
  }
  return std::make_unique<EncodeWorkspace>();
}

void WorkspacePool::give_back(std::unique_ptr<EncodeWorkspace> workspace) {
  // What one huge piece or text needed is not kept for the small ones that follow.
  constexpr size_t kKept = size_t{1} << 16;
  if (workspace->bpe.ids.capacity() > kKept) workspace->bpe = {};
  if (workspace->pre_tokenizer.stand_ins.capacity() > kKept) workspace->pre_tokenizer.stand_ins = {};
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(workspace));
}

Result<std::shared_ptr<const TokenizerData>> build_tokenizer(TokenizerSource source) {
  Vocabulary vocabulary(source.entries);
  if (const auto& twice = vocabulary.duplicate()) {
    return invalid("{}: field '{}': the token '{}' has two ids, {} and {}", source.origin,
                   source.vocabulary_field, vocabulary.text(twice->first), twice->first, twice->second);
  }
  CADRE_TRY(const auto byte_ids, find_byte_tokens(source, vocabulary));
  CADRE_TRY(const auto merges, find_merges(source, vocabulary));
  Bpe bpe(byte_ids, merges);
  if (const std::optional<size_t> rank = bpe.repeated_merge()) {
    return invalid("{}: field '{}[{}]': the pair '{}' '{}' has been given before", source.origin,
                   source.merges_field, *rank, source.merges[*rank].left, source.merges[*rank].right);
  }
  return std::shared_ptr<const TokenizerData>(
      new TokenizerData{.vocabulary = std::move(vocabulary),
                        .added = AddedTokens(std::move(source.added)),
                        .pre_tokenizer = PreTokenizer(std::move(source.stages)),
                        .bpe = std::move(bpe),
                        .ignore_merges = source.ignore_merges,
                        .workspaces = {}});
}

}  // namespace cadre
