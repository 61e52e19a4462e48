#include "cadre/formats/safetensors.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "cadre/formats/json_events.h"
#include "cadre/tensor/packed.h"

namespace cadre {
namespace {

/// As the reference implementation: more is taken for an attack or another kind of file.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kMaxDims = 8;

/// A tensor as the header describes it, before anything is believed.
struct RawTensor {
  std::string name;
  std::string dtype;
  std::vector<uint64_t> shape;
  std::vector<uint64_t> offsets;
  bool has_dtype = false;
  bool has_shape = false;
  bool has_offsets = false;
};

class HeaderReader : public JsonEvents {
 public:
  std::vector<RawTensor> tensors;
  std::map<std::string, std::string> metadata;

  bool null() override { return unexpected("null"); }
  bool boolean(bool value) override { return unexpected(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return unexpected(fmt::format("{}", value)); }
  bool number_float(number_float_t, const string_t& text) override { return unexpected(shown(text)); }

  bool number_unsigned(number_unsigned_t value) override {
    if (at_ != At::kShape && at_ != At::kOffsets) return unexpected(fmt::format("{}", value));
    std::vector<uint64_t>& list = at_ == At::kShape ? tensors.back().shape : tensors.back().offsets;
    if (list.size() == kMaxDims)
      return stop(fmt::format("tensor '{}': '{}' has more than {} elements", shown(tensors.back().name),
                              field_, kMaxDims));
    list.push_back(value);
    return true;
  }

  bool string(string_t& value) override {
    if (at_ == At::kMetadata) {
      if (metadata.emplace(field_, value).second) return true;
      return stop(fmt::format("'__metadata__' has key '{}' twice", shown(field_)));
    }
    if (at_ != At::kTensor || field_ != "dtype") return unexpected(fmt::format("\"{}\"", shown(value)));
    tensors.back().dtype = std::move(value);
    tensors.back().has_dtype = true;
    return true;
  }

  bool key(string_t& key) override {
    if (at_ != At::kTensor) {
      field_ = std::move(key);
      return true;
    }
    const RawTensor& tensor = tensors.back();
    const bool twice = (key == "dtype" && tensor.has_dtype) || (key == "shape" && tensor.has_shape) ||
                       (key == "data_offsets" && tensor.has_offsets);
    if (twice) return stop(fmt::format("tensor '{}': '{}' is given twice", shown(tensor.name), key));
    if (key != "dtype" && key != "shape" && key != "data_offsets")
      return stop(fmt::format("tensor '{}': unknown field '{}'", shown(tensor.name), shown(key)));
    field_ = std::move(key);
    return true;
  }

  bool start_object(std::size_t) override {
    if (at_ == At::kStart) {
      at_ = At::kTop;
    } else if (at_ == At::kTop && field_ == "__metadata__") {
      if (std::exchange(metadata_seen_, true)) return stop("'__metadata__' is given twice");
      at_ = At::kMetadata;
    } else if (at_ == At::kTop) {
      tensors.emplace_back().name = field_;
      at_ = At::kTensor;
    } else {
      return unexpected("an object");
    }
    return true;
  }

  bool end_object() override {
    if (at_ == At::kTensor) {
      const RawTensor& tensor = tensors.back();
      const char* missing = !tensor.has_dtype ? "dtype" : !tensor.has_shape ? "shape" : "data_offsets";
      if (!tensor.has_dtype || !tensor.has_shape || !tensor.has_offsets)
        return stop(fmt::format("tensor '{}': '{}' is missing", shown(tensor.name), missing));
    }
    at_ = At::kTop;
    return true;
  }

  bool start_array(std::size_t) override {
    if (at_ != At::kTensor || field_ == "dtype") return unexpected("an array");
    const bool shape = field_ == "shape";
    at_ = shape ? At::kShape : At::kOffsets;
    (shape ? tensors.back().has_shape : tensors.back().has_offsets) = true;
    return true;
  }

  bool end_array() override {
    at_ = At::kTensor;
    return true;
  }

 private:
  enum class At { kStart, kTop, kMetadata, kTensor, kShape, kOffsets };

  bool unexpected(std::string_view found) {
    switch (at_) {
      case At::kStart:
        return stop(fmt::format("expected a JSON object, found {}", found));
      case At::kTop:
        if (field_ == "__metadata__")
          return stop(fmt::format("'__metadata__': expected an object of strings, found {}", found));
        return stop(fmt::format("tensor '{}': expected an object, found {}", shown(field_), found));
      case At::kMetadata:
        return stop(
            fmt::format("'__metadata__': key '{}': expected a string, found {}", shown(field_), found));
      case At::kTensor:
        return stop(fmt::format("tensor '{}': '{}': expected {}, found {}", shown(tensors.back().name),
                                field_, field_ == "dtype" ? "a string" : "an array of integers", found));
      case At::kShape:
      case At::kOffsets:
        break;
    }
    return stop(fmt::format("tensor '{}': '{}': expected integers of 0 or more, found {}",
                            shown(tensors.back().name), field_, found));
  }

  At at_ = At::kStart;
  std::string field_;  ///< the key whose value comes next
  bool metadata_seen_ = false;
};

/// Checks one tensor against the data section. The error lacks origin and name.
Result<StoredTensor> check_tensor(const RawTensor& raw, std::span<const std::byte> data) {
  StoredTensor tensor;
  const auto dtype = dtype_from_name(raw.dtype);
  if (!dtype || info(*dtype).block_elements != 1) return invalid("unknown dtype \"{}\"", shown(raw.dtype));
  tensor.dtype = *dtype;
  for (const uint64_t size : raw.shape) {
    if (size > static_cast<uint64_t>(INT64_MAX)) return invalid("'shape': {} is beyond 63 bits", size);
    tensor.shape.push_back(static_cast<int64_t>(size));
  }
  if (raw.offsets.size() != 2)
    return invalid("'data_offsets': expected two integers, found {}", raw.offsets.size());
  const uint64_t begin = raw.offsets[0];
  const uint64_t end = raw.offsets[1];
  if (begin > end) return invalid("'data_offsets': begin {} is after end {}", begin, end);
  if (end > data.size())
    return invalid("'data_offsets': end {} is outside the file, which has {} bytes of data", end,
                   data.size());
  CADRE_TRY(const int64_t bytes, stored_bytes(tensor.dtype, tensor.shape));
  if (static_cast<uint64_t>(bytes) != end - begin)
    return invalid("shape {} of {} takes {} bytes, 'data_offsets' hold {}", to_string(tensor.shape),
                   raw.dtype, bytes, end - begin);
  tensor.bytes = data.subspan(begin, end - begin);
  return tensor;
}

/// "q4 [1408, 2048]". The error lacks origin and name.
Result<TensorSpec> parse_packed(std::string_view text) {
  const auto malformed = [&] {
    return invalid("expected a packed type and a shape as in \"q4 [1408, 2048]\", found \"{}\"", shown(text));
  };
  const size_t space = text.find(' ');
  const auto type = dtype_from_name(text.substr(0, space));
  if (!type || !is_packed(*type) || space == text.npos) return malformed();
  TensorSpec spec{.dtype = *type, .shape = {0, 0}};
  const char* at = text.data() + space + 1;
  const char* const end = text.data() + text.size();
  const auto take = [&](char c) { return at != end && *at == c && (++at, true); };
  const auto take_size = [&](int64_t& size) {
    const auto [next, error] = std::from_chars(at, end, size);
    at = next;
    return error == std::errc() && size >= 0;
  };
  if (!take('[') || !take_size(spec.shape[0]) || !take(',') || !take(' ') || !take_size(spec.shape[1]) ||
      !take(']') || at != end)
    return malformed();
  return spec;
}

/// Gives the tensors that the metadata calls packed their type and shape. The error lacks the origin.
Status name_packed(SafetensorsHeader& header) {
  for (auto entry = header.metadata.lower_bound(std::string(kSafetensorsPacked));
       entry != header.metadata.end() && entry->first.starts_with(kSafetensorsPacked); ++entry) {
    const std::string_view name = std::string_view(entry->first).substr(kSafetensorsPacked.size());
    const auto spec = parse_packed(entry->second);
    if (!spec) return invalid("'__metadata__': key '{}': {}", shown(entry->first), spec.error().message);
    const auto at =
        std::lower_bound(header.tensors.begin(), header.tensors.end(), name,
                         [](const NamedTensor& tensor, std::string_view n) { return tensor.name < n; });
    if (at == header.tensors.end() || at->name != name)
      return invalid("'__metadata__': key '{}': there is no such tensor", shown(entry->first));
    CADRE_TRY(const int64_t bytes, stored_bytes(spec->dtype, spec->shape));
    if (at->tensor.dtype != DType::kU8 || bytes != static_cast<int64_t>(at->tensor.bytes.size()))
      return invalid("tensor '{}': {} takes {} bytes of U8, found {} of {}", shown(name), entry->second,
                     bytes, at->tensor.bytes.size(), cadre::name(at->tensor.dtype));
    at->tensor.dtype = spec->dtype;
    at->tensor.shape = spec->shape;
  }
  return {};
}

/// Length of the JSON, checked against the file.
Result<uint64_t> header_bytes(std::span<const std::byte> file, std::string_view origin) {
  if (file.size() < 8)
    return invalid("{}: {} bytes, a safetensors file begins with a header length of 8", origin, file.size());
  uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  if (length > file.size() - 8)
    return invalid("{}: header length {} is beyond the end of the file of {} bytes", origin, length,
                   file.size());
  if (length > kMaxHeaderBytes)
    return invalid("{}: header length {} is above the limit of {}", origin, length, kMaxHeaderBytes);
  return length;
}

}  // namespace

Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> file, std::string_view origin) {
  CADRE_TRY(const uint64_t length, header_bytes(file, origin));
  const std::string_view json(reinterpret_cast<const char*>(file.data()) + 8, length);
  const std::span<const std::byte> data = file.subspan(8 + length);
  HeaderReader reader;
  CADRE_CHECK_OK(reader.read(json, fmt::format("{}: header", origin)));

  SafetensorsHeader header;
  header.metadata = std::move(reader.metadata);
  header.data = data;
  header.tensors.reserve(reader.tensors.size());
  std::sort(reader.tensors.begin(), reader.tensors.end(),
            [](const RawTensor& a, const RawTensor& b) { return a.name < b.name; });
  std::vector<Extent> extents;
  extents.reserve(reader.tensors.size());
  for (size_t i = 0; i < reader.tensors.size(); ++i) {
    RawTensor& raw = reader.tensors[i];
    if (i > 0 && raw.name == reader.tensors[i - 1].name)
      return invalid("{}: tensor '{}' is given twice", origin, shown(raw.name));
    auto tensor = check_tensor(raw, data);
    if (!tensor) return invalid("{}: tensor '{}': {}", origin, shown(raw.name), tensor.error().message);
    extents.push_back({static_cast<int64_t>(raw.offsets[0]), static_cast<int64_t>(raw.offsets[1]), raw.name});
    if (!raw.name.starts_with(kSafetensorsPadding)) header.tensors.push_back({raw.name, std::move(*tensor)});
  }
  if (const auto status = check_no_overlap(extents); !status)
    return invalid("{}: {}", origin, status.error().message);
  if (const auto status = name_packed(header); !status)
    return invalid("{}: {}", origin, status.error().message);
  return header;
}

Result<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  CADRE_TRY(MappedFile file, MappedFile::open(path));
  CADRE_TRY(SafetensorsHeader header, parse_safetensors(file.bytes(), path.string()));
  return SafetensorsFile(std::move(file), std::move(header));
}

const StoredTensor* SafetensorsFile::find(std::string_view name) const {
  const auto at =
      std::lower_bound(header_.tensors.begin(), header_.tensors.end(), name,
                       [](const NamedTensor& tensor, std::string_view n) { return tensor.name < n; });
  return at == header_.tensors.end() || at->name != name ? nullptr : &at->tensor;
}

Result<StoredTensor> SafetensorsFile::tensor(std::string_view name) const {
  const StoredTensor* found = find(name);
  if (found == nullptr) return fail(ErrorKind::kNotFound, "{}: no tensor '{}'", path().string(), shown(name));
  return *found;
}

int64_t SafetensorsFile::tensor_bytes() const {
  int64_t total = 0;
  for (const NamedTensor& tensor : header_.tensors) total += static_cast<int64_t>(tensor.tensor.bytes.size());
  return total;
}

}  // namespace cadre
