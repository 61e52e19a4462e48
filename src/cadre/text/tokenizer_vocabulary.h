#pragma once
/// Internal to the tokenizer: the tokens of one vocabulary by id and by text.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cadre {

/// A fast hash of short strings; not for untrusted keys that may collide on purpose without harm being
/// bounded otherwise (a vocabulary's worst case is a slow load, a cache's a miss).
inline uint64_t hash_bytes(std::string_view bytes) {
  constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15;
  uint64_t hash = bytes.size() * kMultiplier;
  const auto mix = [&](uint64_t word) {
    hash = (hash ^ word) * kMultiplier;
    hash ^= hash >> 29;
  };
  const char* at = bytes.data();
  size_t left = bytes.size();
  uint64_t word = 0;
  for (; left >= 8; left -= 8, at += 8) {
    __builtin_memcpy(&word, at, 8);
    mix(word);
  }
  word = 0;
  for (size_t i = 0; i < left; ++i) word |= uint64_t{static_cast<uint8_t>(at[i])} << (8 * i);
  mix(word);
  return hash ^ (hash >> 32);  // tables take the low bits
}

/// Strings end to end in one allocation, by index.
class StringTable {
 public:
  void reserve(size_t count, size_t bytes);
  void append(std::string_view text);
  size_t size() const { return ends_.size(); }
  std::string_view operator[](size_t index) const {
    const size_t begin = index == 0 ? 0 : ends_[index - 1];
    return std::string_view(bytes_).substr(begin, ends_[index] - begin);
  }

 private:
  std::string bytes_;
  std::vector<size_t> ends_;
};

/// What a vocabulary file says about one id.
struct VocabularyEntry {
  std::string_view text;  ///< as in the file: in the byte alphabet, or literal if `added`
  bool present = false;   ///< ids may have holes
  bool added = false;
  bool special = false;
};

/// Immutable, thread-safe.
class Vocabulary {
 public:
  /// `entries` by id. If a text occurs twice, `duplicate()` names both ids and the rest is unspecified.
  explicit Vocabulary(std::span<const VocabularyEntry> entries);

  struct Duplicate {
    int32_t first = 0;
    int32_t second = 0;
  };
  const std::optional<Duplicate>& duplicate() const { return duplicate_; }

  /// Highest id + 1.
  int32_t size() const { return static_cast<int32_t>(flags_.size()); }
  bool contains(int32_t id) const { return id >= 0 && id < size() && (flags_[index(id)] & kPresent) != 0; }
  bool is_added(int32_t id) const { return contains(id) && (flags_[index(id)] & kAdded) != 0; }
  bool is_special(int32_t id) const { return contains(id) && (flags_[index(id)] & kSpecial) != 0; }

  std::optional<int32_t> find(std::string_view text) const;
  std::string_view text(int32_t id) const { return texts_[index(id)]; }
  /// What the token stands for in decoded text. `id` must be contained.
  std::string_view bytes(int32_t id) const { return bytes_[index(id)]; }

 private:
  enum : uint8_t { kPresent = 1, kAdded = 2, kSpecial = 4 };
  struct Slot {
    uint32_t tag = 0;  // high half of the hash: most unequal texts are told apart without reading them
    int32_t id = -1;
  };

  static size_t index(int32_t id) { return static_cast<size_t>(id); }
  void insert(int32_t id);

  StringTable texts_;
  StringTable bytes_;
  std::vector<uint8_t> flags_;
  std::vector<Slot> slots_;
  std::optional<Duplicate> duplicate_;
};

}  // namespace cadre
