#include "cadre/eval/log_prob_file.h"

#include <algorithm>
#include <cstring>

#include "cadre/base/check.h"

namespace cadre {
namespace {

constexpr const char* kTokens = "tokens";
constexpr const char* kLogProbs = "log_probs";
constexpr const char* kFormat = "cadre.log_probs.1";

std::map<std::string, std::string> metadata_of(const LogProbKey& key) {
  return {{"format", kFormat},
          {"ctx", fmt::format("{}", key.ctx)},
          {"stride", fmt::format("{}", key.stride)},
          {"bos", key.bos ? fmt::format("{}", *key.bos) : "none"}};
}

/// The first difference between the file's metadata and the run's.
Status check_metadata(const SafetensorsFile& file, const LogProbKey& key) {
  const auto format = file.metadata().find("format");
  if (format == file.metadata().end() || format->second != kFormat)
    return invalid("{}: not a file of log-probabilities that --save-logits writes", file.path().string());
  for (const auto& [name, wanted] : metadata_of(key)) {
    const auto found = file.metadata().find(name);
    if (found == file.metadata().end() || found->second != wanted)
      return invalid("{}: made with {} {}, this run has {}", file.path().string(), name,
                     found == file.metadata().end() ? "unknown" : found->second, wanted);
  }
  return {};
}

}  // namespace

Result<LogProbWriter> LogProbWriter::create(const std::filesystem::path& path, const LogProbKey& key) {
  CADRE_TRY(SafetensorsWriter writer,
            SafetensorsWriter::create(path,
                                      {{kTokens, DType::kI32, {static_cast<int64_t>(key.tokens.size())}},
                                       {kLogProbs, DType::kF32, {key.counted, key.vocab_size}}},
                                      {.metadata = metadata_of(key)}));
  CADRE_CHECK_OK(writer.write(kTokens, std::as_bytes(key.tokens)));
  return LogProbWriter(std::move(writer));
}

Status LogProbWriter::write(std::span<const float> log_probs) {
  return writer_.write(kLogProbs, std::as_bytes(log_probs));
}

Result<LogProbReader> LogProbReader::open(const std::filesystem::path& path, const LogProbKey& key) {
  CADRE_TRY(SafetensorsFile file, SafetensorsFile::open(path));
  CADRE_CHECK_OK(check_metadata(file, key));
  CADRE_TRY(const StoredTensor tokens, file.tensor(kTokens));
  CADRE_TRY(const StoredTensor log_probs, file.tensor(kLogProbs));
  if (tokens.dtype != DType::kI32 || !std::ranges::equal(tokens.bytes, std::as_bytes(key.tokens)))
    return invalid("{}: made from another text or with another tokenizer: its {} tokens differ from these {}",
                   path.string(), tokens.shape.empty() ? 0 : tokens.shape[0], key.tokens.size());
  if (log_probs.dtype != DType::kF32 || log_probs.shape != Shape{key.counted, key.vocab_size})
    return invalid("{}: {} {} expected for this model's vocabulary, {} {} found", path.string(),
                   name(DType::kF32), to_string({key.counted, key.vocab_size}), name(log_probs.dtype),
                   to_string(log_probs.shape));
  LogProbReader reader(std::move(file));
  reader.rows_ = log_probs.bytes;
  return reader;
}

void LogProbReader::read(int64_t index, std::span<float> out) const {
  const std::span<std::byte> bytes = std::as_writable_bytes(out);
  const auto offset = static_cast<size_t>(index) * bytes.size();
  CADRE_CHECK(offset + bytes.size() <= rows_.size(), "row {}", index);
  std::memcpy(bytes.data(), rows_.data() + offset, bytes.size());  // the mapping need not be aligned
}

}  // namespace cadre
