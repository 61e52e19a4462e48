#include "cadre/formats/gguf_writer.h"

#include "cadre/base/check.h"

namespace cadre {
namespace {

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void put_string(std::string& out, std::string_view text) {
  put(out, static_cast<uint64_t>(text.size()));
  out += text;
}

}  // namespace

void GgufMetadata::add(std::string_view key, const GgufValue& value) {
  ++count_;
  put_string(bytes_, key);
  if (value.is_array) {
    put(bytes_, GgufType::kArray);
    put(bytes_, value.type);
    put(bytes_, value.count);
  } else {
    put(bytes_, value.type);
    if (value.type == GgufType::kString) put(bytes_, static_cast<uint64_t>(value.bytes.size()));
  }
  bytes_.append(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
}

void GgufMetadata::add_strings(std::string_view key, std::span<const std::string_view> values) {
  std::string elements;
  for (const std::string_view value : values) put_string(elements, value);
  add(key, GgufValue{GgufType::kString, true, values.size(), std::as_bytes(std::span(elements))});
}

Result<GgufWriter> GgufWriter::create(const std::filesystem::path& path, const GgufMetadata& metadata,
                                      const std::vector<TensorSpec>& tensors, int64_t alignment) {
  CADRE_CHECK(alignment > 0 && (alignment & (alignment - 1)) == 0, "alignment {}", alignment);
  GgufMetadata all = metadata;
  if (alignment != 32) all.add("general.alignment", static_cast<uint32_t>(alignment));
  std::string header = "GGUF";
  put(header, uint32_t{3});
  put(header, static_cast<uint64_t>(tensors.size()));
  put(header, all.count());
  header += all.bytes();

  std::vector<PlacedTensor> placed;
  int64_t end = 0;
  const auto place = [&](const TensorSpec& tensor) -> Status {
    const GgmlType* type = ggml_type_of(tensor.dtype);
    if (type == nullptr) return invalid("ggml has no type {}", name(tensor.dtype));
    if (tensor.shape.size() > 4)
      return invalid("shape {}: at most 4 dimensions are possible", to_string(tensor.shape));
    CADRE_TRY(const int64_t bytes, stored_bytes(tensor.dtype, tensor.shape));
    if (bytes > INT64_MAX / 2 - end) return invalid("the file would be beyond 62 bits");
    put_string(header, tensor.name);
    put(header, static_cast<uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size)
      put(header, static_cast<uint64_t>(*size));
    put(header, type->id);
    put(header, static_cast<uint64_t>(end));
    placed.push_back({tensor.name, end, bytes});
    end = align_up(end + bytes, alignment);
    return {};
  };
  if (const auto status = check_names(tensors); !status)
    return invalid("{}: {}", path.string(), status.error().message);
  for (const TensorSpec& tensor : tensors)
    if (const auto status = place(tensor); !status)
      return invalid("{}: tensor '{}': {}", path.string(), shown(tensor.name), status.error().message);
  header.resize(static_cast<size_t>(align_up(static_cast<int64_t>(header.size()), alignment)), '\0');
  CADRE_TRY(TensorStream stream, TensorStream::create(path, header, std::move(placed), end));
  return GgufWriter(std::move(stream));
}

}  // namespace cadre
