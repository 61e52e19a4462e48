#include "cadre/text/tokenizer_vocabulary.h"

#include <bit>

#include "cadre/text/bpe.h"

namespace cadre {

void StringTable::reserve(size_t count, size_t bytes) {
  bytes_.reserve(bytes);
  ends_.reserve(count);
}

void StringTable::append(std::string_view text) {
  bytes_ += text;
  ends_.push_back(bytes_.size());
}

Vocabulary::Vocabulary(std::span<const VocabularyEntry> entries) {
  size_t total = 0;
  for (const VocabularyEntry& entry : entries) total += entry.text.size();
  texts_.reserve(entries.size(), total);
  bytes_.reserve(entries.size(), total);
  flags_.reserve(entries.size());
  slots_.resize(std::bit_ceil(2 * entries.size() + 2));
  for (const VocabularyEntry& entry : entries) {
    texts_.append(entry.text);
    // A text outside the byte alphabet can only be meant literally.
    std::optional<std::string> bytes;
    if (!entry.added) bytes = bytes_from_alphabet(entry.text);
    bytes_.append(bytes ? std::string_view(*bytes) : entry.text);
    flags_.push_back(static_cast<uint8_t>((entry.present ? kPresent : 0) | (entry.added ? kAdded : 0) |
                                          (entry.special ? kSpecial : 0)));
    if (entry.present) insert(static_cast<int32_t>(flags_.size()) - 1);
  }
}

void Vocabulary::insert(int32_t id) {
  const uint64_t hash = hash_bytes(text(id));
  const auto tag = static_cast<uint32_t>(hash >> 32);
  size_t at = hash & (slots_.size() - 1);
  for (; slots_[at].id >= 0; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].tag == tag && text(slots_[at].id) == text(id)) {
      if (!duplicate_) duplicate_ = {.first = slots_[at].id, .second = id};
      return;
    }
  }
  slots_[at] = {.tag = tag, .id = id};
}

std::optional<int32_t> Vocabulary::find(std::string_view wanted) const {
  const uint64_t hash = hash_bytes(wanted);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  for (size_t at = hash & (slots_.size() - 1); slots_[at].id >= 0; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].tag == tag && text(slots_[at].id) == wanted) return slots_[at].id;
  }
  return std::nullopt;
}

}  // namespace cadre
