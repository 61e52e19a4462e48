#pragma once
/// Reading GGUF, the container of ggml and llama.cpp, versions 2 and 3, in one file or split into several.
/// Files are memory-mapped; every length and offset is checked against the file before it is used. Metadata
/// stays in the mapping and is decoded when asked for. Objects own their mappings: views die with them.
/// Thread-safe to read. The format and what is refused: docs/formats.md.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/file.h"
#include "cadre/base/result.h"
#include "cadre/formats/gguf_types.h"
#include "cadre/formats/layout.h"

namespace cadre {

/// A metadata value where the file has it. `bytes` are those of the value, or of all elements of an array;
/// a string is without its length, the strings of an array are with theirs.
struct GgufValue {
  GgufType type = GgufType::kU8;  ///< of the elements, if an array
  bool is_array = false;
  uint64_t count = 1;  ///< elements of the array
  std::span<const std::byte> bytes;
};

struct GgufEntry {
  std::string key;
  GgufValue value;
};

struct GgufTensor {
  std::string name;
  uint32_t ggml_type = 0;
  Shape shape;                       ///< outermost first, as everywhere here: [out, in], [experts, out, in]
  std::span<const std::byte> bytes;  ///< empty when the size of ggml_type is not known
};

struct GgufHeader {
  uint32_t version = 3;
  std::vector<GgufEntry> metadata;  ///< by key
  std::vector<GgufTensor> tensors;  ///< by name; their bytes point into the file
};

/// Parses the bytes of one whole file; `origin` (its path) starts every error message.
/// Errors: kInvalid naming origin, key or tensor, what was expected and what was found.
Result<GgufHeader> parse_gguf(std::span<const std::byte> file, std::string_view origin);

/// What `value` is, for people: "u32 7", "string \"abc\"", "array of 129280 strings".
std::string describe(const GgufValue& value);

class GgufFile {
 public:
  /// `path` is the only part or the first one, NAME-00001-of-0000N.gguf; the others are found beside it.
  /// Errors: as MappedFile::open and parse_gguf, and kInvalid for parts that do not belong together.
  static Result<GgufFile> open(const std::filesystem::path& path);

  bool has(std::string_view key) const { return find_value(key) != nullptr; }
  /// Any integer type of the format. Every accessor's errors name the file and the key: kInvalid when it is
  /// absent, of another type or out of range. The `_or` ones give `fallback` when it is absent.
  Result<int64_t> integer(std::string_view key, int64_t lowest, int64_t highest) const;
  Result<int64_t> integer_or(std::string_view key, int64_t fallback, int64_t lowest, int64_t highest) const;
  /// A float or an integer; an f32 as written_decimal.
  Result<double> number(std::string_view key) const;
  Result<double> number_or(std::string_view key, double fallback) const;
  Result<bool> boolean_or(std::string_view key, bool fallback) const;
  Result<std::string> string(std::string_view key) const;
  Result<std::string> string_or(std::string_view key, std::string fallback) const;
  /// Arrays. The views point into the mapping.
  Result<std::vector<std::string_view>> strings(std::string_view key) const;
  Result<std::vector<int64_t>> integers(std::string_view key) const;
  Result<std::vector<double>> numbers(std::string_view key) const;

  /// nullptr when absent.
  const GgufValue* find_value(std::string_view key) const;
  /// Of the first part, by key.
  const std::vector<GgufEntry>& metadata() const { return metadata_; }

  /// Tensors of all parts by name.
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  bool has_tensor(std::string_view name) const { return find_tensor(name) != nullptr; }
  const GgufTensor* find_tensor(std::string_view name) const;
  /// Errors: kNotFound; kInvalid when its type is one that cadre does not read, naming tensor and type.
  Result<StoredTensor> tensor(std::string_view name) const;

  int64_t tensor_bytes() const;
  /// The first part's path.
  const std::filesystem::path& path() const { return files_.front().path(); }
  const std::vector<MappedFile>& files() const { return files_; }

 private:
  GgufFile(MappedFile file, GgufHeader header);
  Status add_parts();
  tl::unexpected<Error> error(std::string_view key, std::string_view expected, const GgufValue* found) const;

  std::vector<MappedFile> files_;
  std::vector<GgufEntry> metadata_;
  std::vector<GgufTensor> tensors_;
};

}  // namespace cadre
