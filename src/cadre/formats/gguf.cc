#include "cadre/formats/gguf.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace cadre {
namespace {

template <typename T>
T load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool is_integer(GgufType type) {
  return gguf_value_bytes(type) != 0 && type != GgufType::kF32 && type != GgufType::kF64 &&
         type != GgufType::kBool;
}
bool is_number(GgufType type) { return is_integer(type) || type == GgufType::kF32 || type == GgufType::kF64; }

/// An element of integer type; nothing when it is beyond int64.
std::optional<int64_t> load_integer(GgufType type, const std::byte* bytes) {
  switch (type) {
    case GgufType::kU8:
      return load<uint8_t>(bytes);
    case GgufType::kI8:
      return load<int8_t>(bytes);
    case GgufType::kU16:
      return load<uint16_t>(bytes);
    case GgufType::kI16:
      return load<int16_t>(bytes);
    case GgufType::kU32:
      return load<uint32_t>(bytes);
    case GgufType::kI32:
      return load<int32_t>(bytes);
    case GgufType::kI64:
      return load<int64_t>(bytes);
    default: {
      const auto value = load<uint64_t>(bytes);
      if (value > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
      return static_cast<int64_t>(value);
    }
  }
}

double load_number(GgufType type, const std::byte* bytes) {
  if (type == GgufType::kF32) return written_decimal(load<float>(bytes));
  if (type == GgufType::kF64) return load<double>(bytes);
  if (type == GgufType::kU64) return static_cast<double>(load<uint64_t>(bytes));
  return static_cast<double>(*load_integer(type, bytes));
}

/// "model" and 3 of "model-00001-of-00003.gguf"; nothing for a name of another form.
struct PartName {
  std::string stem;
  int64_t count = 0;
};
std::optional<PartName> first_part_name(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  constexpr std::string_view kSuffix = "-00001-of-00000.gguf";
  if (name.size() <= kSuffix.size()) return std::nullopt;
  const std::string_view tail = std::string_view(name).substr(name.size() - kSuffix.size());
  if (tail.substr(0, 10) != kSuffix.substr(0, 10) || tail.substr(15) != kSuffix.substr(15))
    return std::nullopt;
  PartName part{name.substr(0, name.size() - kSuffix.size())};
  for (const char digit : tail.substr(10, 5)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    part.count = 10 * part.count + (digit - '0');
  }
  return part;
}

}  // namespace

std::string describe(const GgufValue& value) {
  if (value.is_array) return fmt::format("an array of {} {} values", value.count, name(value.type));
  if (value.type == GgufType::kString) return fmt::format("string \"{}\"", shown(as_text(value.bytes), 60));
  if (value.type == GgufType::kBool)
    return load<uint8_t>(value.bytes.data()) != 0 ? "bool true" : "bool false";
  if (!is_integer(value.type))
    return fmt::format("{} {}", name(value.type), load_number(value.type, value.bytes.data()));
  const auto integer = load_integer(value.type, value.bytes.data());
  return integer ? fmt::format("{} {}", name(value.type), *integer)
                 : fmt::format("u64 {}", load<uint64_t>(value.bytes.data()));
}

GgufFile::GgufFile(MappedFile file, GgufHeader header)
    : metadata_(std::move(header.metadata)), tensors_(std::move(header.tensors)) {
  files_.push_back(std::move(file));
}

Result<GgufFile> GgufFile::open(const std::filesystem::path& path) {
  CADRE_TRY(MappedFile mapped, MappedFile::open(path));
  CADRE_TRY(GgufHeader header, parse_gguf(mapped.bytes(), path.string()));
  GgufFile file(std::move(mapped), std::move(header));
  CADRE_CHECK_OK(file.add_parts());
  return file;
}

Status GgufFile::add_parts() {
  CADRE_TRY(const int64_t count, integer_or("split.count", 1, 0, 99999));
  if (count <= 1) return {};
  CADRE_TRY(const int64_t number, integer_or("split.no", 0, 0, 99999));
  if (number != 0)
    return invalid("{}: this is part {} of {}; give the first part, ...-00001-of-{:05}.gguf", path().string(),
                   number + 1, count, count);
  const auto part = first_part_name(path());
  if (!part || part->count != count)
    return invalid(
        "{}: a file of {} parts, so its name must end in -00001-of-{:05}.gguf for the others to be found",
        path().string(), count, count);
  for (int64_t i = 1; i < count; ++i) {
    const auto other_path =
        path().parent_path() / fmt::format("{}-{:05}-of-{:05}.gguf", part->stem, i + 1, count);
    CADRE_TRY(MappedFile mapped, MappedFile::open(other_path));
    CADRE_TRY(GgufHeader header, parse_gguf(mapped.bytes(), other_path.string()));
    GgufFile other(std::move(mapped), std::move(header));
    CADRE_CHECK_OK(other.integer("split.no", i, i).map([](auto) {}));
    CADRE_CHECK_OK(other.integer("split.count", count, count).map([](auto) {}));
    tensors_.insert(tensors_.end(), std::make_move_iterator(other.tensors_.begin()),
                    std::make_move_iterator(other.tensors_.end()));
    files_.push_back(std::move(other.files_.front()));
  }
  std::sort(tensors_.begin(), tensors_.end(),
            [](const GgufTensor& a, const GgufTensor& b) { return a.name < b.name; });
  const auto twice =
      std::adjacent_find(tensors_.begin(), tensors_.end(),
                         [](const GgufTensor& a, const GgufTensor& b) { return a.name == b.name; });
  if (twice != tensors_.end())
    return invalid("{}: tensor '{}' is in two parts", path().string(), shown(twice->name));
  const auto total = static_cast<int64_t>(tensors_.size());
  return integer_or("split.tensors.count", total, total, total).map([](auto) {});
}

const GgufValue* GgufFile::find_value(std::string_view key) const {
  const auto at = std::lower_bound(metadata_.begin(), metadata_.end(), key,
                                   [](const GgufEntry& entry, std::string_view k) { return entry.key < k; });
  return at == metadata_.end() || at->key != key ? nullptr : &at->value;
}

tl::unexpected<Error> GgufFile::error(std::string_view key, std::string_view expected,
                                      const GgufValue* found) const {
  return invalid("{}: key '{}': expected {}, found {}", path().string(), key, expected,
                 found == nullptr ? "nothing" : describe(*found));
}

Result<int64_t> GgufFile::integer(std::string_view key, int64_t lowest, int64_t highest) const {
  const GgufValue* value = find_value(key);
  const auto expected = lowest == highest ? fmt::format("{}", lowest)
                                          : fmt::format("an integer from {} to {}", lowest, highest);
  if (value == nullptr || value->is_array || !is_integer(value->type)) return error(key, expected, value);
  const auto result = load_integer(value->type, value->bytes.data());
  if (!result || *result < lowest || *result > highest) return error(key, expected, value);
  return *result;
}

Result<int64_t> GgufFile::integer_or(std::string_view key, int64_t fallback, int64_t lowest,
                                     int64_t highest) const {
  return has(key) ? integer(key, lowest, highest) : Result<int64_t>(fallback);
}

Result<double> GgufFile::number(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr || value->is_array || !is_number(value->type)) return error(key, "a number", value);
  return load_number(value->type, value->bytes.data());
}

