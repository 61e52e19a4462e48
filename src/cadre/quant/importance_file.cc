#include "cadre/quant/importance_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "cadre/base/file.h"
#include "cadre/formats/safetensors.h"
#include "cadre/formats/safetensors_writer.h"

namespace cadre {
namespace {

constexpr std::string_view kFormat = "cadre.importance.1";
constexpr std::string_view kMeanSquares = ".mean_squares";
constexpr std::string_view kInputs = ".inputs";

/// Beyond these the sums of any model would not fit a machine; a file that claims more is broken.
constexpr int64_t kMaxParts = 65536;
constexpr int64_t kMaxInputs = int64_t{1} << 48;

template <typename T>
std::vector<T> values_of(const StoredTensor& tensor) {
  std::vector<T> values(tensor.bytes.size() / sizeof(T));
  // The mapping need not be aligned.
  if (!values.empty()) std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

std::string type_and_shape(const StoredTensor& tensor) {
  return fmt::format("{} {}", name(tensor.dtype), to_string(tensor.shape));
}

Status check_values(const SiteImportance& site, std::string_view origin) {
  for (size_t i = 0; i < site.mean_squares.size(); ++i)
    if (const float value = site.mean_squares[i]; !(value >= 0 && std::isfinite(value)))
      return invalid("{}: tensor '{}{}': finite values of 0 or more expected, {} found at [{}, {}]", origin,
                     shown(site.name), kMeanSquares, value, static_cast<int64_t>(i) / site.cols,
                     static_cast<int64_t>(i) % site.cols);
  for (const int64_t count : site.inputs)
    if (count < 0 || count > kMaxInputs)
      return invalid("{}: tensor '{}{}': from 0 to {} inputs expected, {} found", origin, shown(site.name),
                     kInputs, kMaxInputs, count);
  return {};
}

Result<SiteImportance> parse_site(std::string_view name, const StoredTensor& mean_squares,
                                  const StoredTensor* inputs, std::string_view origin) {
  if (mean_squares.dtype != DType::kF32 || mean_squares.shape.size() != 2 || mean_squares.shape[0] < 1 ||
      mean_squares.shape[0] > kMaxParts || mean_squares.shape[1] < 1)
    return invalid("{}: tensor '{}{}': F32 [parts, columns] expected, {} found", origin, shown(name),
                   kMeanSquares, type_and_shape(mean_squares));
  const int64_t parts = mean_squares.shape[0];
  if (inputs == nullptr)
    return invalid("{}: tensor '{}{}' expected, none found", origin, shown(name), kInputs);
  if (inputs->dtype != DType::kI64 || inputs->shape != Shape{parts})
    return invalid("{}: tensor '{}{}': I64 [{}] expected, {} found", origin, shown(name), kInputs, parts,
                   type_and_shape(*inputs));
  SiteImportance site{.name = std::string(name),
                      .parts = parts,
                      .cols = mean_squares.shape[1],
                      .mean_squares = values_of<float>(mean_squares),
                      .inputs = values_of<int64_t>(*inputs)};
  CADRE_CHECK_OK(check_values(site, origin));
  return site;
}

std::string metadata_of(const SafetensorsHeader& header, const char* key) {
  const auto found = header.metadata.find(key);
  return found == header.metadata.end() ? "" : found->second;
}

}  // namespace

Status write_importance(const std::filesystem::path& path, const ImportanceData& data) {
  std::vector<NamedTensor> tensors;
  tensors.reserve(2 * data.sites.size());
  for (const SiteImportance& site : data.sites) {
    tensors.push_back({site.name + std::string(kMeanSquares),
                       {.dtype = DType::kF32,
                        .shape = {site.parts, site.cols},
                        .bytes = std::as_bytes(std::span(site.mean_squares))}});
    tensors.push_back(
        {site.name + std::string(kInputs),
         {.dtype = DType::kI64, .shape = {site.parts}, .bytes = std::as_bytes(std::span(site.inputs))}});
  }
  return write_safetensors(
      path, tensors,
      {.metadata = {{"format", std::string(kFormat)}, {"model_type", data.model_type}, {"text", data.text}}});
}

Result<ImportanceData> parse_importance(std::span<const std::byte> file, std::string_view origin) {
  CADRE_TRY(const SafetensorsHeader header, parse_safetensors(file, origin));
  if (const std::string format = metadata_of(header, "format"); format != kFormat)
    return invalid("{}: a file of `cadre imatrix` (format {}) expected, format '{}' found", origin, kFormat,
                   shown(format));
  std::map<std::string_view, const StoredTensor*> by_name;
  for (const NamedTensor& tensor : header.tensors) by_name[tensor.name] = &tensor.tensor;
  ImportanceData data{.model_type = metadata_of(header, "model_type"), .text = metadata_of(header, "text")};
  for (const auto& [name, tensor] : by_name) {
    if (name.ends_with(kMeanSquares)) {
      const std::string_view site_name = name.substr(0, name.size() - kMeanSquares.size());
      const auto inputs = by_name.find(std::string(site_name) + std::string(kInputs));
      CADRE_TRY(SiteImportance site,
                parse_site(site_name, *tensor, inputs == by_name.end() ? nullptr : inputs->second, origin));
      data.sites.push_back(std::move(site));
    } else if (!name.ends_with(kInputs)) {
      return invalid("{}: tensors that end in {} or {} expected, '{}' found", origin, kMeanSquares, kInputs,
                     shown(name));
    }
  }
  if (data.sites.size() * 2 != by_name.size())
    return invalid("{}: as many tensors {} as {} expected, {} of {} found", origin, kInputs, kMeanSquares,
                   by_name.size() - data.sites.size(), data.sites.size());
  return data;
}

Result<ImportanceData> read_importance(const std::filesystem::path& path) {
  CADRE_TRY(const MappedFile file, MappedFile::open(path));
  return parse_importance(file.bytes(), path.string());
}

}  // namespace cadre
