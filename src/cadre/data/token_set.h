#pragma once
/// Reading one split of a folder of token shards.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "cadre/data/manifest.h"
#include "cadre/formats/safetensors.h"

namespace cadre {

/// A target that does not count in the loss.
inline constexpr int32_t kNoTarget = -1;

/// What a shard's file holds: `tokens` I16 or I32 [tokens]; `learned` U8 [(tokens + 7) / 8], where bit i % 8
/// of byte i / 8 belongs to token i; `documents` I64 [documents + 1], where each document begins.
inline constexpr std::string_view kShardTokens = "tokens";
inline constexpr std::string_view kShardLearned = "learned";
inline constexpr std::string_view kShardDocuments = "documents";
/// Up to this vocabulary a token takes 16 bits.
inline constexpr int32_t kMostShortTokens = 1 << 15;

/// The documents of one split, over all shards, memory-mapped. Thread-safe to read.
class TokenSet {
 public:
  /// Reads the manifest and checks every shard against it, every token against the vocabulary.
  /// Errors: kNotFound; kInvalid naming file, tensor, what was expected and what was found; a split without
  /// documents.
  static Result<TokenSet> open(const std::filesystem::path& folder, Split split);

  const Manifest& manifest() const { return manifest_; }
  Split split() const { return split_; }
  const SplitEntry& entry() const { return manifest_.split(split_); }
  int64_t documents() const { return first_document_.back(); }
  /// Tokens of a document.
  int64_t length(int64_t document) const;

  /// Input tokens [begin, begin + tokens.size()) of a document, and for each the token after it, or kNoTarget
  /// where that is not to be learned. The spans are equally long, and begin + size < length(document).
  void read(int64_t document, int64_t begin, std::span<int32_t> tokens, std::span<int32_t> targets) const;
  /// How many of these targets count.
  int64_t learned(int64_t document, int64_t begin, int64_t count) const;

  /// Errors: kInvalid when the set was made with another tokenizer.json than that of `model_folder`.
  Status check_tokenizer(const std::filesystem::path& model_folder) const;
  /// Errors: kInvalid when a model of `vocab_size` has no room for the tokens.
  Status check_vocabulary(int64_t vocab_size) const;

 private:
  /// Views into the file, which need not be aligned.
  struct Shard {
    SafetensorsFile file;
    std::span<const std::byte> tokens;
    std::span<const std::byte> learned;
    std::span<const std::byte> documents;
    bool short_tokens = false;
  };
  struct Place {
    const Shard* shard;
    int64_t document;  // within the shard
  };

  TokenSet(std::filesystem::path folder, Manifest manifest, Split split)
      : folder_(std::move(folder)), manifest_(std::move(manifest)), split_(split) {}
  static Result<Shard> open_shard(const std::filesystem::path& path, const ShardEntry& entry,
                                  int32_t vocab_size);
  static int64_t offset(const Shard& shard, int64_t document);
  static int32_t token(const Shard& shard, int64_t index);
  static bool is_learned(const Shard& shard, int64_t index);
  Place place(int64_t document) const;

  std::filesystem::path folder_;
  Manifest manifest_;
  Split split_;
  std::vector<Shard> shards_;
  std::vector<int64_t> first_document_ = {0};  // of each shard; the last: documents in all
};

}  // namespace cadre
