#include "cadre/data/manifest.h"

#include <charconv>

#include "cadre/base/file.h"
#include "cadre/data/documents.h"

namespace cadre {
namespace {

constexpr std::string_view kFormat = "cadre-tokens";
constexpr int64_t kVersion = 1;
constexpr int64_t kMostTokens = int64_t{1} << 48;
constexpr int64_t kMostShards = 100'000;
constexpr int64_t kMostVocabulary = int64_t{1} << 24;

Result<JsonFields> required_object(const JsonFields& fields, std::string_view key) {
  CADRE_TRY(std::optional<JsonFields> object, fields.object(key));
  if (!object) return fields.error(key, "expected an object, found nothing");
  return *std::move(object);
}

/// The elements of a list as objects.
Result<std::vector<JsonFields>> object_list(const JsonFields& fields, std::string_view key,
                                            std::string_view path) {
  const Json* list = fields.find(key);
  if (list == nullptr || !list->is_array())
    return fields.error(key,
                        "expected a list, found " + (list == nullptr ? "nothing" : describe_json(*list)));
  if (std::ssize(*list) > kMostShards)
    return fields.error(key, fmt::format("at most {} expected, {} found", kMostShards, list->size()));
  std::vector<JsonFields> objects;
  for (size_t i = 0; i < list->size(); ++i) {
    if (!(*list)[i].is_object())
      return fields.error(key,
                          fmt::format("[{}]: expected an object, found {}", i, describe_json((*list)[i])));
    objects.emplace_back((*list)[i], fields.origin(), fmt::format("{}[{}]", path, i));
  }
  return objects;
}

Result<ShardEntry> read_shard(const JsonFields& fields) {
  ShardEntry shard;
  CADRE_TRY(shard.file, fields.string("file"));
  if (shard.file.empty() || shard.file.find('/') != std::string::npos || shard.file.starts_with('.'))
    return fields.error(
        "file", "expected the name of a file in the same folder, found " + describe_json(Json(shard.file)));
  CADRE_TRY(shard.documents, fields.integer("documents", 1, kMostTokens));
  CADRE_TRY(shard.tokens, fields.integer("tokens", 1, kMostTokens));
  return shard;
}

Result<SplitEntry> read_split(const JsonFields& splits, Split which) {
  CADRE_TRY(const JsonFields fields, required_object(splits, name(which)));
  SplitEntry split;
  CADRE_TRY(split.documents, fields.integer("documents", 0, kMostTokens));
  CADRE_TRY(split.tokens, fields.integer("tokens", 0, kMostTokens));
  CADRE_TRY(split.learned_tokens, fields.integer("learned_tokens", 0, split.tokens));
  CADRE_TRY(split.text_bytes, fields.integer("text_bytes", 0, INT64_MAX));
  CADRE_TRY(const std::vector<JsonFields> shards,
            object_list(fields, "shards", fmt::format("splits.{}.shards", name(which))));
  int64_t documents = 0;
  int64_t tokens = 0;
  for (const JsonFields& entry : shards) {
    CADRE_TRY(ShardEntry shard, read_shard(entry));
    documents += shard.documents;  // far from overflow: it stops above what the split has
    tokens += shard.tokens;
    if (documents > split.documents || tokens > split.tokens) break;
    split.shards.push_back(std::move(shard));
  }
  if (documents != split.documents || tokens != split.tokens)
    return fields.error("shards", fmt::format("expected {} documents and {} tokens in all, found {} and {}{}",
                                              split.documents, split.tokens, documents, tokens,
                                              split.shards.size() < shards.size() ? " or more" : ""));
  return split;
}

}  // namespace

std::string_view name(Split split) { return split == Split::kTrain ? "train" : "held_out"; }

Result<Manifest> parse_manifest(std::string_view text, std::string_view origin) {
  CADRE_TRY(const Json document, parse_json(text, origin));
  if (!document.is_object())
    return invalid("{}: expected an object, found {}", origin, describe_json(document));
  const JsonFields fields(document, std::string(origin));
  CADRE_TRY(const std::string format, fields.string("format"));
  if (format != kFormat)
    return fields.error("format",
                        fmt::format("expected \"{}\", found {}", kFormat, describe_json(Json(format))));
  CADRE_TRY(const int64_t version, fields.integer("version", 1, INT32_MAX));
  if (version != kVersion)
    return fields.error("version",
                        fmt::format("expected {}, found {}: prepare the data again", kVersion, version));
  Manifest manifest;
  CADRE_TRY(const JsonFields tokenizer, required_object(fields, "tokenizer"));
  CADRE_TRY(manifest.tokenizer, tokenizer.string("fingerprint"));
  CADRE_TRY(const int64_t vocab_size, tokenizer.integer("vocab_size", 1, kMostVocabulary));
  manifest.vocab_size = static_cast<int32_t>(vocab_size);
  CADRE_TRY(const std::string seed, fields.string("seed"));
  const auto [end, failure] = std::from_chars(seed.data(), seed.data() + seed.size(), manifest.seed);
  if (failure != std::errc() || end != seed.data() + seed.size())
    return fields.error("seed",
                        "expected the digits of a number of 64 bits, found " + describe_json(Json(seed)));
  CADRE_TRY(manifest.held_out, fields.number("held_out"));
  if (!(manifest.held_out >= 0 && manifest.held_out < 1))
    return fields.error("held_out", fmt::format("expected 0 to below 1, found {}", manifest.held_out));
  CADRE_TRY(const JsonFields splits, required_object(fields, "splits"));
  for (const Split split : kSplits) {
    CADRE_TRY(manifest.split(split), read_split(splits, split));
  }
  CADRE_TRY(const std::vector<JsonFields> sources, object_list(fields, "sources", "sources"));
  for (const JsonFields& entry : sources) {
    SourceEntry source;
    CADRE_TRY(source.file, entry.string("file"));
    CADRE_TRY(source.bytes, entry.integer("bytes", 0, INT64_MAX));
    manifest.sources.push_back(std::move(source));
  }
  return manifest;
}

Result<Manifest> read_manifest(const std::filesystem::path& folder) {
  constexpr size_t kLimitBytes = size_t{64} << 20;
  const std::filesystem::path path = folder / "manifest.json";
  CADRE_TRY(const std::string text, read_text_file(path, kLimitBytes));
  return parse_manifest(text, path.string());
}

Json manifest_json(const Manifest& manifest) {
  Json splits = Json::object();
  for (const Split which : kSplits) {
    const SplitEntry& split = manifest.split(which);
    Json shards = Json::array();
    for (const ShardEntry& shard : split.shards)
      shards.push_back({{"file", shard.file}, {"documents", shard.documents}, {"tokens", shard.tokens}});
    splits[std::string(name(which))] = {{"documents", split.documents},
                                        {"tokens", split.tokens},
                                        {"learned_tokens", split.learned_tokens},
                                        {"text_bytes", split.text_bytes},
                                        {"shards", std::move(shards)}};
  }
  Json sources = Json::array();
  for (const SourceEntry& source : manifest.sources)
    sources.push_back({{"file", source.file}, {"bytes", source.bytes}});
  return {{"format", kFormat},
          {"version", kVersion},
          {"tokenizer", {{"fingerprint", manifest.tokenizer}, {"vocab_size", manifest.vocab_size}}},
          {"seed", fmt::format("{}", manifest.seed)},
          {"held_out", manifest.held_out},
          {"splits", std::move(splits)},
          {"sources", std::move(sources)}};
}

std::string tokenizer_fingerprint(std::string_view tokenizer_json) {
  return fmt::format("{:016x}", fnv1a(tokenizer_json));
}

}  // namespace cadre
