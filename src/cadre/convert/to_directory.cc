// One GGUF file to a Hugging Face directory.
#include <algorithm>
#include <map>

#include "cadre/base/file.h"
#include "cadre/convert/convert.h"
#include "cadre/convert/gguf_tokenizer.h"
#include "cadre/formats/safetensors_writer.h"
#include "cadre/runtime/model.h"
#include "cadre/tensor/convert.h"
#include "cadre/tensor/repack.h"

namespace cadre {
namespace {

using convert::Notes;
namespace fs = std::filesystem;

bool is_plain_float(DType type) { return type == DType::kF32 || type == DType::kBF16 || type == DType::kF16; }

/// Whether every value of `w` is one of the narrow `type`.
bool fits(const Weight& w, DType type) {
  std::vector<float> row(static_cast<size_t>(w.cols));
  for (int64_t r = 0; r < w.rows; ++r) {
    decode_weight_row(w, r, row.data());
    for (const float value : row) {
      const float narrow = type == DType::kBF16 ? round_to_bf16(value) : f16_to_f32(f32_to_f16(value));
      if (narrow != value) return false;
    }
  }
  return true;
}

/// The types that kNarrowTensorsKey lists.
Result<std::map<std::string, DType, std::less<>>> narrow_types(const GgufFile& file) {
  std::map<std::string, DType, std::less<>> types;
  if (!file.has(kNarrowTensorsKey)) return types;
  CADRE_TRY(const std::vector<std::string_view> entries, file.strings(kNarrowTensorsKey));
  for (const std::string_view entry : entries) {
    const size_t split = entry.rfind('=');
    const std::optional<DType> type =
        split == entry.npos ? std::nullopt : dtype_from_name(entry.substr(split + 1));
    if (type != DType::kBF16 && type != DType::kF16)
      return invalid("{}: key '{}': expected entries NAME=BF16 or NAME=F16, found '{}'", file.path().string(),
                     kNarrowTensorsKey, shown(entry));
    types.emplace(std::string(entry.substr(0, split)), *type);
  }
  return types;
}

class DirectoryPlanner {
 public:
  DirectoryPlanner(const Model& model, std::map<std::string, DType, std::less<>> narrow,
                   const ConvertOptions& options, Notes& notes)
      : model_(model), narrow_(std::move(narrow)), options_(options), notes_(notes) {
    merge_ = can_merge();
  }

  /// Whether the two halves of kv_b_proj are joined again, as every other program expects them.
  bool merges_kv_b() const { return merge_; }

  Status add(const WeightSlot& slot) {
    if (slot.vector != nullptr) {
      add_plain(slot.name, slot.shape, convert::as_row(*slot.vector));
      return {};
    }
    const Weight& w = *slot.matrix;
    if (slot.role == WeightRole::kRouter && is_plain_float(w.dtype)) {
      add_plain(slot.name, slot.shape, w);
      return {};
    }
    if (merge_ && slot.name.ends_with(".k_b_proj.weight")) {
      keys_ = w;
      return {};
    }
    if (merge_ && slot.name.ends_with(".v_b_proj.weight")) return add_merged(slot);
    CADRE_TRY(const DType type, choose_type(slot.name, w.dtype));
    tensors_.push_back({.spec = {slot.name, type, slot.shape},
                        .parts = {TensorPart::whole(w, row_order(slot.name), head_dim())}});
    return {};
  }

  const std::vector<PlannedTensor>& tensors() const { return tensors_; }

  bool has_packed() const {
    return std::any_of(tensors_.begin(), tensors_.end(),
                       [](const PlannedTensor& tensor) { return is_packed(tensor.spec.dtype); });
  }

  /// config.json's "torch_dtype": of the plain matrices.
  const char* torch_dtype() const {
    for (const PlannedTensor& tensor : tensors_) {
      if (tensor.spec.shape.size() < 2) continue;
      if (tensor.spec.dtype == DType::kBF16) return "bfloat16";
      if (tensor.spec.dtype == DType::kF16) return "float16";
    }
    return "float32";
  }

 private:
  /// One field of config.json says it for all layers, so all must be of types that transpose without a
  /// change.
  bool can_merge() const {
    const auto* mla = std::get_if<MlaConfig>(&model_.config().attention);
    if (mla == nullptr || !mla->split_kv_b) return false;
    return std::all_of(
        model_.transformer().blocks.begin(), model_.transformer().blocks.end(),
        [](const Block& block) { return is_plain_float(std::get<Mla>(block.attention).k_b_proj.dtype); });
  }

