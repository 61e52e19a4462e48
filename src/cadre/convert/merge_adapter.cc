#include "cadre/convert/merge_adapter.h"

#include <system_error>
#include <unordered_map>

#include "cadre/base/file.h"
#include "cadre/formats/safetensors_writer.h"
#include "cadre/runtime/model.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;

/// A stored tensor seen as rows of its last dimension.
Weight as_rows(const StoredTensor& stored) {
  const int64_t cols = stored.shape.empty() ? 1 : stored.shape.back();
  const int64_t rows = element_count(stored.shape) / std::max<int64_t>(cols, 1);
  return {.data = stored.bytes.data(),
          .dtype = stored.dtype,
          .rows = rows,
          .cols = cols,
          .row_bytes = row_bytes(stored.dtype, cols)};
}

/// Every tensor of the checkpoint, the adapted ones from `model`.
Result<std::vector<PlannedTensor>> plan_tensors(const SafetensorsSet& stored, const Model& model) {
  std::unordered_map<std::string, Weight> adapted;
  Transformer views = model.transformer();  // the visitor wants to bind
  model.checkpoint().visit_weights(views, [&](const WeightSlot& slot) {
    if (slot.matrix == nullptr) return;
    const auto found = model.checkpoint().find(slot.name);
    if (found && *found && slot.matrix->data != (*found)->bytes.data())
      adapted.emplace(slot.name, *slot.matrix);
  });
  std::vector<PlannedTensor> tensors;
  for (const SafetensorsSet::Entry& entry : stored.entries()) {
    const auto found = adapted.find(std::string(entry.name));
    const DType type = entry.tensor->dtype;
    if (found != adapted.end() && type != DType::kF32 && type != DType::kBF16 && type != DType::kF16)
      return invalid(
          "{}: tensor '{}': F32, BF16 or F16 expected of a matrix that is to be merged, {} found; "
          "merge first, then quantize",
          stored.file_of(entry.name), entry.name, name(type));
    if (is_packed(type))
      return invalid(
          "{}: tensor '{}': a model without packed tensors expected, {} found; merge first, then "
          "quantize",
          stored.file_of(entry.name), entry.name, name(type));
    const Weight source = found != adapted.end() ? found->second : as_rows(*entry.tensor);
    tensors.push_back(
        {.spec = {std::string(entry.name), type, entry.tensor->shape}, .parts = {TensorPart::whole(source)}});
  }
  return tensors;
}

/// Everything beside the weights.
Status copy_small_files(const fs::path& in, const fs::path& to) {
  std::error_code error;
  for (fs::directory_iterator entry(in, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    const fs::path& path = entry->path();
    const bool weights =
        path.extension() == ".safetensors" || path.string().ends_with(".safetensors.index.json");
    if (weights || !entry->is_regular_file()) continue;
    fs::copy_file(path, to / path.filename(), error);
    if (error) break;
  }
  if (error) return fail(ErrorKind::kIo, "{}: cannot be copied: {}", in.string(), error.message());
  return {};
}

}  // namespace

Result<ConvertReport> merge_adapter(const fs::path& in, const fs::path& adapter, const fs::path& out,
                                    int threads, ConvertProgress progress) {
  if (!fs::is_directory(in))
    return fail(ErrorKind::kUsage,
                "{}: a model directory expected; an adapter is merged before a model becomes "
                "a GGUF file",
                in.string());
  CADRE_TRY(const Model model, Model::load(in, {.threads = threads, .lora = adapter}));
  CADRE_TRY(const SafetensorsSet stored, SafetensorsSet::open(in));
  CADRE_TRY(const std::vector<PlannedTensor> tensors, plan_tensors(stored, model));
  std::vector<TensorSpec> specs;
  specs.reserve(tensors.size());
  for (const PlannedTensor& tensor : tensors) specs.push_back(tensor.spec);
  CADRE_TRY(AtomicFolder folder, AtomicFolder::create(out));
  CADRE_CHECK_OK(copy_small_files(in, folder.temporary()));
  CADRE_TRY(
      SafetensorsWriter writer,
      SafetensorsWriter::create(
          folder.temporary() / "model.safetensors", specs,
          {.metadata = {{"format", "pt"}}, .alignment = kPageAlignment, .tensor_alignment = kPageAlignment}));
  CADRE_CHECK_OK(make_tensors(
      tensors, threads,
      [&](std::string_view name, std::span<const std::byte> bytes) { return writer.write(name, bytes); },
      progress));
  CADRE_CHECK_OK(writer.finish());
  CADRE_CHECK_OK(folder.commit());
  return ConvertReport{static_cast<int64_t>(specs.size()), total_bytes(tensors), {}};
}

}  // namespace cadre
