#include "cadre/quant/quantize.h"

#include <algorithm>
#include <chrono>

#include "cadre/base/file.h"
#include "cadre/base/units.h"
#include "cadre/formats/safetensors_writer.h"
#include "cadre/quant/compensator.h"
#include "cadre/quant/partial_run.h"
#include "cadre/quant/tensor_encoder.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;

constexpr int kFormatVersion = 1;  // of the manifest and the quantization_config
/// Work that a loss of power may cost, in bytes of output.
constexpr int64_t kRecordBytes = int64_t{256} << 20;
constexpr int64_t kSmallFileBytes = int64_t{64} << 20;
/// An entry of a safetensors header with that of the padding behind it, generously.
constexpr int64_t kHeaderBytesPerTensor = 512;

/// Weights [begin, end) of the plan, in one file.
struct Shard {
  size_t begin = 0;
  size_t end = 0;
  std::string file;
};

/// Whether a file may begin with this weight: not in the middle of an expert, which is read at once.
bool may_begin_file(const PlannedWeight& weight) {
  return weight.role != WeightRole::kRoutedExpert || weight.short_name.ends_with(".gate");
}

std::vector<Shard> make_shards(const QuantPlan& plan, int64_t limit) {
  std::vector<Shard> shards;
  int64_t bytes = 0;
  for (size_t i = 0; i < plan.weights.size();) {
    size_t end = i + 1;
    while (end < plan.weights.size() && !may_begin_file(plan.weights[end])) ++end;
    int64_t together = 0;
    for (size_t j = i; j < end; ++j) together += align_up(plan.weights[j].bytes(), kPageAlignment);
    if (shards.empty() || bytes + together > limit) {
      shards.push_back({.begin = i});
      bytes = 0;
    }
    bytes += together;
    shards.back().end = end;
    i = end;
  }
  for (size_t i = 0; i < shards.size(); ++i)
    shards[i].file = shards.size() == 1
                         ? "model.safetensors"
                         : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
  return shards;
}

std::vector<TensorSpec> specs_of(const QuantPlan& plan, const Shard& shard) {
  std::vector<TensorSpec> specs;
  for (size_t i = shard.begin; i < shard.end; ++i)
    specs.push_back({plan.weights[i].name, plan.weights[i].type, plan.weights[i].shape});
  return specs;
}

/// Files of the source that the output depends on: name, bytes and time of change of each.
Result<Json> source_identity(const fs::path& in) {
  std::error_code error;
  std::vector<fs::path> files;
  if (fs::is_directory(in, error)) {
    for (const auto& entry : fs::directory_iterator(in, error))
      if (entry.is_regular_file(error)) files.push_back(entry.path());
  } else {
    files.push_back(in);
  }
  std::sort(files.begin(), files.end());
  Json list = Json::array();
  for (const fs::path& file : files) {
    const auto bytes = fs::file_size(file, error);
    const auto changed = error ? fs::file_time_type() : fs::last_write_time(file, error);
    if (error) return fail(ErrorKind::kIo, "{}: cannot look at it: {}", file.string(), error.message());
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(changed.time_since_epoch()).count();
    list.push_back({{"name", file.filename().string()}, {"bytes", bytes}, {"changed_ns", ns}});
  }
  return list;
}

Json rules_json(const QuantPlanOptions& plan) {
  Json rules = Json::array();
  for (const QuantRule& rule : plan.rules)
    rules.push_back(fmt::format("{}={}", rule.pattern, weight_type_name(rule.type)));
  return rules;
}

Result<Json> manifest_of(const fs::path& in, const QuantizeOptions& options) {
  CADRE_TRY(Json files, source_identity(in));
  std::error_code ignored;
  return Json{{"version", kFormatVersion},
              {"source", fs::weakly_canonical(in, ignored).string()},
              {"files", std::move(files)},
              {"preset", weight_type_name(options.plan.preset)},
              {"pure", options.plan.pure},
              {"rules", rules_json(options.plan)},
              {"importance", options.importance == nullptr ? "" : options.importance->identity()},
              {"gptq", options.gptq == nullptr ? "" : options.gptq->identity},
              {"shard_bytes", options.shard_bytes}};
}