  Result<DType> choose_type(const std::string& tensor, DType from) {
    const std::optional<DType> twin = packed_twin(from);
    const bool rounded = !twin && !is_plain_float(from);
    const DType own = twin ? *twin : rounded ? DType::kBF16 : from;
    return convert::choose_type(from, own, rounded, options_, model_.checkpoint().where(tensor), notes_);
  }

  /// A tensor that GGUF holds as F32 whatever it was: in the narrow type that is listed for it, if that still
  /// holds its values.
  void add_plain(const std::string& name, const Shape& shape, const Weight& w) {
    const auto listed = narrow_.find(name);
    const DType type = w.dtype == DType::kF32 && listed != narrow_.end() && fits(w, listed->second)
                           ? listed->second
                           : w.dtype;
    tensors_.push_back({.spec = {name, type, shape}, .parts = {TensorPart::whole(w)}});
  }

  Status add_merged(const WeightSlot& slot) {
    const auto& mla = std::get<MlaConfig>(model_.config().attention);
    const Weight& values = *slot.matrix;
    const DType joint = keys_.dtype == values.dtype ? keys_.dtype : DType::kF32;
    CADRE_TRY(const DType type, choose_type(slot.name, joint));
    if (joint != values.dtype && !is_plain_float(values.dtype))
      notes_.count(values.dtype, "attention values join the keys in F32, the same values");
    const std::string prefix =
        slot.name.substr(0, slot.name.size() - std::string_view("v_b_proj.weight").size());
    PlannedTensor tensor{
        .spec = {prefix + "kv_b_proj.weight",
                 type,
                 {mla.num_attention_heads * (mla.qk_nope_head_dim + mla.v_head_dim), mla.kv_lora_rank}},
        .parts = {}};
    for (int64_t head = 0; head < mla.num_attention_heads; ++head) {
      tensor.parts.push_back(
          {keys_, head * mla.kv_lora_rank, mla.kv_lora_rank, TensorPart::Order::kTransposed});
      tensor.parts.push_back({values, head * mla.v_head_dim, mla.v_head_dim});
    }
    tensors_.push_back(std::move(tensor));
    return {};
  }

  /// Hugging Face's Llama has rotary halves.
  TensorPart::Order row_order(std::string_view name) const {
    const bool turns =
        name.ends_with(".self_attn.q_proj.weight") || name.ends_with(".self_attn.k_proj.weight");
    return turns && head_dim() > 0 ? TensorPart::Order::kPairsToHalves : TensorPart::Order::kRows;
  }
  int64_t head_dim() const {
    const auto* gqa = std::get_if<GqaConfig>(&model_.config().attention);
    return gqa == nullptr ? 0 : gqa->head_dim;
  }

