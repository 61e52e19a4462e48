#include <algorithm>
#include <cstring>

#include "cadre/formats/gguf.h"

namespace cadre {
namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr int64_t kDefaultAlignment = 32;
constexpr int64_t kMaxAlignment = int64_t{1} << 20;
constexpr uint32_t kMaxRank = 4;
/// The format's limit for keys. Tensor names are at most 64 bytes in llama.cpp; other writers' are not.
constexpr uint64_t kMaxNameBytes = 65535;
constexpr uint64_t kMinEntryBytes = 8 + 4 + 1;       // key length, type, smallest value
constexpr uint64_t kMinTensorBytes = 8 + 4 + 4 + 8;  // name length, rank, type, offset

/// Walks the file; every read is checked against what is left.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> file) : file_(file) {}

  uint64_t position() const { return position_; }
  uint64_t left() const { return file_.size() - position_; }

  Result<std::span<const std::byte>> take(uint64_t count) {
    if (count > left())
      return invalid("the file ends at byte {}, {} more were expected at byte {}", file_.size(), count,
                     position_);
    const auto bytes = file_.subspan(position_, count);
    position_ += count;
    return bytes;
  }

  template <typename T>
  Result<T> number() {
    CADRE_TRY(const auto bytes, take(sizeof(T)));
    T value;
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }

  Result<std::span<const std::byte>> string() {
    CADRE_TRY(const uint64_t length, number<uint64_t>());
    if (length > left())
      return invalid("a string of {} bytes at byte {} is beyond the end of the file of {} bytes", length,
                     position_, file_.size());
    return take(length);
  }

  Result<std::string> name() {
    CADRE_TRY(const auto bytes, string());
    if (bytes.empty()) return invalid("an empty name at byte {}", position_);
    if (bytes.size() > kMaxNameBytes)
      return invalid("a name of {} bytes at byte {}, at most {} are allowed", bytes.size(), position_,
                     kMaxNameBytes);
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

 private:
  std::span<const std::byte> file_;
  uint64_t position_ = 0;
};

Result<GgufType> read_type(Reader& reader) {
  CADRE_TRY(const uint32_t type, reader.number<uint32_t>());
  if (type >= kGgufTypeCount) return invalid("unknown value type {}", type);
  return static_cast<GgufType>(type);
}

Result<GgufValue> read_array(Reader& reader) {
  GgufValue value;
  value.is_array = true;
  CADRE_TRY(value.type, read_type(reader));
  if (value.type == GgufType::kArray) return invalid("an array of arrays is not supported");
  CADRE_TRY(value.count, reader.number<uint64_t>());
  const int element_bytes = gguf_value_bytes(value.type);
  const auto smallest = static_cast<uint64_t>(element_bytes == 0 ? 8 : element_bytes);
  if (value.count > reader.left() / smallest)
    return invalid("an array of {} {} values is beyond the end of the file, of which {} bytes are left",
                   value.count, name(value.type), reader.left());
  if (element_bytes != 0) {
    CADRE_TRY(value.bytes, reader.take(value.count * smallest));
    return value;
  }
  Reader start = reader;
  for (uint64_t i = 0; i < value.count; ++i) CADRE_CHECK_OK(reader.string().map([](auto) {}));
  CADRE_TRY(value.bytes, start.take(reader.position() - start.position()));
  return value;
}

Result<GgufValue> read_value(Reader& reader) {
  GgufValue value;
  CADRE_TRY(value.type, read_type(reader));
  if (value.type == GgufType::kArray) return read_array(reader);
  if (value.type == GgufType::kString) {
    CADRE_TRY(value.bytes, reader.string());
  } else {
    CADRE_TRY(value.bytes, reader.take(static_cast<uint64_t>(gguf_value_bytes(value.type))));
  }
  return value;
}

/// A tensor's description; offset relative to the data section.
struct TensorInfo {
  GgufTensor tensor;
  uint64_t offset = 0;
};

Result<TensorInfo> read_tensor_info(Reader& reader) {
  TensorInfo info;
  CADRE_TRY(info.tensor.name, reader.name());
  const auto read_rest = [&]() -> Status {
    CADRE_TRY(const uint32_t rank, reader.number<uint32_t>());
    if (rank > kMaxRank) return invalid("{} dimensions, at most {} are supported", rank, kMaxRank);
    for (uint32_t i = 0; i < rank; ++i) {
      CADRE_TRY(const uint64_t size, reader.number<uint64_t>());
      if (size > static_cast<uint64_t>(INT64_MAX)) return invalid("dimension {} is beyond 63 bits", size);
      info.tensor.shape.insert(info.tensor.shape.begin(), static_cast<int64_t>(size));
    }
    CADRE_TRY(info.tensor.ggml_type, reader.number<uint32_t>());
    CADRE_TRY(info.offset, reader.number<uint64_t>());
    return {};
  };
  if (auto status = read_rest(); !status)
    return invalid("tensor '{}': {}", shown(info.tensor.name), status.error().message);
  return info;
}

/// Places a tensor in the data section. Returns its extent; empty when the size of its type is not known.
Result<Extent> place_tensor(TensorInfo& info, std::span<const std::byte> data, int64_t alignment) {
  if (info.offset % static_cast<uint64_t>(alignment) != 0)
    return invalid("offset {} is not a multiple of the alignment {}", info.offset, alignment);
  if (info.offset > data.size())
    return invalid("offset {} is outside the file, which has {} bytes of data", info.offset, data.size());
  const auto begin = static_cast<int64_t>(info.offset);
  const GgmlType* type = find_ggml_type(info.tensor.ggml_type);
  if (type == nullptr) return Extent{begin, begin, info.tensor.name};
  auto bytes = stored_bytes(info.tensor.shape, type->block_elements, type->block_bytes);
  if (!bytes) return invalid("type {}: {}", type->name, bytes.error().message);
  if (static_cast<uint64_t>(*bytes) > data.size() - info.offset)
    return invalid("{} bytes at offset {} are outside the file, which has {} bytes of data", *bytes,
                   info.offset, data.size());
  info.tensor.bytes = data.subspan(info.offset, static_cast<size_t>(*bytes));
  return Extent{begin, begin + *bytes, info.tensor.name};
}

Status check_magic(Reader& reader, GgufHeader& header) {
  CADRE_TRY(const uint32_t magic, reader.number<uint32_t>());
  if (magic != kMagic) return invalid("not a GGUF file: it does not begin with \"GGUF\"");
  CADRE_TRY(header.version, reader.number<uint32_t>());
  if ((header.version & 0xFFFFu) == 0 && header.version != 0)
    return invalid("big-endian GGUF is not supported");
  if (header.version == 1) return invalid("GGUF version 1 is not supported: convert the file to version 3");
  if (header.version != 2 && header.version != 3)
    return invalid("GGUF version {} is not known, 2 and 3 are", header.version);
  return {};
}

Status read_metadata(Reader& reader, uint64_t count, std::vector<GgufEntry>& metadata) {
  for (uint64_t i = 0; i < count; ++i) {
    auto key = reader.name();
    if (!key) return invalid("key {} of {}: {}", i, count, key.error().message);
    auto value = read_value(reader);
    if (!value) return invalid("key '{}': {}", shown(*key), value.error().message);
    metadata.push_back({std::move(*key), *value});
  }
  std::sort(metadata.begin(), metadata.end(),
            [](const GgufEntry& a, const GgufEntry& b) { return a.key < b.key; });
  const auto twice =
      std::adjacent_find(metadata.begin(), metadata.end(),
                         [](const GgufEntry& a, const GgufEntry& b) { return a.key == b.key; });
  if (twice != metadata.end()) return invalid("key '{}' is given twice", shown(twice->key));
  return {};
}

Result<int64_t> read_alignment(const std::vector<GgufEntry>& metadata) {
  const auto entry = std::find_if(metadata.begin(), metadata.end(),
                                  [](const GgufEntry& e) { return e.key == "general.alignment"; });
  if (entry == metadata.end()) return kDefaultAlignment;
  const GgufValue& value = entry->value;
  if (value.is_array || value.type != GgufType::kU32)
    return invalid("key 'general.alignment': expected a u32, found {}", describe(value));
  uint32_t alignment = 0;
  std::memcpy(&alignment, value.bytes.data(), sizeof(alignment));
  if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > kMaxAlignment)
    return invalid("key 'general.alignment': expected a power of two up to {}, found {}", kMaxAlignment,
                   alignment);
  return alignment;
}

