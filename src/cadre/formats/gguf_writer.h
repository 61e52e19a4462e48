#pragma once
/// Writing GGUF version 3: metadata, names and shapes first, then the data in the same order.

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/result.h"
#include "cadre/formats/gguf.h"
#include "cadre/formats/layout.h"
#include "cadre/formats/tensor_stream.h"

namespace cadre {

template <typename T>
concept GgufScalar = std::same_as<T, uint8_t> || std::same_as<T, int8_t> || std::same_as<T, uint16_t> ||
    std::same_as<T, int16_t> || std::same_as<T, uint32_t> || std::same_as<T, int32_t> ||
    std::same_as<T, uint64_t> || std::same_as<T, int64_t> || std::same_as<T, float> ||
    std::same_as<T, double> || std::same_as<T, bool>;

/// The type that stores a T.
template <GgufScalar T>
constexpr GgufType gguf_type_of() {
  if constexpr (std::same_as<T, bool>) return GgufType::kBool;
  if constexpr (std::same_as<T, float>) return GgufType::kF32;
  if constexpr (std::same_as<T, double>) return GgufType::kF64;
  if constexpr (std::same_as<T, uint8_t>) return GgufType::kU8;
  if constexpr (std::same_as<T, int8_t>) return GgufType::kI8;
  if constexpr (std::same_as<T, uint16_t>) return GgufType::kU16;
  if constexpr (std::same_as<T, int16_t>) return GgufType::kI16;
  if constexpr (std::same_as<T, uint32_t>) return GgufType::kU32;
  if constexpr (std::same_as<T, int32_t>) return GgufType::kI32;
  if constexpr (std::same_as<T, uint64_t>) return GgufType::kU64;
  if constexpr (std::same_as<T, int64_t>) return GgufType::kI64;
}

/// Keys and values to be written, in the order added; a key may be added once. `general.alignment` is the
/// writer's to add.
class GgufMetadata {
 public:
  template <GgufScalar T>
  void add(std::string_view key, T value) {
    add(key, GgufValue{gguf_type_of<T>(), false, 1, std::as_bytes(std::span(&value, 1))});
  }
  template <GgufScalar T>
  void add_array(std::string_view key, std::span<const T> values) {
    add(key, GgufValue{gguf_type_of<T>(), true, values.size(), std::as_bytes(values)});
  }
  void add_string(std::string_view key, std::string_view value) {
    add(key, GgufValue{GgufType::kString, false, 1, std::as_bytes(std::span(value))});
  }
  void add_strings(std::string_view key, std::span<const std::string_view> values);
  /// A value as a file holds it, for copying.
  void add(std::string_view key, const GgufValue& value);

  uint64_t count() const { return count_; }
  std::string_view bytes() const { return bytes_; }

 private:
  std::string bytes_;
  uint64_t count_ = 0;
};

/// Thread-compatible. Destroyed before `finish`, it leaves no file.
class GgufWriter {
 public:
  /// Shapes are outermost first, as everywhere here; `alignment` is a power of two.
  /// Errors: kInvalid for a dtype that ggml lacks, more than 4 dimensions, a shape without a size, a name
  /// given twice; kTooLarge when the disk has no room for the file; kIo.
  static Result<GgufWriter> create(const std::filesystem::path& path, const GgufMetadata& metadata,
                                   const std::vector<TensorSpec>& tensors, int64_t alignment = 32);

  /// As SafetensorsWriter::write.
  Status write(std::string_view name, std::span<const std::byte> bytes) { return stream_.write(name, bytes); }
  /// As SafetensorsWriter::finish.
  Status finish() { return stream_.finish(); }

  int64_t file_bytes() const { return stream_.file_bytes(); }

 private:
  explicit GgufWriter(TensorStream stream) : stream_(std::move(stream)) {}

  TensorStream stream_;
};

}  // namespace cadre