Result<double> GgufFile::number_or(std::string_view key, double fallback) const {
  return has(key) ? number(key) : Result<double>(fallback);
}

Result<bool> GgufFile::boolean_or(std::string_view key, bool fallback) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr) return fallback;
  if (value->is_array || value->type != GgufType::kBool) return error(key, "a bool", value);
  return load<uint8_t>(value->bytes.data()) != 0;
}

Result<std::string> GgufFile::string(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr || value->is_array || value->type != GgufType::kString)
    return error(key, "a string", value);
  return std::string(as_text(value->bytes));
}

Result<std::string> GgufFile::string_or(std::string_view key, std::string fallback) const {
  return has(key) ? string(key) : Result<std::string>(std::move(fallback));
}

Result<std::vector<std::string_view>> GgufFile::strings(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr || !value->is_array || value->type != GgufType::kString)
    return error(key, "an array of strings", value);
  std::vector<std::string_view> out;
  out.reserve(value->count);
  std::span<const std::byte> rest = value->bytes;  // lengths were checked when the file was parsed
  for (uint64_t i = 0; i < value->count; ++i) {
    const auto length = load<uint64_t>(rest.data());
    out.push_back(as_text(rest.subspan(8, length)));
    rest = rest.subspan(8 + length);
  }
  return out;
}

Result<std::vector<int64_t>> GgufFile::integers(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr || !value->is_array || !is_integer(value->type))
    return error(key, "an array of integers", value);
  const auto width = static_cast<size_t>(gguf_value_bytes(value->type));
  std::vector<int64_t> out;
  out.reserve(value->count);
  for (uint64_t i = 0; i < value->count; ++i) {
    const auto element = load_integer(value->type, value->bytes.data() + i * width);
    if (!element) return error(key, "integers of at most 63 bits", value);
    out.push_back(*element);
  }
  return out;
}

Result<std::vector<double>> GgufFile::numbers(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr || !value->is_array || !is_number(value->type))
    return error(key, "an array of numbers", value);
  const auto width = static_cast<size_t>(gguf_value_bytes(value->type));
  std::vector<double> out;
  out.reserve(value->count);
  for (uint64_t i = 0; i < value->count; ++i)
    out.push_back(load_number(value->type, value->bytes.data() + i * width));
  return out;
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto at =
      std::lower_bound(tensors_.begin(), tensors_.end(), name,
                       [](const GgufTensor& tensor, std::string_view n) { return tensor.name < n; });
  return at == tensors_.end() || at->name != name ? nullptr : &*at;
}

Result<StoredTensor> GgufFile::tensor(std::string_view name) const {
  const GgufTensor* found = find_tensor(name);
  if (found == nullptr) return fail(ErrorKind::kNotFound, "{}: no tensor '{}'", path().string(), shown(name));
  const GgmlType* type = find_ggml_type(found->ggml_type);
  if (type == nullptr)
    return invalid("{}: tensor '{}': unknown ggml type {}", path().string(), shown(name), found->ggml_type);
  if (!type->dtype)
    return invalid("{}: tensor '{}': type {} is not supported", path().string(), shown(name), type->name);
  return StoredTensor{*type->dtype, found->shape, found->bytes};
}

int64_t GgufFile::tensor_bytes() const {
  int64_t total = 0;
  for (const GgufTensor& tensor : tensors_) total += static_cast<int64_t>(tensor.bytes.size());
  return total;
}

}  // namespace cadre
