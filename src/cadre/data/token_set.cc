#include "cadre/data/token_set.h"

#include <algorithm>
#include <cstring>

#include "cadre/base/check.h"
#include "cadre/base/file.h"

namespace cadre {
namespace {

template <typename T>
T load(std::span<const std::byte> bytes, int64_t index) {
  T value;
  std::memcpy(&value, bytes.data() + static_cast<size_t>(index) * sizeof(T), sizeof(T));
  return value;
}

Result<StoredTensor> vector_of(const SafetensorsFile& file, std::string_view tensor, int64_t elements,
                               std::initializer_list<DType> types) {
  CADRE_TRY(const StoredTensor stored, file.tensor(tensor));
  if (std::find(types.begin(), types.end(), stored.dtype) == types.end())
    return invalid("{}: tensor '{}': type {} expected, {} found", file.path().string(), tensor,
                   name(*(types.end() - 1)), name(stored.dtype));
  if (stored.shape != Shape{elements})
    return invalid("{}: tensor '{}': shape [{}] expected, as the manifest says, [{}] found",
                   file.path().string(), tensor, elements, fmt::join(stored.shape, ", "));
  return stored;
}

}  // namespace

int64_t TokenSet::offset(const Shard& shard, int64_t document) {
  return load<int64_t>(shard.documents, document);
}

int32_t TokenSet::token(const Shard& shard, int64_t index) {
  return shard.short_tokens ? load<int16_t>(shard.tokens, index) : load<int32_t>(shard.tokens, index);
}

bool TokenSet::is_learned(const Shard& shard, int64_t index) {
  return (load<uint8_t>(shard.learned, index / 8) >> (index % 8) & 1) != 0;
}

Result<TokenSet::Shard> TokenSet::open_shard(const std::filesystem::path& path, const ShardEntry& entry,
                                             int32_t vocab_size) {
  CADRE_TRY(SafetensorsFile file, SafetensorsFile::open(path));
  const std::string origin = path.string();
  CADRE_TRY(const StoredTensor tokens,
            vector_of(file, kShardTokens, entry.tokens, {DType::kI16, DType::kI32}));
  CADRE_TRY(const StoredTensor learned, vector_of(file, kShardLearned, (entry.tokens + 7) / 8, {DType::kU8}));
  CADRE_TRY(const StoredTensor documents,
            vector_of(file, kShardDocuments, entry.documents + 1, {DType::kI64}));
  Shard shard{.file = std::move(file),
              .tokens = tokens.bytes,
              .learned = learned.bytes,
              .documents = documents.bytes,
              .short_tokens = tokens.dtype == DType::kI16};
  for (int64_t i = 0; i < entry.documents; ++i)
    if (offset(shard, i) >= offset(shard, i + 1))
      return invalid("{}: tensor '{}': increasing offsets expected, {} and {} found at {}", origin,
                     kShardDocuments, offset(shard, i), offset(shard, i + 1), i);
  if (offset(shard, 0) != 0 || offset(shard, entry.documents) != entry.tokens)
    return invalid("{}: tensor '{}': offsets from 0 to {} expected, from {} to {} found", origin,
                   kShardDocuments, entry.tokens, offset(shard, 0), offset(shard, entry.documents));
  for (int64_t i = 0; i < entry.tokens; ++i)
    if (const int32_t id = token(shard, i); id < 0 || id >= vocab_size)
      return invalid("{}: tensor '{}': token ids from 0 to {} expected, as the manifest says, {} found at {}",
                     origin, kShardTokens, vocab_size - 1, id, i);
  return shard;
}

Result<TokenSet> TokenSet::open(const std::filesystem::path& folder, Split split) {
  CADRE_TRY(Manifest manifest, read_manifest(folder));
  TokenSet set(folder, std::move(manifest), split);
  if (set.entry().documents == 0)
    return invalid("{}: the split '{}' has no documents", (folder / "manifest.json").string(), name(split));
  for (const ShardEntry& entry : set.entry().shards) {
    CADRE_TRY(Shard shard, open_shard(folder / entry.file, entry, set.manifest_.vocab_size));
    set.shards_.push_back(std::move(shard));
    set.first_document_.push_back(set.first_document_.back() + entry.documents);
  }
  return set;
}

TokenSet::Place TokenSet::place(int64_t document) const {
  CADRE_DCHECK(document >= 0 && document < documents());
  const auto after = std::upper_bound(first_document_.begin(), first_document_.end(), document);
  const auto shard = static_cast<size_t>(after - first_document_.begin()) - 1;
  return {&shards_[shard], document - first_document_[shard]};
}

int64_t TokenSet::length(int64_t document) const {
  const auto [shard, index] = place(document);
  return offset(*shard, index + 1) - offset(*shard, index);
}

void TokenSet::read(int64_t document, int64_t begin, std::span<int32_t> tokens,
                    std::span<int32_t> targets) const {
  CADRE_CHECK(tokens.size() == targets.size() && begin >= 0 && begin + std::ssize(tokens) < length(document));
  const auto [shard, index] = place(document);
  int64_t at = offset(*shard, index) + begin;
  for (size_t i = 0; i < tokens.size(); ++i, ++at) {
    tokens[i] = token(*shard, at);
    targets[i] = is_learned(*shard, at + 1) ? token(*shard, at + 1) : kNoTarget;
  }
}

int64_t TokenSet::learned(int64_t document, int64_t begin, int64_t count) const {
  CADRE_CHECK(begin >= 0 && begin + count < length(document));
  const auto [shard, index] = place(document);
  const int64_t first = offset(*shard, index) + begin + 1;
  int64_t sum = 0;
  for (int64_t i = first; i < first + count; ++i) sum += is_learned(*shard, i) ? 1 : 0;
  return sum;
}

Status TokenSet::check_tokenizer(const std::filesystem::path& model_folder) const {
  const std::filesystem::path path = model_folder / "tokenizer.json";
  CADRE_TRY(const std::string text, read_text_file(path));
  const std::string found = tokenizer_fingerprint(text);
  if (found == manifest_.tokenizer) return {};
  return invalid(
      "{}: made with a tokenizer.json of fingerprint {}, but that of {} is {}: prepare the data with the "
      "model's tokenizer",
      (folder_ / "manifest.json").string(), manifest_.tokenizer, path.string(), found);
}

Status TokenSet::check_vocabulary(int64_t vocab_size) const {
  if (manifest_.vocab_size <= vocab_size) return {};
  return invalid("{}: field 'tokenizer.vocab_size': {} tokens, but the model has room for {}",
                 (folder_ / "manifest.json").string(), manifest_.vocab_size, vocab_size);
}

}  // namespace cadre
