// A Hugging Face directory to one GGUF file.
#include <map>

#include "cadre/base/file.h"
#include "cadre/convert/convert.h"
#include "cadre/convert/gguf_tokenizer.h"
#include "cadre/formats/gguf_writer.h"
#include "cadre/runtime/model.h"
#include "cadre/tensor/repack.h"

namespace cadre {
namespace {

using convert::Notes;
namespace fs = std::filesystem;

/// GGUF's number for a file that is mostly of one type ("general.file_type").
uint32_t file_type(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return 0;
    case DType::kF16:
      return 1;
    case DType::kQ4_0:
      return 2;
    case DType::kQ8_0:
      return 7;
    case DType::kMXFP4:
      return 38;
    default:
      return 32;
  }
}

/// Turns the family's weights, one after the other, into the tensors of a GGUF file.
class GgufPlanner {
 public:
  GgufPlanner(const Model& model, const GgufArchitecture& architecture, const ConvertOptions& options,
              Notes& notes)
      : model_(model), architecture_(architecture), options_(options), notes_(notes) {}

  Status add(const WeightSlot& slot) {
    if (slot.vector != nullptr) return add_vector(slot);
    if (slot.name.ends_with(".kv_b_proj.weight")) return add_kv_b(slot);
    if (slot.role == WeightRole::kRouter) return add_router(slot);
    const GgufArchitecture::Source source = architecture_.source(slot.name);
    CADRE_TRY(const DType type, choose_type(slot));
    if (source.expert >= 0) return add_to_stack(slot, source, type);
    PlannedTensor tensor{.spec = {source.tensor, type, slot.shape},
                         .parts = {TensorPart::whole(*slot.matrix, row_order(slot.name), head_dim())}};
    // Split projections are a matrix per head.
    const bool keys = slot.name.ends_with(".k_b_proj.weight");
    if (keys || slot.name.ends_with(".v_b_proj.weight")) {
      const auto& mla = std::get<MlaConfig>(model_.config().attention);
      const int64_t heads = mla.num_attention_heads;
      tensor.spec.shape = {heads, slot.shape[0] / heads, slot.shape[1]};
    }
    return push(slot, std::move(tensor));
  }

  const std::vector<PlannedTensor>& tensors() const { return tensors_; }
  /// kNarrowTensorsKey.
  const std::vector<std::string>& narrow() const { return narrow_; }

  /// The type that most bytes are of.
  DType main_type() const {
    std::map<DType, int64_t> bytes;
    DType main = DType::kF32;
    for (const PlannedTensor& tensor : tensors_)
      bytes[tensor.spec.dtype] += stored_bytes(tensor.spec.dtype, tensor.spec.shape).value_or(0);
    for (const auto& [type, count] : bytes)
      if (count > bytes[main]) main = type;
    return main;
  }

 private:
  Result<DType> choose_type(const WeightSlot& slot) {
    const DType from = slot.matrix->dtype;
    const bool fp8 = from == DType::kF8E4M3;
    const DType own = fp8 ? DType::kBF16 : is_packed(from) ? row_twin(from) : from;
    return convert::choose_type(from, own, fp8, options_, model_.checkpoint().where(slot.name), notes_);
  }

  /// llama.cpp turns rotary pairs; a file with halves has its rows put in that order.
  TensorPart::Order row_order(std::string_view name) const {
    const bool turns =
        name.ends_with(".self_attn.q_proj.weight") || name.ends_with(".self_attn.k_proj.weight");
    const bool halves = head_dim() > 0 && !model_.config().rope.interleaved;
    return turns && halves ? TensorPart::Order::kHalvesToPairs : TensorPart::Order::kRows;
  }
  int64_t head_dim() const {
    const auto* gqa = std::get_if<GqaConfig>(&model_.config().attention);
    return gqa == nullptr ? 0 : gqa->head_dim;
  }

  Status push(const WeightSlot& slot, PlannedTensor tensor) {
    if (tensor.spec.name.empty())
      return invalid("{}: GGUF's '{}' has no tensor for it", model_.checkpoint().where(slot.name),
                     architecture_.name);
    tensors_.push_back(std::move(tensor));
    return {};
  }

  /// Readers of GGUF add and multiply vectors in F32.
  Status add_vector(const WeightSlot& slot) {
    CADRE_TRY(const std::optional<StoredTensor> stored, model_.checkpoint().find(slot.name));
    note_narrow(slot.name, stored->dtype);
    return push(slot, {.spec = {architecture_.source(slot.name).tensor, DType::kF32, slot.shape},
                       .parts = {TensorPart::whole(convert::as_row(*slot.vector))}});
  }

  Status add_router(const WeightSlot& slot) {
    note_narrow(slot.name, slot.matrix->dtype);
    return push(slot, {.spec = {architecture_.source(slot.name).tensor, DType::kF32, slot.shape},
                       .parts = {TensorPart::whole(*slot.matrix)}});
  }

  void note_narrow(const std::string& tensor, DType type) {
    if (type == DType::kBF16 || type == DType::kF16)
      narrow_.push_back(fmt::format("{}={}", tensor, name(type)));
  }

