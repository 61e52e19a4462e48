#pragma once
/// From text to a tokenizer: byte-level BPE with DeepSeek-V3's pre-tokenizer and the tokens of our chat
/// format.

#include <cstdint>
#include <filesystem>
#include <span>

#include "cadre/base/json.h"
#include "cadre/data/bpe_trainer.h"
#include "cadre/data/documents.h"

namespace cadre {

/// The control tokens, which have the lowest ids, in this order.
enum class ControlToken : int32_t { kBegin, kEnd, kPad, kUser, kAssistant };
inline constexpr int kControlTokens = 5;

struct TokenizerOptions {
  int64_t size = 6144;  ///< tokens, control tokens and the 256 bytes included
  /// Let digits be merged into numbers of up to three. Without, each digit is a token, which lets a small
  /// model learn to calculate.
  bool merge_digits = false;
  int64_t min_count = 2;           ///< a pair that occurs less often is not merged
  int64_t model_max_length = 512;  ///< what tokenizer_config.json says of it
  CorpusOptions corpus;
};

struct TokenizerReport {
  int64_t documents = 0;
  int64_t text_bytes = 0;
  int64_t pieces = 0;
  int64_t distinct_pieces = 0;
  bool forgot_pieces = false;  ///< memory was bounded, so counts of rare pieces are not exact
  int64_t tokens = 0;
};

struct TokenizerProgress {
  ByteProgress reading;
  MergeProgress merging;
};

/// Learns from the texts of `files` and makes the folder `out` with tokenizer.json and tokenizer_config.json
/// (control tokens and chat template), as Hugging Face's tokenizers read them. The same files and options
/// give the same bytes. Errors: as read_corpus and AtomicFolder; kInvalid for a size out of range, a corpus
/// without text, or one too small for so many tokens.
Result<TokenizerReport> train_tokenizer(std::span<const std::filesystem::path> files,
                                        const std::filesystem::path& out, const TokenizerOptions& options,
                                        const TokenizerProgress& progress);

/// The tokenizer.json of `merges`, whose tokens are numbered as learn_merges does.
Json trained_tokenizer_json(std::span<const BpeMerge> merges);

}  // namespace cadre
