#pragma once
/// The part that the writers of both formats share: a header whose size is known, then tensors one after
/// another at given offsets with zeros between them, and the file appearing only when all of it is there.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cadre/base/file.h"
#include "cadre/base/result.h"

namespace cadre {

/// Where a tensor goes, relative to the end of the header.
struct PlacedTensor {
  std::string name;
  int64_t offset = 0;
  int64_t bytes = 0;
};

/// Thread-compatible. Destroyed before `finish`, it leaves no file, unless it was made to be resumed.
class TensorStream {
 public:
  /// `tensors` by offset; `data_bytes` is the length of the data section, with padding at its end.
  /// Errors: kTooLarge when the disk has less room than the file needs, with both numbers; kIo.
  static Result<TensorStream> create(const std::filesystem::path& path, std::string_view header,
                                     std::vector<PlacedTensor> tensors, int64_t data_bytes);

  /// The same in a file that stays when it is not finished. The first `finished` tensors are in it already,
  /// whole; what follows them is cut off. Errors: as create; kInvalid when the file is shorter than that.
  static Result<TensorStream> resume(const std::filesystem::path& path, std::string_view header,
                                     std::vector<PlacedTensor> tensors, int64_t data_bytes, size_t finished);

  /// Appends to tensor `name`, which must be the first that is not yet complete; a tensor may come in
  /// pieces. Another name or too many bytes are mistakes of the caller. Errors: kIo.
  Status write(std::string_view name, std::span<const std::byte> bytes);
  /// Writes the padding at the end and makes the file appear. Every tensor must be complete. Errors: kIo.
  Status finish();

  /// Only of a stream to be resumed: makes what was written outlast a loss of power. Errors: kIo.
  Status flush() { return std::get<GrowingFile>(file_).flush(); }

  int64_t file_bytes() const { return header_bytes_ + data_bytes_; }

 private:
  TensorStream(std::variant<AtomicFile, GrowingFile> file, std::vector<PlacedTensor> tensors,
               int64_t header_bytes, int64_t data_bytes)
      : file_(std::move(file)),
        tensors_(std::move(tensors)),
        header_bytes_(header_bytes),
        data_bytes_(data_bytes) {}
  Status pad_to(int64_t offset);
  void skip_complete();

  Status append(std::span<const std::byte> bytes);

  std::variant<AtomicFile, GrowingFile> file_;
  std::vector<PlacedTensor> tensors_;
  int64_t header_bytes_ = 0;
  int64_t data_bytes_ = 0;
  int64_t position_ = 0;  ///< in the data section
  size_t next_ = 0;       ///< the tensor being written
};

}  // namespace cadre