  /// Per head, the keys' part transposed [latent, nope], and the values' [v, latent] as it is.
  Status add_kv_b(const WeightSlot& slot) {
    const auto& mla = std::get<MlaConfig>(model_.config().attention);
    const int64_t heads = mla.num_attention_heads;
    const int64_t nope = mla.qk_nope_head_dim;
    const std::string prefix =
        slot.name.substr(0, slot.name.size() - std::string_view("kv_b_proj.weight").size());
    CADRE_TRY(const DType value_type, choose_type(slot));
    DType key_type = value_type;
    if (info(value_type).block_elements > 1) {
      key_type = DType::kF32;
      notes_.count(slot.matrix->dtype, "attention keys are stored transposed, so as F32, the same values");
    }
    PlannedTensor keys{.spec = {architecture_.source(prefix + "k_b_proj.weight").tensor,
                                key_type,
                                {heads, mla.kv_lora_rank, nope}},
                       .parts = {}};
    PlannedTensor values{.spec = {architecture_.source(prefix + "v_b_proj.weight").tensor,
                                  value_type,
                                  {heads, mla.v_head_dim, mla.kv_lora_rank}},
                         .parts = {}};
    for (int64_t head = 0; head < heads; ++head) {
      const int64_t first = head * (nope + mla.v_head_dim);
      keys.parts.push_back({*slot.matrix, first, nope, TensorPart::Order::kTransposed});
      values.parts.push_back({*slot.matrix, first + nope, mla.v_head_dim});
    }
    CADRE_CHECK_OK(push(slot, std::move(keys)));
    return push(slot, std::move(values));
  }

  Status add_to_stack(const WeightSlot& slot, const GgufArchitecture::Source& source, DType type) {
    const auto [at, is_new] = stacks_.emplace(source.tensor, tensors_.size());
    if (is_new)
      CADRE_CHECK_OK(
          push(slot, {.spec = {source.tensor, type, {0, slot.shape[0], slot.shape[1]}}, .parts = {}}));
    PlannedTensor& stack = tensors_[at->second];
    if (stack.spec.dtype != type)
      return invalid("{}: {} expected, as of the experts before it, {} found: GGUF stacks them in one tensor",
                     model_.checkpoint().where(slot.name), name(stack.spec.dtype), name(type));
    ++stack.spec.shape[0];
    stack.parts.push_back(TensorPart::whole(*slot.matrix));
    return {};
  }

  const Model& model_;
  const GgufArchitecture& architecture_;
  const ConvertOptions& options_;
  Notes& notes_;
  std::vector<PlannedTensor> tensors_;
  std::map<std::string, size_t> stacks_;  ///< name -> index of tensors_
  std::vector<std::string> narrow_;
};

Status check_output_file(const fs::path& in, const fs::path& out, const ConvertOptions& options) {
  std::error_code ignored;
  if (!fs::is_directory(in, ignored))
    return fail(ErrorKind::kUsage, "{}: expected a model directory to make {} of", in.string(), out.string());
  if (fs::is_directory(out, ignored))
    return fail(ErrorKind::kUsage, "{}: expected the name of a file, but a folder of that name exists",
                out.string());
  if (fs::exists(out, ignored) && !options.force)
    return fail(ErrorKind::kUsage, "{}: exists; --force replaces it", out.string());
  return {};
}

}  // namespace

Result<ConvertReport> convert_to_gguf(const fs::path& in, const fs::path& out, const ConvertOptions& options,
                                      ConvertProgress progress) {
  CADRE_CHECK_OK(check_output_file(in, out, options));
  CADRE_TRY(const Model model, Model::load(in));
  const ModelConfig& config = model.config();
  const std::string origin = (in / "config.json").string();
  CADRE_TRY(const Family* family, find_family(config.model_type, origin));
  if (family->gguf.empty())
    return invalid("{}: field 'model_type': GGUF has no architecture for '{}'", origin, config.model_type);
  CADRE_TRY(const GgufArchitecture* architecture, find_gguf_architecture(family->gguf, origin));

  Notes notes;
  GgufPlanner planner(model, *architecture, options, notes);
  Transformer weights = model.transformer();
  Status status;
  model.checkpoint().visit_weights(weights, [&](const WeightSlot& slot) {
    if (status) status = planner.add(slot);
  });
  CADRE_CHECK_OK(std::move(status));
  if (const int64_t unread = model.checkpoint().stored_bytes() - model.size().bytes; unread > 0)
    notes.add(fmt::format("{} bytes of tensors that the model does not read are left out", unread));

  GgufMetadata metadata;
  metadata.add_string("general.architecture", architecture->name);
  metadata.add_string("general.name", fs::absolute(in).lexically_normal().filename().string());
  metadata.add("general.file_type", file_type(planner.main_type()));
  metadata.add("general.quantization_version", uint32_t{2});
  CADRE_CHECK_OK(architecture->add_metadata(config, origin, metadata));
  CADRE_CHECK_OK(convert::add_tokenizer(in, config, options.pre_tokenizer, metadata, notes));
  const std::vector<std::string_view> narrow(planner.narrow().begin(), planner.narrow().end());
  if (!narrow.empty()) metadata.add_strings(kNarrowTensorsKey, narrow);

  std::vector<TensorSpec> specs;
  for (const PlannedTensor& tensor : planner.tensors()) specs.push_back(tensor.spec);
  CADRE_TRY(GgufWriter writer, GgufWriter::create(out, metadata, specs));
  CADRE_CHECK_OK(make_tensors(
      planner.tensors(), options.threads,
      [&](std::string_view name, std::span<const std::byte> bytes) { return writer.write(name, bytes); },
      progress));
  CADRE_CHECK_OK(writer.finish());
  return ConvertReport{static_cast<int64_t>(specs.size()), total_bytes(planner.tensors()), notes.list()};
}

}  // namespace cadre
