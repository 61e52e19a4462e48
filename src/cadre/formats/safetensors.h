#pragma once
/// Reading safetensors: one file, or a model directory of one file or of shards with an index. Files are
/// memory-mapped and every field of the header is checked against the file's size before it is used, so
/// a tensor that was found can be read. Objects own their mappings: views die with them. Thread-safe to read.
/// The format and what is refused: docs/formats.md.

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/file.h"
#include "cadre/base/result.h"
#include "cadre/formats/layout.h"

namespace cadre {

/// Names that begin so are gaps between aligned tensors, made into tensors because the format allows no
/// holes. The writer adds them and the reader does not list them.
inline constexpr std::string_view kSafetensorsPadding = "cadre.padding.";

/// A packed tensor (tensor/packed.h) is stored as U8 [blocks, bytes of a block], and the metadata entry of
/// this prefix and its name says what it is: "q4 [1408, 2048]". It is read as a tensor of that type and
/// shape.
inline constexpr std::string_view kSafetensorsPacked = "cadre.packed:";

struct SafetensorsHeader {
  std::vector<NamedTensor> tensors;  ///< by name; their bytes point into the file
  std::map<std::string, std::string> metadata;
  std::span<const std::byte> data;  ///< the section that offsets count from
};

/// Parses the bytes of a whole file; `origin` (its path) starts every error message.
/// Errors: kInvalid naming origin, tensor, what was expected and what was found.
Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> file, std::string_view origin);

class SafetensorsFile {
 public:
  /// Errors: as MappedFile::open and parse_safetensors.
  static Result<SafetensorsFile> open(const std::filesystem::path& path);

  /// All tensors by name.
  const std::vector<NamedTensor>& tensors() const { return header_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  /// nullptr when there is none. The pointer stays good when the file object is moved.
  const StoredTensor* find(std::string_view name) const;
  /// As find. Errors: kNotFound, naming the file.
  Result<StoredTensor> tensor(std::string_view name) const;

  int64_t tensor_bytes() const;
  /// Whether a tensor of this file begins at a multiple of its element's size in the data section.
  bool is_aligned(const StoredTensor& tensor) const {
    return is_packed(tensor.dtype) ||
           (tensor.bytes.data() - header_.data.data()) % info(tensor.dtype).block_bytes == 0;
  }
  const std::filesystem::path& path() const { return file_.path(); }
  /// See MappedFile.
  void map_resident() const { file_.map_resident(); }
  /// The whole mapping, for prefetching.
  std::span<const std::byte> bytes() const { return file_.bytes(); }

 private:
  SafetensorsFile(MappedFile file, SafetensorsHeader header)
      : file_(std::move(file)), header_(std::move(header)) {}

  MappedFile file_;
  SafetensorsHeader header_;
};

/// The tensors of a model directory, wherever they lie.
class SafetensorsSet {
 public:
  struct Entry {
    std::string_view name;
    const StoredTensor* tensor;
    int file;  ///< index into files()
  };

  /// Opens `model.safetensors`; else the shards that `model.safetensors.index.json` names; else the only
  /// *.safetensors file. Tensors of a shard that the index does not list are members too.
  /// Errors: kNotFound when there is none of these or a shard is missing; kInvalid for a malformed file, a
  /// shard name with a folder in it, a listed tensor that its shard lacks, or one name in two shards.
  static Result<SafetensorsSet> open(const std::filesystem::path& directory);

  /// nullptr when there is none.
  const StoredTensor* find(std::string_view name) const;
  /// As find, for weights. Errors: kInvalid for a tensor that is not aligned to its elements, which no writer
  /// of weights of one type makes: its header does not mean what it says.
  Result<const StoredTensor*> find_aligned(std::string_view name) const;
  /// Path of the file that holds `name`; of the directory when none does.
  std::string file_of(std::string_view name) const;

  /// All tensors by name.
  const std::vector<Entry>& entries() const { return entries_; }
  const std::vector<SafetensorsFile>& files() const { return files_; }
  int64_t tensor_bytes() const;

 private:
  SafetensorsSet(std::filesystem::path directory, std::vector<SafetensorsFile> files)
      : directory_(std::move(directory)), files_(std::move(files)) {}
  Status collect();
  const Entry* find_entry(std::string_view name) const;

  std::filesystem::path directory_;
  std::vector<SafetensorsFile> files_;
  std::vector<Entry> entries_;
};

}  // namespace cadre