Status read_tensors(Reader& reader, uint64_t count, std::span<const std::byte> file, int64_t alignment,
                    GgufHeader& header) {
  std::vector<TensorInfo> infos;
  for (uint64_t i = 0; i < count; ++i) {
    auto info = read_tensor_info(reader);
    if (!info) return invalid("tensor {} of {}: {}", i, count, info.error().message);
    infos.push_back(std::move(*info));
  }
  const auto start = static_cast<uint64_t>(align_up(static_cast<int64_t>(reader.position()), alignment));
  const auto data = start < file.size() ? file.subspan(start) : std::span<const std::byte>();
  std::sort(infos.begin(), infos.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return a.tensor.name < b.tensor.name; });
  std::vector<Extent> extents;
  extents.reserve(infos.size());
  for (size_t i = 0; i < infos.size(); ++i) {
    const std::string& name = infos[i].tensor.name;
    if (i > 0 && name == infos[i - 1].tensor.name) return invalid("tensor '{}' is given twice", shown(name));
    auto extent = place_tensor(infos[i], data, alignment);
    if (!extent) return invalid("tensor '{}': {}", shown(name), extent.error().message);
    extents.push_back(*extent);
  }
  CADRE_CHECK_OK(check_no_overlap(extents));
  header.tensors.reserve(infos.size());
  for (TensorInfo& info : infos) header.tensors.push_back(std::move(info.tensor));
  return {};
}

Result<GgufHeader> parse(std::span<const std::byte> file) {
  Reader reader(file);
  GgufHeader header;
  CADRE_CHECK_OK(check_magic(reader, header));
  CADRE_TRY(const uint64_t tensor_count, reader.number<uint64_t>());
  CADRE_TRY(const uint64_t entry_count, reader.number<uint64_t>());
  if (entry_count > reader.left() / kMinEntryBytes)
    return invalid("{} keys do not fit into the {} bytes left", entry_count, reader.left());
  if (tensor_count > reader.left() / kMinTensorBytes)
    return invalid("{} tensors do not fit into the {} bytes left", tensor_count, reader.left());
  CADRE_CHECK_OK(read_metadata(reader, entry_count, header.metadata));
  CADRE_TRY(const int64_t alignment, read_alignment(header.metadata));
  CADRE_CHECK_OK(read_tensors(reader, tensor_count, file, alignment, header));
  return header;
}

}  // namespace

Result<GgufHeader> parse_gguf(std::span<const std::byte> file, std::string_view origin) {
  auto header = parse(file);
  if (!header) return fail(header.error().kind, "{}: {}", origin, header.error().message);
  return header;
}

}  // namespace cadre