Result<Json> written_config(const QuantSource& source, const QuantPlan& plan,
                            const QuantizeOptions& options) {
  CADRE_TRY(Json config, read_checkpoint_config(source.checkpoint().path()));
  if (std::holds_alternative<MlaConfig>(source.target().attention)) config["cadre_split_kv_b"] = true;
  config["quantization_config"] = {{"quant_method", "cadre"},
                                   {"version", kFormatVersion},
                                   {"preset", weight_type_name(options.plan.preset)},
                                   {"pure", options.plan.pure},
                                   {"rules", rules_json(options.plan)},
                                   {"importance", options.importance != nullptr},
                                   {"gptq", options.gptq != nullptr},
                                   {"bits_per_weight", plan.bits_per_weight()}};
  return config;
}

/// Files beside the weights that belong to a model: tokenizer, template, licence. Not training.json, from
/// which a run of training goes on.
bool is_small_file(const fs::path& path) {
  const std::string name = path.filename().string();
  if (name == "config.json" || name == "training.json" || name.ends_with(".index.json") ||
      name.starts_with("."))
    return false;
  for (const char* extension : {".json", ".jinja", ".txt", ".model", ".md"})
    if (path.extension() == extension) return true;
  return name.starts_with("LICENSE") || name.starts_with("NOTICE");
}

Status copy_small_files(const fs::path& in, const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(in, error)) return {};
  for (const auto& entry : fs::directory_iterator(in, error)) {
    if (!entry.is_regular_file(error) || !is_small_file(entry.path())) continue;
    if (static_cast<int64_t>(entry.file_size(error)) > kSmallFileBytes) continue;
    CADRE_TRY(const std::string text, read_text_file(entry.path()));
    CADRE_CHECK_OK(write_text_file(folder / entry.path().filename(), text));
  }
  return {};
}

Status write_index(const QuantPlan& plan, const std::vector<Shard>& shards, const fs::path& folder) {
  if (shards.size() == 1) return {};
  Json index = {{"metadata", {{"total_size", plan.bytes()}}}, {"weight_map", Json::object()}};
  for (const Shard& shard : shards)
    for (size_t i = shard.begin; i < shard.end; ++i) index["weight_map"][plan.weights[i].name] = shard.file;
  return write_text_file(folder / "model.safetensors.index.json", dump_json(index, 1) + "\n");
}

Status check_disk(const fs::path& out, const QuantPlan& plan, int64_t there) {
  int64_t needed = kSmallFileBytes;
  for (const PlannedWeight& weight : plan.weights)
    needed += align_up(weight.bytes(), kPageAlignment) + kHeaderBytesPerTensor;
  needed = std::max(int64_t{0}, needed - there);
  CADRE_TRY(const uint64_t free, free_disk_bytes(out));
  if (free < static_cast<uint64_t>(needed))
    return fail(ErrorKind::kTooLarge, "{}: the model needs {}, the disk has {} free", out.string(),
                format_bytes(static_cast<double>(needed)), format_bytes(static_cast<double>(free)));
  return {};
}

/// Writes the tensors of a plan that are not there yet.
class Writing {
 public:
  /// `compensator` may be null.
  Writing(const QuantSource& source, const QuantPlan& plan, const QuantizeOptions& options,
          Compensator* compensator, PartialRun& run, QuantizeProgress progress)
      : source_(source),
        plan_(plan),
        compensator_(compensator),
        run_(run),
        progress_(progress),
        encoder_(options.threads, options.importance),
        total_bytes_(plan.bytes()) {
    for (size_t i = 0; i < static_cast<size_t>(run.finished()); ++i) done_bytes_ += plan.weights[i].bytes();
  }