  const Model& model_;
  std::map<std::string, DType, std::less<>> narrow_;
  const ConvertOptions& options_;
  Notes& notes_;
  bool merge_ = false;
  Weight keys_;  ///< of the layer under way, until its values come
  std::vector<PlannedTensor> tensors_;
};

/// The configuration that the written tensors need, from the one that stands for the GGUF file.
Result<Json> written_config(const Model& model, const DirectoryPlanner& planner) {
  CADRE_TRY(Json config, read_checkpoint_config(model.checkpoint().path()));
  const bool llama = model.config().model_type == "llama";
  config["architectures"] = {llama ? "LlamaForCausalLM" : "DeepseekV3ForCausalLM"};
  config["torch_dtype"] = planner.torch_dtype();
  config["hidden_act"] = "silu";
  if (planner.has_packed()) config["quantization_config"] = {{"quant_method", "cadre"}};
  if (llama) {
    config.erase("cadre_rope_interleaved");
  } else {
    config["num_key_value_heads"] = config["num_attention_heads"];
    if (planner.merges_kv_b() || !config.value("cadre_split_kv_b", false)) config.erase("cadre_split_kv_b");
  }
  CADRE_TRY(const int64_t end_of_turn,
            model.checkpoint().gguf()->integer_or("tokenizer.ggml.eot_token_id", -1, 0, INT32_MAX));
  if (end_of_turn >= 0 && config.contains("eos_token_id") && config["eos_token_id"] != end_of_turn)
    config["eos_token_id"] = Json::array({config["eos_token_id"], end_of_turn});
  return config;
}

/// Everything but the weights.
Status write_small_files(const fs::path& folder, const Json& config, const convert::TokenizerFiles& files) {
  const auto write = [&](const char* name, const Json& json, int indent) {
    return write_text_file(folder / name, dump_json(json, indent) + "\n");
  };
  CADRE_CHECK_OK(write("config.json", config, 2));
  Json generation = Json::object();
  for (const char* key : {"bos_token_id", "eos_token_id"})
    if (config.contains(key)) generation[key] = config[key];
  CADRE_CHECK_OK(write("generation_config.json", generation, 2));
  if (files.tokenizer.is_null()) return {};
  CADRE_CHECK_OK(write("tokenizer.json", files.tokenizer, 1));
  return write("tokenizer_config.json", files.config, 2);
}

/// Where the folder is made: `out`, or beside it when that is to be replaced.
Result<fs::path> check_output(const fs::path& in, const fs::path& out, const ConvertOptions& options) {
  std::error_code ignored;
  if (!fs::exists(out, ignored) || (fs::is_directory(out, ignored) && fs::is_empty(out, ignored))) return out;
  if (!options.force) return fail(ErrorKind::kUsage, "{}: exists; --force replaces it", out.string());
  if (!fs::exists(out / "config.json", ignored))
    return fail(ErrorKind::kUsage, "{}: --force replaces a model directory only, and here is no config.json",
                out.string());
  const fs::path folder = fs::weakly_canonical(out, ignored);
  const auto inside = fs::weakly_canonical(in, ignored).lexically_relative(folder);
  if (!inside.empty() && *inside.begin() != "..")
    return fail(ErrorKind::kUsage, "{}: holds the model that is to be converted", out.string());
  return fs::path(folder.string() + ".new");
}

/// Puts the finished folder `made` where `out` is.
Status replace_folder(const fs::path& made, const fs::path& out) {
  if (made == out) return {};
  std::error_code failure;
  const fs::path folder = fs::weakly_canonical(out, failure);
  const fs::path old = folder.string() + ".old";
  fs::rename(folder, old, failure);
  if (!failure) fs::rename(made, folder, failure);
  if (!failure) fs::remove_all(old, failure);
  if (failure)
    return fail(ErrorKind::kIo, "{}: cannot be replaced by {}: {}", folder.string(), made.string(),
                failure.message());
  return {};
}

}  // namespace

Result<ConvertReport> convert_to_directory(const fs::path& in, const fs::path& out,
                                           const ConvertOptions& options, ConvertProgress progress) {
  CADRE_TRY(const fs::path target, check_output(in, out, options));
  CADRE_TRY(const Model model, Model::load(in));
  const GgufFile* file = model.checkpoint().gguf();
  if (file == nullptr) return fail(ErrorKind::kUsage, "{}: expected a .gguf file", in.string());
  CADRE_TRY(auto narrow, narrow_types(*file));
  CADRE_TRY(const convert::TokenizerFiles files, convert::tokenizer_files(*file));

  Notes notes;
  if (files.tokenizer.is_null())
    notes.add("the GGUF file has no tokenizer, and the directory will have none");
  DirectoryPlanner planner(model, std::move(narrow), options, notes);
  Transformer weights = model.transformer();
  Status status;
  model.checkpoint().visit_weights(weights, [&](const WeightSlot& slot) {
    if (status) status = planner.add(slot);
  });
  CADRE_CHECK_OK(std::move(status));
  CADRE_TRY(const Json config, written_config(model, planner));

  std::vector<TensorSpec> specs;
  for (const PlannedTensor& tensor : planner.tensors()) specs.push_back(tensor.spec);
  CADRE_TRY(AtomicFolder folder, AtomicFolder::create(target));
  CADRE_TRY(
      SafetensorsWriter writer,
      SafetensorsWriter::create(
          folder.temporary() / "model.safetensors", specs,
          {.metadata = {{"format", "pt"}}, .alignment = kPageAlignment, .tensor_alignment = kPageAlignment}));
  CADRE_CHECK_OK(make_tensors(
      planner.tensors(), options.threads,
      [&](std::string_view name, std::span<const std::byte> bytes) { return writer.write(name, bytes); },
      progress));
  CADRE_CHECK_OK(writer.finish());
  CADRE_CHECK_OK(write_small_files(folder.temporary(), config, files));
  CADRE_CHECK_OK(folder.commit());
  CADRE_CHECK_OK(replace_folder(target, out));
  return ConvertReport{static_cast<int64_t>(specs.size()), total_bytes(planner.tensors()), notes.list()};
}

}  // namespace cadre
