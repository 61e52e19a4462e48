#pragma once
/// Writing safetensors: names and shapes first, then the data in the same order, in pieces of any size.

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/result.h"
#include "cadre/formats/layout.h"
#include "cadre/formats/tensor_stream.h"

namespace cadre {

/// What models that cadre writes are aligned to, the data section and each tensor: a page, and what direct
/// I/O needs.
inline constexpr int64_t kPageAlignment = 4096;

struct SafetensorsOptions {
  std::map<std::string, std::string> metadata;
  /// Of the data section in the file; a power of two of 8 or more. The header is padded with spaces.
  int64_t alignment = 64;
  /// Of each tensor in the data section; a power of two. A tensor is always aligned to its element. Gaps
  /// become tensors named kSafetensorsPadding + number, since the format allows no holes.
  int64_t tensor_alignment = 64;
};

/// Thread-compatible. Destroyed before `finish`, it leaves no file, unless it was made to be resumed.
class SafetensorsWriter {
 public:
  /// Errors: kInvalid for a shape without a size, a ggml block dtype, a name
  /// that is not UTF-8, given twice, or reserved; kTooLarge when the disk has no room for the file; kIo.
  static Result<SafetensorsWriter> create(const std::filesystem::path& path,
                                          const std::vector<TensorSpec>& tensors,
                                          const SafetensorsOptions& options = {});

  /// The same in a file that stays when it is not finished: the first `finished` tensors, as given before,
  /// are in it already. Errors: as create; kInvalid when the file is shorter than that.
  static Result<SafetensorsWriter> resume(const std::filesystem::path& path,
                                          const std::vector<TensorSpec>& tensors,
                                          const SafetensorsOptions& options, size_t finished);

  /// Appends to tensor `name`; tensors come in the order given to `create`, whole or in pieces. Another
  /// order or too many bytes are mistakes of the caller and abort. Errors: kIo.
  Status write(std::string_view name, std::span<const std::byte> bytes) { return stream_.write(name, bytes); }
  /// Makes the file appear. Every tensor must be complete. Errors: kIo.
  Status finish() { return stream_.finish(); }

  /// Only of a file to be resumed: makes what was written outlast a loss of power. Errors: kIo.
  Status flush() { return stream_.flush(); }

  int64_t file_bytes() const { return stream_.file_bytes(); }

 private:
  explicit SafetensorsWriter(TensorStream stream) : stream_(std::move(stream)) {}

  TensorStream stream_;
};

/// Writes whole tensors at once: for small files.
Status write_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                         const SafetensorsOptions& options = {});

}  // namespace cadre