  Status write(const Shard& shard) {
    const auto finished = static_cast<size_t>(run_.finished());
    const size_t next = std::clamp(finished, shard.begin, shard.end);
    CADRE_TRY(
        SafetensorsWriter writer,
        SafetensorsWriter::resume(
            run_.folder() / shard.file, specs_of(plan_, shard),
            {.metadata = {{"format", "pt"}}, .alignment = kPageAlignment, .tensor_alignment = kPageAlignment},
            next - shard.begin));
    int64_t unrecorded = 0;
    for (size_t i = next; i < shard.end; ++i) {
      if (Status status = write_weight(plan_.weights[i], writer); !status) {
        // What is finished is worth keeping, whatever went wrong after it.
        if (writer.flush()) CADRE_CHECK_OK(run_.record(static_cast<int64_t>(i)));
        return status;
      }
      unrecorded += plan_.weights[i].bytes();
      if (unrecorded < kRecordBytes) continue;
      CADRE_CHECK_OK(writer.flush());
      CADRE_CHECK_OK(run_.record(static_cast<int64_t>(i) + 1));
      unrecorded = 0;
    }
    CADRE_CHECK_OK(writer.finish());
    return run_.record(static_cast<int64_t>(std::max(finished, shard.end)));
  }

 private:
  Status write_weight(const PlannedWeight& weight, SafetensorsWriter& writer) {
    Status status =
        encoder_.encode(source_.rows(weight), weight, compensator_, [&](std::span<const std::byte> bytes) {
          done_bytes_ += static_cast<int64_t>(bytes.size());
          progress_(done_bytes_, total_bytes_);
          return writer.write(weight.name, bytes);
        });
    if (!status && status.error().kind == ErrorKind::kInvalid)
      return invalid("{}: {}", source_.where(weight), status.error().message);
    return status;
  }

  const QuantSource& source_;
  const QuantPlan& plan_;
  Compensator* compensator_;
  PartialRun& run_;
  QuantizeProgress progress_;
  TensorEncoder encoder_;
  int64_t total_bytes_;
  int64_t done_bytes_ = 0;
};

Status check_resumed(const PartialRun& run, const QuantPlan& plan) {
  const auto tensors = static_cast<int64_t>(plan.weights.size());
  if (run.finished() <= tensors) return {};
  return invalid("{}: at most {} finished tensors expected, {} found; --restart discards them",
                 run.folder().string(), tensors, run.finished());
}

/// How many packed matrices of a plan importances can help.
struct ImportanceUse {
  int64_t packed = 0;
  int64_t without = 0;
  std::string first_without;
};

ImportanceUse use_of(const ColumnImportance& importance, const QuantPlan& plan) {
  ImportanceUse use;
  for (const PlannedWeight& weight : plan.weights) {
    if (!is_packed(weight.type)) continue;
    ++use.packed;
    if (!importance.of_row(weight.name, 0, weight.shape[0]).empty()) continue;
    if (use.without++ == 0) use.first_without = weight.short_name;
  }
  return use;
}

Status check_importance(const ColumnImportance* importance, const QuantPlan& plan) {
  if (importance == nullptr) return {};
  const ImportanceUse use = use_of(*importance, plan);
  if (use.packed > use.without) return {};
  return fail(
      ErrorKind::kUsage,
      "importances: a matrix of a packed type that they know expected, none found among {} matrices of "
      "such types: they would change nothing",
      use.packed);
}

Status check_options(const QuantizeOptions& options) {
  if (options.shard_bytes >= 1) return {};
  return fail(ErrorKind::kUsage, "size of a file: at least 1 byte expected, {} found", options.shard_bytes);
}

}  // namespace

