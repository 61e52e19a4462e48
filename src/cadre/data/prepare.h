#pragma once
/// From documents to a folder of token shards.

#include <cstdint>
#include <filesystem>
#include <span>

#include "cadre/data/documents.h"
#include "cadre/data/manifest.h"

namespace cadre {

struct PrepareOptions {
  CorpusOptions corpus;
  uint64_t seed = 0;
  double held_out = 0.01;  ///< share of the documents
  /// A shard ends with the document that brings it to so many tokens; it is built in memory, at up to 5 bytes
  /// a token.
  int64_t shard_tokens = int64_t{1} << 25;
};

/// Encodes all documents of `files` with the tokenizer and chat template of `tokenizer_folder` and makes the
/// folder `out`: manifest.json, the shards of both splits, and copies of the tokenizer's files. Which split a
/// document goes to depends on its text and the seed alone, so equal documents are never in both. The folder
/// appears when it is complete. Errors: as read_corpus, load_text_assets, DocumentEncoder and AtomicFolder;
/// kInvalid when a split that was asked for has no documents; kTooLarge or kIo for a full disk.
Result<Manifest> prepare_corpus(std::span<const std::filesystem::path> files,
                                const std::filesystem::path& tokenizer_folder,
                                const std::filesystem::path& out, const PrepareOptions& options,
                                ByteProgress progress);

}  // namespace cadre
