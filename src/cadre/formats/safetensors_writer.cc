#include "cadre/formats/safetensors_writer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cadre/base/check.h"
#include "cadre/formats/safetensors.h"
#include "cadre/tensor/packed.h"

namespace cadre {
namespace {

/// `text` as a JSON string. Errors: it is not UTF-8.
Result<std::string> json_string(std::string_view text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    return invalid("'{}' is not valid UTF-8", shown(text));
  }
}

/// The JSON of a header, entry by entry.
class HeaderText {
 public:
  Status add_metadata(const std::map<std::string, std::string>& metadata) {
    if (metadata.empty()) return {};
    std::string object;
    for (const auto& [key, value] : metadata) {
      CADRE_TRY(const std::string key_text, json_string(key));
      CADRE_TRY(const std::string value_text, json_string(value));
      object += fmt::format("{}{}:{}", object.empty() ? "" : ",", key_text, value_text);
    }
    add(fmt::format("\"__metadata__\":{{{}}}", object));
    return {};
  }

  Status add_tensor(std::string_view tensor, DType dtype, const Shape& shape, int64_t begin, int64_t end) {
    CADRE_TRY(const std::string name_text, json_string(tensor));
    add(fmt::format(R"({}:{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", name_text, name(dtype),
                    to_string(shape), begin, end));
    return {};
  }

  /// Length and JSON, padded with spaces to a multiple of `alignment`.
  std::string finish(int64_t alignment) && {
    json_ += '}';
    const int64_t padded = align_up(static_cast<int64_t>(json_.size()) + 8, alignment);
    json_.resize(static_cast<size_t>(padded) - 8, ' ');
    const auto length = static_cast<uint64_t>(json_.size());
    return std::string(reinterpret_cast<const char*>(&length), 8) + json_;
  }

 private:
  void add(std::string_view entry) {
    if (json_.size() > 1) json_ += ',';
    json_ += entry;
  }

  std::string json_ = "{";
};

/// A packed matrix as the bytes of its blocks; others as they are.
TensorSpec stored_spec(const TensorSpec& tensor) {
  if (!is_packed(tensor.dtype) || tensor.shape.size() != 2 || tensor.shape[1] % kPackedGroup != 0)
    return tensor;
  return {tensor.name,
          DType::kU8,
          {packed_blocks(tensor.shape[0]), packed_block_bytes(tensor.dtype, tensor.shape[1])}};
}

bool is_power_of_two(int64_t value) { return value > 0 && (value & (value - 1)) == 0; }

/// A file's header and where its tensors go.
struct Layout {
  std::string header;
  std::vector<PlacedTensor> placed;
  int64_t data_bytes = 0;
};

Result<Layout> lay_out(const std::filesystem::path& path, const std::vector<TensorSpec>& tensors,
                       const SafetensorsOptions& options) {
  CADRE_CHECK(is_power_of_two(options.alignment) && options.alignment >= 8, "alignment {}",
              options.alignment);
  CADRE_CHECK(is_power_of_two(options.tensor_alignment), "tensor alignment {}", options.tensor_alignment);
  HeaderText header;
  std::vector<PlacedTensor> placed;
  int64_t end = 0;
  int paddings = 0;
  const auto place = [&](const TensorSpec& tensor) -> Status {
    if (tensor.name.starts_with(kSafetensorsPadding) || tensor.name == "__metadata__")
      return invalid("the name is reserved");
    const TensorSpec stored = stored_spec(tensor);
    const DTypeInfo& type = info(stored.dtype);
    CADRE_TRY(const int64_t bytes, stored_bytes(tensor.dtype, tensor.shape));
    if (type.block_elements != 1) return invalid("the format has no dtype {}", type.name);
    const int64_t begin = align_up(end, std::max(options.tensor_alignment, type.block_bytes));
    if (begin > end)
      CADRE_CHECK_OK(header.add_tensor(fmt::format("{}{}", kSafetensorsPadding, paddings++), DType::kU8,
                                       {begin - end}, end, begin));
    if (bytes > INT64_MAX / 2 - begin) return invalid("the file would be beyond 62 bits");
    end = begin + bytes;
    placed.push_back({tensor.name, begin, bytes});
    return header.add_tensor(stored.name, stored.dtype, stored.shape, begin, end);
  };
  std::map<std::string, std::string> metadata = options.metadata;
  for (const TensorSpec& tensor : tensors)
    if (is_packed(tensor.dtype))
      metadata[fmt::format("{}{}", kSafetensorsPacked, tensor.name)] =
          fmt::format("{} {}", name(tensor.dtype), to_string(tensor.shape));
  auto status = header.add_metadata(metadata).and_then([&] { return check_names(tensors); });
  if (!status) return invalid("{}: {}", path.string(), status.error().message);
  for (const TensorSpec& tensor : tensors)
    if (status = place(tensor); !status)
      return invalid("{}: tensor '{}': {}", path.string(), shown(tensor.name), status.error().message);
  return Layout{std::move(header).finish(options.alignment), std::move(placed), end};
}

}  // namespace

Result<SafetensorsWriter> SafetensorsWriter::create(const std::filesystem::path& path,
                                                    const std::vector<TensorSpec>& tensors,
                                                    const SafetensorsOptions& options) {
  CADRE_TRY(Layout layout, lay_out(path, tensors, options));
  CADRE_TRY(TensorStream stream,
            TensorStream::create(path, layout.header, std::move(layout.placed), layout.data_bytes));
  return SafetensorsWriter(std::move(stream));
}

Result<SafetensorsWriter> SafetensorsWriter::resume(const std::filesystem::path& path,
                                                    const std::vector<TensorSpec>& tensors,
                                                    const SafetensorsOptions& options, size_t finished) {
  CADRE_TRY(Layout layout, lay_out(path, tensors, options));
  CADRE_TRY(TensorStream stream,
            TensorStream::resume(path, layout.header, std::move(layout.placed), layout.data_bytes, finished));
  return SafetensorsWriter(std::move(stream));
}

Status write_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                         const SafetensorsOptions& options) {
  std::vector<TensorSpec> specs;
  specs.reserve(tensors.size());
  for (const NamedTensor& tensor : tensors)
    specs.push_back({tensor.name, tensor.tensor.dtype, tensor.tensor.shape});
  CADRE_TRY(SafetensorsWriter writer, SafetensorsWriter::create(path, specs, options));
  for (const NamedTensor& tensor : tensors) CADRE_CHECK_OK(writer.write(tensor.name, tensor.tensor.bytes));
  return writer.finish();
}

}  // namespace cadre