std::vector<std::string> quantize_notes(const QuantSource& source, const QuantPlan& plan,
                                        const ColumnImportance* importance) {
  std::vector<std::string> notes;
  int64_t fallen = 0;
  const PlannedWeight* first = nullptr;
  for (const PlannedWeight& weight : plan.weights) {
    if (weight.type == weight.wanted) continue;
    ++fallen;
    if (first == nullptr) first = &weight;
  }
  if (fallen > 0)
    notes.push_back(
        fmt::format("{} of {} matrices are bf16 instead, because 32 does not divide their rows: {} {}, ...",
                    fallen, plan.weights.size(), first->short_name, to_string(first->shape)));
  if (importance != nullptr) {
    if (const ImportanceUse use = use_of(*importance, plan); use.without > 0)
      notes.push_back(
          fmt::format("{} of {} packed matrices have no importances and are rounded without: {}, ...",
                      use.without, use.packed, use.first_without));
    for (std::string& note : importance->notes()) notes.push_back(std::move(note));
  }
  if (source.unused_bytes() > 0)
    notes.push_back(fmt::format("{} of tensors that the model does not use are left out",
                                format_bytes(static_cast<double>(source.unused_bytes()))));
  if (source.checkpoint().gguf() != nullptr)
    notes.emplace_back(
        "no tokenizer is written: `cadre convert` makes a directory with one out of the GGUF file");
  return notes;
}

Result<QuantizeReport> quantize_model(const fs::path& in, const fs::path& out, const QuantizeOptions& options,
                                      QuantizeProgress progress) {
  CADRE_CHECK_OK(check_options(options));
  CADRE_CHECK_OK(check_output(in, out, options.force));
  CADRE_TRY(const QuantSource source, QuantSource::open(in));
  if (!options.requantize) CADRE_CHECK_OK(source.check_not_quantised());
  CADRE_TRY(const QuantPlan plan, plan_quantisation(source.family(), source.target(), options.plan));
  CADRE_CHECK_OK(check_importance(options.importance, plan));
  CADRE_TRY(const Json config, written_config(source, plan, options));
  std::optional<Compensator> compensator;
  if (options.gptq != nullptr) {
    CADRE_TRY(compensator,
              Compensator::create(source, *options.gptq, {.threads = options.threads, .isa = options.isa}));
  }
  CADRE_TRY(const Json manifest, manifest_of(in, options));
  const std::vector<Shard> shards = make_shards(plan, options.shard_bytes);

  CADRE_TRY(PartialRun run, PartialRun::open(out, manifest, options.restart));
  CADRE_CHECK_OK(check_resumed(run, plan));
  const int64_t resumed = run.finished();
  if (Status status = check_disk(out, plan, run.bytes()); !status) {
    if (resumed == 0) run.discard();
    return tl::unexpected(status.error());
  }
  Writing writing(source, plan, options, compensator ? &*compensator : nullptr, run, progress);
  for (const Shard& shard : shards) {
    if (Status status = writing.write(shard); !status) {
      if (run.finished() == 0) run.discard();
      return tl::unexpected(status.error());
    }
  }
  CADRE_CHECK_OK(copy_small_files(in, run.folder()));
  CADRE_CHECK_OK(write_index(plan, shards, run.folder()));
  CADRE_CHECK_OK(write_text_file(run.folder() / "config.json", dump_json(config, 2) + "\n"));
  CADRE_CHECK_OK(run.commit());
  std::vector<std::string> notes = quantize_notes(source, plan, options.importance);
  if (compensator) notes.insert(notes.end(), compensator->notes().begin(), compensator->notes().end());
  return QuantizeReport{.tensors = static_cast<int64_t>(plan.weights.size()),
                        .parameters = plan.parameters(),
                        .bytes = plan.bytes(),
                        .source_bytes = source.checkpoint().stored_bytes(),
                        .files = static_cast<int64_t>(shards.size()),
                        .resumed_tensors = resumed,
                        .notes = std::move(notes)};
}

}  // namespace cadre
