#pragma once
/// Internal to the tokenizer: what its copies share, and how the loaders build it.

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/result.h"
#include "cadre/text/added_tokens.h"
#include "cadre/text/bpe.h"
#include "cadre/text/pre_tokenizer.h"
#include "cadre/text/tokenizer_vocabulary.h"

namespace cadre {

/// Tokens of pieces met before: natural text repeats its words. Direct-mapped: a newer piece takes the place
/// of an older one. Starts small and forgets all when it grows, which happens twice at most.
class PieceCache {
 public:
  PieceCache() : entries_(kFirstEntries) {}

  static constexpr size_t kMaxBytes = 31;
  static constexpr size_t kMaxIds = 6;

  /// Appends the tokens of `piece`, or returns false.
  bool lookup(std::string_view piece, uint64_t hash, std::vector<int32_t>& out) const;
  void insert(std::string_view piece, uint64_t hash, std::span<const int32_t> ids);

 private:
  // From 64 KiB to 2 MiB: a book in English has some 30,000 different pieces, a chat message a hundred.
  static constexpr size_t kFirstEntries = size_t{1} << 10;
  static constexpr size_t kMostEntries = size_t{1} << 15;
  struct Entry {
    uint32_t count = 0;
    uint8_t length = 0;
    char bytes[kMaxBytes];
    int32_t ids[kMaxIds];
  };
  static_assert(sizeof(Entry) <= 64);

  std::vector<Entry> entries_;
  size_t inserted_ = 0;  // since it last grew
};

/// Everything that one call of encode() writes to.
struct EncodeWorkspace {
  PreTokenizerWorkspace pre_tokenizer;
  BpeWorkspace bpe;
  PieceCache cache;
};

/// Lends workspaces to concurrent calls and keeps them, with their warm caches, for later ones.
class WorkspacePool {
 public:
  std::unique_ptr<EncodeWorkspace> take();
  void give_back(std::unique_ptr<EncodeWorkspace> workspace);

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<EncodeWorkspace>> free_;
};

struct TokenizerData {
  Vocabulary vocabulary;
  AddedTokens added;
  PreTokenizer pre_tokenizer;
  Bpe bpe;
  bool ignore_merges = false;  ///< a piece that is a token as a whole skips the merges
  mutable WorkspacePool workspaces;
};

/// One merge as a file writes it.
struct MergeText {
  std::string_view left;
  std::string_view right;
};

/// What both loaders have read before they look any deeper.
struct TokenizerSource {
  std::string_view origin;
  std::string_view vocabulary_field;  ///< for error messages, as is the next
  std::string_view merges_field;
  std::vector<VocabularyEntry> entries;  ///< by id
  std::vector<MergeText> merges;
  std::vector<AddedToken> added;
  std::vector<PreTokenizerStage> stages;
  bool ignore_merges = false;
};

/// Eight times the largest published vocabulary; bounds the memory that a bad file can ask for.
inline constexpr int64_t kMaxTokens = int64_t{1} << 21;

/// Checks what one list says about another: texts are unique, merges name known tokens and are unique, bytes
/// have tokens. Errors name origin and field.
Result<std::shared_ptr<const TokenizerData>> build_tokenizer(TokenizerSource source);

}  // namespace cadre
