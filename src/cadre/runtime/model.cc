#include "cadre/runtime/model.h"

#include <numeric>

#include "cadre/runtime/kv_cache.h"
#include "cadre/tensor/blocks.h"

namespace cadre {
namespace {

/// Adds one weight to the counts. Of a routed expert, a token uses `top_k / n`; of the embedding, one row.
void count_weight(ModelSize& size, const ModelConfig& config, const WeightSlot& slot, int64_t bytes) {
  const int64_t parameters = element_count(slot.shape);
  WeightCount& count = size.by_role[static_cast<size_t>(slot.role)];
  ++count.tensors;
  count.parameters += parameters;
  count.bytes += bytes;
  size.parameters += parameters;
  size.bytes += bytes;
  if (slot.role == WeightRole::kRoutedExpert) return;  // see add_active_experts
  if (slot.role == WeightRole::kRoutingTable) {        // a token reads its row
    size.active_bytes += bytes / config.vocab_size;
    return;
  }
  if (slot.role == WeightRole::kFallbackExpert) return;  // in place of routed experts
  if (slot.role == WeightRole::kEmbedding && !config.tie_word_embeddings) {
    size.active_parameters += config.hidden_size;
    size.active_bytes += bytes / config.vocab_size;
    return;
  }
  size.active_parameters += parameters;
  size.active_bytes += bytes;
}

void add_active_experts(ModelSize& size, const ModelConfig& config) {
  if (!config.moe) return;
  const WeightCount& routed = size.by_role[static_cast<size_t>(WeightRole::kRoutedExpert)];
  const int64_t k = config.moe->num_experts_per_tok;
  size.active_parameters += routed.parameters / config.moe->n_routed_experts * k;
  size.active_bytes += routed.bytes / config.moe->n_routed_experts * k;
}

/// Rows of the slices in which attention reads a matrix: those of a head, of keys or of values. 0: as a
/// whole.
int64_t slice_rows(const ModelConfig& config, std::string_view name) {
  const auto* mla = std::get_if<MlaConfig>(&config.attention);
  if (mla == nullptr) return 0;
  if (name.ends_with(".k_b_proj.weight")) return mla->kv_lora_rank;
  if (name.ends_with(".v_b_proj.weight")) return mla->v_head_dim;
  if (name.ends_with(".kv_b_proj.weight")) return std::gcd(mla->qk_nope_head_dim, mla->v_head_dim);
  return 0;
}

}  // namespace

Result<Model> Model::load(const std::filesystem::path& path, const LoadOptions& options) {
  CADRE_TRY(Checkpoint checkpoint, Checkpoint::open(path));
  return bind(std::move(checkpoint), options);
}

Result<Model> Model::bind(Checkpoint checkpoint, const LoadOptions& options) {
  Transformer transformer = Transformer::layout(checkpoint.config());
  Model model(std::move(checkpoint), std::move(transformer));
  Status status;
  model.checkpoint_.visit_weights(model.transformer_, [&](const WeightSlot& slot) {
    if (status) status = model.bind_weight(slot);
  });
  if (!status) return tl::unexpected(status.error());
  CADRE_CHECK_OK(model.adapt(options));
  CADRE_CHECK_OK(model.repack(options));
  if (model.config().tie_word_embeddings) model.transformer_.head = model.transformer_.embedding;
  add_active_experts(model.size_, model.config());
  return model;
}

Status Model::bind_weight(const WeightSlot& slot) {
  CADRE_TRY(const std::optional<StoredTensor> stored, checkpoint_.find(slot.name));
  if (!stored) return fail(ErrorKind::kNotFound, "{}: expected, but not there", checkpoint_.where(slot.name));
  if (stored->shape != slot.shape)
    return invalid("{}: shape {} expected, {} found", checkpoint_.where(slot.name), to_string(slot.shape),
                   to_string(stored->shape));
  if (!is_weight_dtype(stored->dtype))
    return invalid("{}: type {} cannot hold weights", checkpoint_.where(slot.name), name(stored->dtype));
  count_weight(size_, config(), slot, static_cast<int64_t>(stored->bytes.size()));
  if (slot.matrix != nullptr) return bind_matrix(slot, *stored);
  if (is_packed(stored->dtype))
    return invalid("{}: a plain type expected for a vector, {} found", checkpoint_.where(slot.name),
                   name(stored->dtype));
  slot.vector->resize(static_cast<size_t>(element_count(slot.shape)));
  decode_row(stored->dtype, stored->bytes.data(), slot.vector->data(), element_count(slot.shape));
  return slot.role == WeightRole::kRoutingTable ? check_table(slot) : Status();
}

Status Model::check_table(const WeightSlot& slot) const {
  const Status status = check_hash_table(*slot.vector, slot.shape[1], config().moe->n_routed_experts);
  if (!status) return invalid("{}: {}", checkpoint_.where(slot.name), status.error().message);
  return {};
}

Status Model::bind_matrix(const WeightSlot& slot, const StoredTensor& stored) {
  *slot.matrix = Weight{.data = stored.bytes.data(),
                        .dtype = stored.dtype,
                        .rows = slot.shape[0],
                        .cols = slot.shape[1],
                        .row_bytes = row_bytes(stored.dtype, slot.shape[1])};
  return stored.dtype == DType::kF8E4M3 ? bind_scales(slot) : Status();
}

Status Model::adapt(const LoadOptions& options) {
  if (options.lora.empty()) return {};
  CADRE_TRY(const LoraAdapter adapter, LoraAdapter::open(options.lora));
  std::vector<WeightSlot> slots;
  checkpoint_.visit_weights(transformer_, [&](const WeightSlot& slot) { slots.push_back(slot); });
  CADRE_TRY(adapted_, AdaptedWeights::make(adapter, slots, options.threads));
  return {};
}

Status Model::repack(const LoadOptions& options) {
  std::vector<Weight*> weights;
  checkpoint_.visit_weights(transformer_, [&](const WeightSlot& slot) {
    const bool by_row = slot.role == WeightRole::kEmbedding && !config().tie_word_embeddings;
    if (slot.matrix == nullptr || by_row) return;
    if (RepackedWeights::can_repack(*slot.matrix, slice_rows(config(), slot.name)))
      weights.push_back(slot.matrix);
  });
  if (options.repack) {
    CADRE_TRY(repacked_, RepackedWeights::make(weights, options.threads));
  } else {
    for (const Weight* weight : weights) row_layout_bytes_ += weight->bytes();
  }
  return {};
}

Status Model::bind_scales(const WeightSlot& slot) {
  // DeepSeek-V3 publishes W.weight with a sibling W.weight_scale_inv, which multiplies despite its name.
  const std::string scale_name = slot.name + "_scale_inv";
  if (config().fp8_block_rows == 0)
    return invalid("{}: FP8 weights need 'quantization_config' in config.json, which is not there",
                   checkpoint_.where(slot.name));
  CADRE_TRY(const std::optional<StoredTensor> stored, checkpoint_.find(scale_name));
  if (!stored)
    return fail(ErrorKind::kNotFound, "{}: expected beside the FP8 weight, but not there",
                checkpoint_.where(scale_name));
  Weight& weight = *slot.matrix;
  const int64_t block_rows = config().fp8_block_rows;
  const int64_t block_cols = config().fp8_block_cols;
  const Shape expected = {(weight.rows + block_rows - 1) / block_rows,
                          (weight.cols + block_cols - 1) / block_cols};
  if (stored->shape != expected)
    return invalid("{}: shape {} expected, {} found", checkpoint_.where(scale_name), to_string(expected),
                   to_string(stored->shape));
  if (stored->dtype != DType::kF32 && stored->dtype != DType::kBF16)
    return invalid("{}: type F32 or BF16 expected, {} found", checkpoint_.where(scale_name),
                   name(stored->dtype));
  std::vector<float>& scales = scales_.emplace_back(static_cast<size_t>(element_count(expected)));
  decode_row(stored->dtype, stored->bytes.data(), scales.data(), element_count(expected));
  weight.scales = scales.data();
  weight.scale_stride = expected[1];
  weight.block_rows = config().fp8_block_rows;
  weight.block_cols = config().fp8_block_cols;
  size_.bytes += static_cast<int64_t>(stored->bytes.size());
  return {};
}

Status Model::set_experts_per_token(int64_t k) {
  if (const Status possible = check_experts(config(), k); !possible)
    return fail(ErrorKind::kUsage, "{}", possible.error().message);
  transformer_.config.moe->num_experts_per_tok = k;
  for (Block& block : transformer_.blocks)
    if (auto* layer = std::get_if<Moe>(&block.ffn)) layer->c.num_experts_per_tok = k;
  return {};
}

Status check_experts(const ModelConfig& config, int64_t k) {
  if (!config.moe) return invalid("{} experts per token: the model is dense", k);
  const int64_t most = config.moe->most_experts_per_tok();
  if (k < 1 || k > most) return invalid("{} experts per token: expected 1 to {}", k, most);
  return {};
}

ModelSize model_size(const Family& family, const ModelConfig& config) {
  ModelSize size;
  Transformer model = Transformer::layout(config);
  family.visit_weights(model, [&](const WeightSlot& slot) { count_weight(size, config, slot, 0); });
  add_active_experts(size, config);
  return size;
}

int64_t kv_bytes_per_token(const Transformer& model, DType kv_type) {
  int64_t bytes = 0;
  for (int64_t layer = 0; layer < model.config.num_hidden_layers; ++layer)
    for (const CacheStream& stream : model.cache_streams(layer))
      bytes += page_bytes(kv_stream(stream, kv_type)) / kPageTokens;
  return bytes;
}

}  // namespace cadre
