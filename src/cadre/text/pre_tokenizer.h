#pragma once
/// Cutting text into the pieces within which byte-pair merges may happen. A pre-tokenizer is a list of
/// stages; each cuts every piece that the stage before it left, and sees nothing of the text around that
/// piece.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/result.h"
#include "cadre/text/pre_tokenizer_regex.h"

namespace cadre {

/// What becomes of the matches of a Split stage, and of the stretches between them.
enum class SplitBehavior {
  kIsolated,            ///< each match and each stretch is a piece
  kRemoved,             ///< matches are dropped: the text is not recoverable from the tokens
  kMergedWithPrevious,  ///< a match is joined to the stretch before it
  kMergedWithNext,      ///< a match is joined to the stretch after it
  kContiguous,          ///< adjacent matches are one piece, as are adjacent stretches
};

struct PreTokenizerStage {
  std::optional<Regex> pattern;  ///< absent: the stage does not cut
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;            ///< matches and stretches swap their roles
  bool add_prefix_space = false;  ///< before cutting, each piece that does not begin with ' ' gets one
};

/// Receives pieces in order.
class PieceSink {
 public:
  virtual ~PieceSink() = default;
  /// `piece` is not empty and lives until the call returns.
  virtual void piece(std::string_view piece) = 0;
};

/// Memory that splitting reuses; one per thread.
struct PreTokenizerWorkspace {
  RegexWorkspace regex;
  std::string stand_ins;
};

/// Immutable, thread-safe.
class PreTokenizer {
 public:
  explicit PreTokenizer(std::vector<PreTokenizerStage> stages);

  /// The pieces of `text`, which must be valid UTF-8. Their concatenation is `text`, unless a stage removes
  /// matches or adds spaces. Stages whose pattern PCRE2 gives up on a piece leave the rest of it in one
  /// piece.
  void split(std::string_view text, PreTokenizerWorkspace& workspace, PieceSink& sink) const;

 private:
  std::vector<PreTokenizerStage> stages_;
};

/// The pattern of ByteLevel stages with use_regex.
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// The stages that a GGUF file means by the name in `tokenizer.ggml.pre`, and whether that name also means
/// that pieces which are tokens as a whole skip the merges.
struct NamedPreTokenizer {
  std::vector<PreTokenizerStage> stages;
  bool ignore_merges = false;
};

/// One of those names, and the patterns of its Split stages in order. Several names may share their patterns.
struct PreTokenizerPreset {
  std::string_view name;
  std::vector<std::string> patterns;
  bool ignore_merges = false;
};

/// All that are known, for converting between GGUF and tokenizer.json.
std::vector<PreTokenizerPreset> pre_tokenizer_presets();

/// Errors: a name that is not known; the message lists those that are.
Result<NamedPreTokenizer> pre_tokenizer_by_name(std::string_view name);

}  // namespace cadre
