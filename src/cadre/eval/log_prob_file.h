#pragma once
/// The predictions of one run of `cadre perplexity`, for comparing others with: a safetensors file with
/// `tokens` I32 [N], the text, and `log_probs` F32 [counted tokens, vocabulary], in the order of the windows;
/// the windows' sizes are its metadata. F32, so that a model compared with itself differs by exactly 0.

#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "cadre/formats/safetensors.h"
#include "cadre/formats/safetensors_writer.h"

namespace cadre {

/// What must be equal for two runs to be comparable.
struct LogProbKey {
  std::span<const int32_t> tokens;
  std::optional<int32_t> bos;
  int64_t ctx = 0;
  int64_t stride = 0;
  int64_t vocab_size = 0;
  int64_t counted = 0;
};

class LogProbWriter {
 public:
  /// Errors: kTooLarge when the disk has no room for all rows; kIo.
  static Result<LogProbWriter> create(const std::filesystem::path& path, const LogProbKey& key);
  /// Appends rows [n, vocab_size].
  Status write(std::span<const float> log_probs);
  /// Makes the file appear; all rows must have been written.
  Status finish() { return writer_.finish(); }
  int64_t file_bytes() const { return writer_.file_bytes(); }

 private:
  explicit LogProbWriter(SafetensorsWriter writer) : writer_(std::move(writer)) {}
  SafetensorsWriter writer_;
};

class LogProbReader {
 public:
  /// Errors: kInvalid when the file is not of this kind or its key is another, naming what differs;
  /// kNotFound, kIo.
  static Result<LogProbReader> open(const std::filesystem::path& path, const LogProbKey& key);
  /// Copies row `index` to `out` [vocab_size].
  void read(int64_t index, std::span<float> out) const;

 private:
  explicit LogProbReader(SafetensorsFile file) : file_(std::move(file)) {}
  SafetensorsFile file_;
  std::span<const std::byte> rows_;
};

}  // namespace cadre
