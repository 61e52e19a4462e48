#include "cadre/train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <system_error>

#include "cadre/base/file.h"
#include "cadre/formats/safetensors.h"
#include "cadre/formats/safetensors_writer.h"

namespace cadre::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "step-";
constexpr int kVersion = 1;
constexpr const char* kWeightsFile = "model.safetensors";
constexpr const char* kOptimiserFile = "optimiser.safetensors";
constexpr const char* kStateFile = "training.json";

/// Values under the names of a file.
struct FileTensor {
  std::string name;
  Shape shape;
  Tensor values;
};

std::vector<FileTensor> weights_of(const TrainableModel& model) {
  std::vector<FileTensor> result;
  const std::span<const Parameter> tensors =
      model.adapters() != nullptr ? model.parameters() : model.tensors();
  for (const Parameter& tensor : tensors) result.push_back({tensor.name, tensor.shape, tensor.value});
  return result;
}

const char* weights_file(const TrainableModel& model) {
  return model.adapters() != nullptr ? kLoraWeightsFile : kWeightsFile;
}

std::vector<FileTensor> state_of(const Optimiser& optimiser) {
  std::vector<FileTensor> result;
  for (const StateTensor& tensor : optimiser.state())
    result.push_back({tensor.name, {tensor.values.rows, tensor.values.width}, tensor.values});
  return result;
}

std::span<std::byte> bytes_of(const Tensor& values) {
  return std::as_writable_bytes(std::span(values.data, static_cast<size_t>(values.rows * values.width)));
}

Status write_tensors(const fs::path& path, const std::vector<FileTensor>& tensors) {
  std::vector<TensorSpec> specs;
  specs.reserve(tensors.size());
  for (const FileTensor& tensor : tensors)
    specs.push_back({.name = tensor.name, .dtype = DType::kF32, .shape = tensor.shape});
  CADRE_TRY(SafetensorsWriter writer,
            SafetensorsWriter::create(path, specs, {.metadata = {{"format", "pt"}}}));
  for (const FileTensor& tensor : tensors) CADRE_CHECK_OK(writer.write(tensor.name, bytes_of(tensor.values)));
  return writer.finish();
}

Status read_tensors(const fs::path& path, const std::vector<FileTensor>& tensors) {
  CADRE_TRY(const SafetensorsFile file, SafetensorsFile::open(path));
  for (const FileTensor& tensor : tensors) {
    CADRE_TRY(const StoredTensor stored, file.tensor(tensor.name));
    if (stored.dtype != DType::kF32 || stored.shape != tensor.shape)
      return invalid("{}: tensor '{}': F32 {} expected, {} {} found", path.string(), tensor.name,
                     to_string(tensor.shape), name(stored.dtype), to_string(stored.shape));
    std::memcpy(bytes_of(tensor.values).data(), stored.bytes.data(), stored.bytes.size());
  }
  return {};
}

const char* name_of(Compute compute) { return compute == Compute::kBF16 ? "bf16" : "f32"; }

Json state_json(const RunIdentity& identity, const RunState& state, int64_t optimiser_steps) {
  Json json{{"version", kVersion},
            {"step", state.step},
            {"tokens", state.tokens},
            {"log_bytes", state.log_bytes},
            {"optimiser_steps", optimiser_steps},
            {"seed", identity.seed},
            {"sequences", identity.sequences},
            {"length", identity.length},
            {"micro_sequences", identity.micro_sequences},
            {"compute", name_of(identity.compute)},
            {"best_step", state.best_step},
            {"routing", state.routing.to_json()}};
  if (state.best_loss) json["best_loss"] = *state.best_loss;
  return json;
}

Status copy_tokenizer(const fs::path& from, const fs::path& to) {
  for (const char* name :
       {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"}) {
    std::error_code error;
    if (!fs::exists(from / name, error)) continue;
    CADRE_TRY(const std::string text, read_text_file(from / name));
    CADRE_CHECK_OK(write_text_file(to / name, text));
  }
  return {};
}

/// Errors where the checkpoint's field is not what this run has.
template <typename T>
Status check_same(const JsonFields& fields, std::string_view key, const T& expected, const T& found) {
  if (found == expected) return {};
  return fields.error(key,
                      fmt::format("this run's configuration says {}, the checkpoint {}", expected, found));
}

Status check_same(const JsonFields& fields, std::string_view key, int64_t expected) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  CADRE_TRY(const int64_t found, fields.integer(key, 0, kMost));
  return check_same(fields, key, expected, found);
}

Status check_same(const JsonFields& fields, Compute expected) {
  // Checkpoints from before there was a choice do not say it.
  CADRE_TRY(const std::string found, fields.string_or("compute", "f32"));
  return check_same(fields, "compute", std::string(name_of(expected)), found);
}

Status check_architecture(const fs::path& path, const Json& expected) {
  CADRE_TRY(const Json found, read_json_file(path.string()));
  for (const auto& [key, value] : expected.items())
    if (!found.contains(key) || found[key] != value)
      return invalid("{}: field '{}': this run's architecture has {}, the checkpoint {}", path.string(), key,
                     describe_json(value), found.contains(key) ? describe_json(found[key]) : "nothing");
  return {};
}

