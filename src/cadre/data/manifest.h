#pragma once
/// manifest.json of a folder of token shards: what is there, and what it was made with. The format:
/// docs/training-data.md.

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/json.h"
#include "cadre/base/result.h"

namespace cadre {

enum class Split { kTrain, kHeldOut };
inline constexpr std::array kSplits = {Split::kTrain, Split::kHeldOut};
/// "train" or "held_out".
std::string_view name(Split split);

struct ShardEntry {
  std::string file;  ///< in the manifest's folder
  int64_t documents = 0;
  int64_t tokens = 0;
};

struct SplitEntry {
  std::vector<ShardEntry> shards;
  int64_t documents = 0;
  int64_t tokens = 0;
  int64_t learned_tokens = 0;  ///< that count in the loss
  int64_t text_bytes = 0;      ///< of the documents, without what the chat template adds
};

struct SourceEntry {
  std::string file;
  int64_t bytes = 0;
};

struct Manifest {
  std::string tokenizer;  ///< tokenizer_fingerprint of the tokenizer.json
  int32_t vocab_size = 0;
  uint64_t seed = 0;
  double held_out = 0;  ///< the share of documents asked for
  std::array<SplitEntry, kSplits.size()> splits;
  std::vector<SourceEntry> sources;

  const SplitEntry& split(Split split) const { return splits[static_cast<size_t>(split)]; }
  SplitEntry& split(Split split) { return splits[static_cast<size_t>(split)]; }
};

/// Errors: kInvalid naming `origin` and the field; also sums that do not agree, a shard file with a folder in
/// its name, and a version that we do not know.
Result<Manifest> parse_manifest(std::string_view text, std::string_view origin);
Result<Manifest> read_manifest(const std::filesystem::path& folder);
Json manifest_json(const Manifest& manifest);

/// Tells tokenizers apart: 64-bit FNV-1a of a tokenizer.json, 16 hexadecimal digits.
std::string tokenizer_fingerprint(std::string_view tokenizer_json);

}  // namespace cadre
