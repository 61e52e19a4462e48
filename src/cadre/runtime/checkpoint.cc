#include "cadre/runtime/checkpoint.h"

namespace cadre {
namespace {

bool is_gguf_path(const std::filesystem::path& path) { return path.extension() == ".gguf"; }

/// One expert's matrix out of a stack [E, out, in], or a stack per head [H, out, in] seen as [H * out, in].
Result<StoredTensor> as_matrix(StoredTensor tensor, int64_t expert, const std::string& where) {
  if (expert >= 0) {
    if (tensor.shape.size() != 3 || expert >= tensor.shape[0])
      return invalid("{}: a stack of more than {} matrices expected, shape {} found", where, expert,
                     to_string(tensor.shape));
    const size_t bytes = tensor.bytes.size() / static_cast<size_t>(tensor.shape[0]);
    tensor.bytes = tensor.bytes.subspan(bytes * static_cast<size_t>(expert), bytes);
    tensor.shape.erase(tensor.shape.begin());
  } else if (tensor.shape.size() == 3) {
    tensor.shape = {tensor.shape[0] * tensor.shape[1], tensor.shape[2]};
  }
  return tensor;
}

}  // namespace

Result<Checkpoint> Checkpoint::open(const std::filesystem::path& path) {
  Checkpoint checkpoint;
  checkpoint.path_ = path;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    return fail(ErrorKind::kNotFound, "{}: no such model", path.string());
  std::string origin;
  Json config;
  if (is_gguf_path(path)) {
    CADRE_TRY(checkpoint.gguf_, GgufFile::open(path));
    CADRE_TRY(const std::string architecture, checkpoint.gguf_->string("general.architecture"));
    CADRE_TRY(checkpoint.architecture_, find_gguf_architecture(architecture, path.string()));
    CADRE_TRY(config, checkpoint.architecture_->config(*checkpoint.gguf_));
    origin = path.string();
  } else {
    if (!std::filesystem::is_directory(path, ignored))
      return invalid("{}: expected a model directory or a .gguf file", path.string());
    origin = (path / "config.json").string();
    CADRE_TRY(config, read_json_file(origin));
  }
  CADRE_TRY(checkpoint.config_, read_model_config(config, origin));
  CADRE_TRY(checkpoint.family_, find_family(checkpoint.config_.model_type, origin));
  if (!checkpoint.gguf_) {
    CADRE_TRY(checkpoint.safetensors_, SafetensorsSet::open(path));
  }
  return checkpoint;
}

Result<Checkpoint> Checkpoint::in_memory(const std::string& name, const Json& config, MemoryTensors tensors) {
  Checkpoint checkpoint;
  checkpoint.path_ = name;
  CADRE_TRY(checkpoint.config_, read_model_config(config, name));
  CADRE_TRY(checkpoint.family_, find_family(checkpoint.config_.model_type, name));
  checkpoint.memory_ = std::move(tensors);
  return checkpoint;
}

Result<std::optional<StoredTensor>> Checkpoint::find(const std::string& name) const {
  if (memory_) {
    const auto found = memory_->tensors.find(name);
    return found == memory_->tensors.end() ? std::optional<StoredTensor>() : found->second;
  }
  if (!gguf_) {
    CADRE_TRY(const StoredTensor* tensor, safetensors_->find_aligned(name));
    return tensor == nullptr ? std::optional<StoredTensor>() : std::optional<StoredTensor>(*tensor);
  }
  const GgufArchitecture::Source source = architecture_->source(name);
  if (source.tensor.empty() || !gguf_->has_tensor(source.tensor)) return std::optional<StoredTensor>();
  CADRE_TRY(const StoredTensor whole, gguf_->tensor(source.tensor));
  CADRE_TRY(const StoredTensor matrix, as_matrix(whole, source.expert, where(name)));
  return std::optional<StoredTensor>(matrix);
}

std::string Checkpoint::where(const std::string& name) const {
  if (gguf_) {
    const GgufArchitecture::Source source = architecture_->source(name);
    return fmt::format("{}: tensor '{}'", path_.string(), source.tensor.empty() ? name : source.tensor);
  }
  if (memory_) return fmt::format("{}: tensor '{}'", path_.string(), name);
  return fmt::format("{}: tensor '{}'", safetensors_->file_of(name), name);
}

int64_t Checkpoint::stored_bytes() const {
  if (memory_) return memory_->memory.size();
  return gguf_ ? gguf_->tensor_bytes() : safetensors_->tensor_bytes();
}

void Checkpoint::map_resident() const {
  // A model made in memory has neither.
  if (gguf_)
    for (const MappedFile& file : gguf_->files()) file.map_resident();
  if (safetensors_)
    for (const SafetensorsFile& file : safetensors_->files()) file.map_resident();
}

Result<Json> read_checkpoint_config(const std::filesystem::path& path) {
  if (!is_gguf_path(path)) return read_json_file((path / "config.json").string());
  CADRE_TRY(const GgufFile file, GgufFile::open(path));
  CADRE_TRY(const std::string name, file.string("general.architecture"));
  CADRE_TRY(const GgufArchitecture* architecture, find_gguf_architecture(name, path.string()));
  return architecture->config(file);
}

}  // namespace cadre