/// Errors where a checkpoint's adapter is of another rank, scale or targets.
Status check_adapter(const fs::path& folder, const LoraConfig& expected) {
  const fs::path path = folder / kLoraConfigFile;
  CADRE_TRY(const Json json, read_json_file(path.string()));
  CADRE_TRY(const LoraConfig found, parse_lora_config(json, path.string()));
  const JsonFields fields(json, path.string());
  if (found.rank != expected.rank)
    return fields.error(
        "r", fmt::format("this run's configuration says {}, the checkpoint {}", expected.rank, found.rank));
  if (found.alpha != expected.alpha)
    return fields.error("lora_alpha", fmt::format("this run's configuration says {}, the checkpoint {}",
                                                  expected.alpha, found.alpha));
  if (found.targets != expected.targets)
    return fields.error("target_modules", "this run's configuration has others");
  return {};
}

}  // namespace

std::vector<CheckpointFolder> checkpoints(const fs::path& run) {
  std::vector<CheckpointFolder> result;
  std::error_code error;
  for (fs::directory_iterator entry(run, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(kPrefix) || !entry->is_directory(error)) continue;
    int64_t step = 0;
    const char* begin = name.data() + kPrefix.size();
    const char* end = name.data() + name.size();
    const auto parsed = std::from_chars(begin, end, step);
    // A folder under a temporary name is not a checkpoint.
    if (parsed.ec == std::errc() && parsed.ptr == end && step >= 0) result.push_back({step, entry->path()});
  }
  std::sort(result.begin(), result.end(),
            [](const CheckpointFolder& a, const CheckpointFolder& b) { return a.step < b.step; });
  return result;
}

Status write_checkpoint(const fs::path& run, const TrainableModel& model, const Optimiser& optimiser,
                        const RunIdentity& identity, const RunState& state, const fs::path& tokenizer) {
  CADRE_TRY(AtomicFolder folder, AtomicFolder::create(run / fmt::format("{}{:08}", kPrefix, state.step)));
  const fs::path& to = folder.temporary();
  CADRE_CHECK_OK(write_text_file(to / "config.json", dump_json(identity.architecture, 2) + "\n"));
  CADRE_CHECK_OK(
      write_text_file(to / kStateFile, dump_json(state_json(identity, state, optimiser.steps()), 1) + "\n"));
  if (!tokenizer.empty()) CADRE_CHECK_OK(copy_tokenizer(tokenizer, to));
  if (model.adapters() != nullptr) {
    const Json config = lora_config_json(model.adapters()->config(), identity.base_model);
    CADRE_CHECK_OK(write_text_file(to / kLoraConfigFile, dump_json(config, 2) + "\n"));
  }
  CADRE_CHECK_OK(write_tensors(to / weights_file(model), weights_of(model)));
  CADRE_CHECK_OK(write_tensors(to / kOptimiserFile, state_of(optimiser)));
  return folder.commit();
}

Result<RunState> read_checkpoint(const fs::path& folder, TrainableModel& model, Optimiser& optimiser,
                                 const RunIdentity& identity) {
  const fs::path path = folder / kStateFile;
  CADRE_TRY(const Json json, read_json_file(path.string()));
  if (!json.is_object())
    return invalid("{}: expected an object, found {}", path.string(), describe_json(json));
  const JsonFields fields(json, path.string());
  CADRE_CHECK_OK(check_same(fields, "version", kVersion));
  CADRE_CHECK_OK(check_same(fields, "seed", static_cast<int64_t>(identity.seed)));
  CADRE_CHECK_OK(check_same(fields, "sequences", identity.sequences));
  CADRE_CHECK_OK(check_same(fields, "length", identity.length));
  CADRE_CHECK_OK(check_same(fields, "micro_sequences", identity.micro_sequences));
  CADRE_CHECK_OK(check_same(fields, identity.compute));
  CADRE_CHECK_OK(check_architecture(folder / "config.json", identity.architecture));

  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  RunState state;
  CADRE_TRY(state.step, fields.integer("step", 0, kMost));
  CADRE_TRY(state.tokens, fields.integer("tokens", 0, kMost));
  CADRE_TRY(state.log_bytes, fields.integer("log_bytes", 0, kMost));
  CADRE_TRY(state.best_step, fields.integer("best_step", 0, kMost));
  if (fields.has("best_loss")) {
    CADRE_TRY(state.best_loss, fields.number("best_loss"));
  }
  if (!fields.has("routing")) return fields.error("routing", "expected an object, found nothing");
  CADRE_TRY(state.routing, RoutingRecord::from_json(*fields.find("routing"), path.string()));
  CADRE_TRY(const int64_t optimiser_steps, fields.integer("optimiser_steps", 0, kMost));
  optimiser.set_steps(optimiser_steps);
  if (model.adapters() != nullptr) CADRE_CHECK_OK(check_adapter(folder, model.adapters()->config()));
  CADRE_CHECK_OK(read_tensors(folder / weights_file(model), weights_of(model)));
  CADRE_CHECK_OK(read_tensors(folder / kOptimiserFile, state_of(optimiser)));
  return state;
}

Status remove_old_checkpoints(const fs::path& run, int64_t keep, int64_t best_step) {
  const std::vector<CheckpointFolder> all = checkpoints(run);
  const int64_t removable = static_cast<int64_t>(all.size()) - keep;
  for (int64_t i = 0; i < removable; ++i) {
    const CheckpointFolder& old = all[static_cast<size_t>(i)];
    if (old.step == best_step) continue;
    std::error_code error;
    fs::remove_all(old.path, error);
    if (error) return fail(ErrorKind::kIo, "{}: cannot remove: {}", old.path.string(), error.message());
  }
  return {};
}

}  // namespace cadre::train
