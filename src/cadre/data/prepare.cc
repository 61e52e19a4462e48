#include "cadre/data/prepare.h"

#include <array>
#include <utility>
#include <vector>

#include "cadre/base/file.h"
#include "cadre/base/random.h"
#include "cadre/data/document_encoder.h"
#include "cadre/data/token_set.h"
#include "cadre/formats/safetensors_writer.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kHeldOutPurpose = 0x68656C64;  // "held"

/// Collects the documents of one split and writes a shard whenever there is one.
class ShardWriter {
 public:
  ShardWriter(fs::path folder, Split split, int32_t vocab_size, int64_t shard_tokens)
      : folder_(std::move(folder)),
        split_(split),
        short_tokens_(vocab_size <= kMostShortTokens),
        shard_tokens_(shard_tokens) {}

  Status add(const EncodedDocument& document, uint64_t text_bytes) {
    for (size_t i = 0; i < document.tokens.size(); ++i) push(document.tokens[i], document.learned[i] != 0);
    offsets_.push_back(tokens_);
    entry_.text_bytes += static_cast<int64_t>(text_bytes);
    if (tokens_ >= shard_tokens_) return flush();
    return {};
  }

  Status flush() {
    if (tokens_ == 0) return {};
    ShardEntry shard{.file = fmt::format("{}-{:05}.safetensors", name(split_), entry_.shards.size()),
                     .documents = std::ssize(offsets_) - 1,
                     .tokens = tokens_};
    const std::vector<NamedTensor> tensors = {
        {std::string(kShardDocuments),
         {DType::kI64, {shard.documents + 1}, std::as_bytes(std::span(offsets_))}},
        {std::string(kShardTokens),
         short_tokens_ ? StoredTensor{DType::kI16, {tokens_}, std::as_bytes(std::span(short_))}
                       : StoredTensor{DType::kI32, {tokens_}, std::as_bytes(std::span(long_))}},
        {std::string(kShardLearned),
         {DType::kU8, {std::ssize(learned_)}, std::as_bytes(std::span(learned_))}}};
    CADRE_CHECK_OK(write_safetensors(folder_ / shard.file, tensors));
    entry_.documents += shard.documents;
    entry_.tokens += shard.tokens;
    entry_.shards.push_back(std::move(shard));
    tokens_ = 0;
    offsets_.assign(1, 0);
    short_.clear();
    long_.clear();
    learned_.clear();
    return {};
  }

  const SplitEntry& entry() const { return entry_; }

 private:
  void push(int32_t token, bool learned) {
    if (short_tokens_) {
      short_.push_back(static_cast<int16_t>(token));
    } else {
      long_.push_back(token);
    }
    if (tokens_ % 8 == 0) learned_.push_back(0);
    if (learned) learned_.back() |= static_cast<uint8_t>(1u << (tokens_ % 8));
    entry_.learned_tokens += learned ? 1 : 0;
    ++tokens_;
  }

  fs::path folder_;
  Split split_;
  bool short_tokens_;
  int64_t shard_tokens_;
  SplitEntry entry_;
  int64_t tokens_ = 0;  // of the shard at hand, as the rest
  std::vector<int64_t> offsets_ = {0};
  std::vector<int16_t> short_;
  std::vector<int32_t> long_;
  std::vector<uint8_t> learned_;
};

/// Copies what a model needs to speak, so that a folder of shards can be trained from alone.
Status copy_tokenizer(const fs::path& from, const fs::path& to) {
  for (const char* file : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}) {
    std::error_code ignored;
    if (!fs::exists(from / file, ignored)) continue;
    CADRE_TRY(const std::string text, read_text_file(from / file));
    CADRE_CHECK_OK(write_text_file(to / file, text));
  }
  return {};
}

Status check_splits(const Manifest& manifest) {
  const int64_t train = manifest.split(Split::kTrain).documents;
  const int64_t held_out = manifest.split(Split::kHeldOut).documents;
  if (train + held_out == 0) return invalid("no documents in {} file(s)", manifest.sources.size());
  if (train == 0)
    return invalid("all {} document(s) went to the held-out split: more documents expected", held_out);
  if (held_out == 0 && manifest.held_out > 0)
    return invalid(
        "of {} document(s) none went to the held-out split: more documents, a larger --held-out, or "
        "--held-out 0 for none expected",
        train);
  return {};
}

Result<std::vector<SourceEntry>> source_entries(std::span<const fs::path> files) {
  std::vector<SourceEntry> sources;
  for (const fs::path& path : files) {
    std::error_code failure;
    const auto size = fs::file_size(path, failure);
    if (failure) return fail(ErrorKind::kIo, "{}: cannot read: {}", path.string(), failure.message());
    sources.push_back({.file = path.filename().string(), .bytes = static_cast<int64_t>(size)});
  }
  return sources;
}

}  // namespace

Result<Manifest> prepare_corpus(std::span<const fs::path> files, const fs::path& tokenizer_folder,
                                const fs::path& out, const PrepareOptions& options, ByteProgress progress) {
  CADRE_TRY(const std::string tokenizer_json, read_text_file(tokenizer_folder / "tokenizer.json"));
  CADRE_TRY(TextAssets assets, load_text_assets(tokenizer_folder));
  CADRE_TRY(DocumentEncoder encoder, DocumentEncoder::create(std::move(assets), tokenizer_folder.string()));
  Manifest manifest{.tokenizer = tokenizer_fingerprint(tokenizer_json),
                    .vocab_size = encoder.tokenizer().vocab_size(),
                    .seed = options.seed,
                    .held_out = options.held_out};
  CADRE_TRY(AtomicFolder folder, AtomicFolder::create(out));
  std::array writers = {
      ShardWriter(folder.temporary(), Split::kTrain, manifest.vocab_size, options.shard_tokens),
      ShardWriter(folder.temporary(), Split::kHeldOut, manifest.vocab_size, options.shard_tokens)};

  const RandomStream draw(options.seed, kHeldOutPurpose);
  EncodedDocument encoded;
  const auto add = [&](const Document& document) -> Status {
    CADRE_CHECK_OK(encoder.encode(document, encoded));
    const bool held_out = draw.uniform(document.fingerprint()) < options.held_out;
    return writers[held_out ? 1 : 0].add(encoded, document.bytes());
  };
  CADRE_CHECK_OK(read_corpus(files, options.corpus, add, progress));
  for (const Split split : kSplits) {
    ShardWriter& writer = writers[static_cast<size_t>(split)];
    CADRE_CHECK_OK(writer.flush());
    manifest.split(split) = writer.entry();
  }
  CADRE_TRY(manifest.sources, source_entries(files));
  CADRE_CHECK_OK(check_splits(manifest));
  CADRE_CHECK_OK(copy_tokenizer(tokenizer_folder, folder.temporary()));
  CADRE_CHECK_OK(
      write_text_file(folder.temporary() / "manifest.json", dump_json(manifest_json(manifest), 2) + "\n"));
  CADRE_CHECK_OK(folder.commit());
  return manifest;
}

}  // namespace cadre
