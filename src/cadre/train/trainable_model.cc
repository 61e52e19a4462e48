#include "cadre/train/trainable_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cadre/base/random.h"

namespace cadre::train {
namespace {

constexpr int64_t kAlignedFloats = 16;  // a cache line

int64_t padded(int64_t count) { return (count + kAlignedFloats - 1) / kAlignedFloats * kAlignedFloats; }

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

/// Whether a matrix writes into the residual stream.
bool writes_residual(const Parameter& parameter) {
  return ends_with(parameter.name, "o_proj.weight") || ends_with(parameter.name, "down_proj.weight");
}

void fill_normal(const Parameter& parameter, double deviation, const RandomStream& stream) {
  const std::span<float> values = parameter.values();
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(deviation * stream.normal(i));
}

/// Puts the two stacks of absorbed MLA together as the original matrix: per head W_uk, then W_uv.
/// k_b: [H * latent, nope] (W_uk transposed), v_b: [H * v, latent]   ->   kv_b: [H * (nope + v), latent]
void join_kv_b(const MlaConfig& c, const Weight& k_b, const Weight& v_b, const Tensor& kv_b) {
  std::vector<float> column(static_cast<size_t>(c.qk_nope_head_dim));
  for (int64_t h = 0; h < c.num_attention_heads; ++h) {
    const int64_t first = h * (c.qk_nope_head_dim + c.v_head_dim);
    for (int64_t j = 0; j < c.kv_lora_rank; ++j) {
      decode_weight_row(k_b, h * c.kv_lora_rank + j, column.data());
      for (int64_t i = 0; i < c.qk_nope_head_dim; ++i)
        kv_b.row(first + i)[j] = column[static_cast<size_t>(i)];
    }
    for (int64_t i = 0; i < c.v_head_dim; ++i)
      decode_weight_row(v_b, h * c.v_head_dim + i, kv_b.row(first + c.qk_nope_head_dim + i));
  }
}

bool is_kv_b(const Transformer& transformer, const Weight* matrix) {
  return std::ranges::any_of(transformer.blocks, [&](const Block& block) {
    const auto* mla = std::get_if<Mla>(&block.attention);
    return mla != nullptr && matrix == &mla->kv_b_proj;
  });
}

}  // namespace

Status TrainableModel::lay_out(FunctionRef<void(Transformer&, WeightVisitor)> visit) {
  int64_t floats = 0;
  visit(transformer_, [&](const WeightSlot& slot) { floats += padded(element_count(slot.shape)); });
  CADRE_TRY(values_, AnonymousMemory::reserve(floats * static_cast<int64_t>(sizeof(float))));
  CADRE_TRY(gradients_, AnonymousMemory::reserve(floats * static_cast<int64_t>(sizeof(float))));
  auto* value = reinterpret_cast<float*>(values_.data());
  auto* gradient = reinterpret_cast<float*>(gradients_.data());
  visit(transformer_, [&](const WeightSlot& slot) {
    const int64_t count = element_count(slot.shape);
    const int64_t cols = slot.shape.back();
    Parameter parameter{.name = slot.name, .shape = slot.shape, .role = slot.role};
    if (slot.matrix != nullptr) {
      *slot.matrix = {.data = reinterpret_cast<const std::byte*>(value),
                      .dtype = DType::kF32,
                      .rows = count / cols,
                      .cols = cols,
                      .row_bytes = cols * static_cast<int64_t>(sizeof(float))};
      parameter.value = Tensor::dense(value, count / cols, cols);
    } else {
      slot.vector->assign(static_cast<size_t>(count), 0.0f);
      parameter.value = Tensor::dense(slot.vector->data(), 1, count);
    }
    parameter.gradient = parameter.value;
    parameter.gradient.data = gradient;
    value += padded(count);
    gradient += padded(count);
    tensors_.push_back(parameter);
    const bool selection_bias = slot.role == WeightRole::kRouter && slot.vector != nullptr;
    const bool learnt = !selection_bias && slot.role != WeightRole::kRoutingTable;
    if (learnt) parameters_.push_back(std::move(parameter));
  });
  if (transformer_.config.tie_word_embeddings) transformer_.head = transformer_.embedding;
  return {};
}

Result<TrainableModel> TrainableModel::copy(const Model& model) {
  ModelConfig config = model.config();
  auto* mla = std::get_if<MlaConfig>(&config.attention);
  const bool split = mla != nullptr && std::exchange(mla->split_kv_b, false);
  TrainableModel result(config);
  CADRE_CHECK_OK(result.lay_out([&](Transformer& transformer, WeightVisitor visitor) {
    model.checkpoint().visit_weights(transformer, visitor);
  }));
  // Both visits come in the same order; the second's slots are the source's. Where the source has two stacks,
  // they are neighbours in the place of kv_b_proj.
  Transformer source = model.transformer();
  std::vector<WeightSlot> slots;
  model.checkpoint().visit_weights(source, [&](const WeightSlot& slot) { slots.push_back(slot); });
  size_t next = 0;
  model.checkpoint().visit_weights(result.transformer_, [&](const WeightSlot& slot) {
    const WeightSlot& from = slots[next++];
    if (split && is_kv_b(result.transformer_, slot.matrix)) {
      join_kv_b(*mla, *from.matrix, *slots[next++].matrix, values_of(*slot.matrix));
      return;
    }
    if (slot.vector != nullptr) {
      std::copy(from.vector->begin(), from.vector->end(), slot.vector->begin());
      return;
    }
    const Tensor to = values_of(*slot.matrix);
    for (int64_t r = 0; r < to.rows; ++r) decode_weight_row(*from.matrix, r, to.row(r));
  });
  return result;
}

Result<TrainableModel> TrainableModel::initialise(const Json& json, const std::string& origin,
                                                  uint64_t seed) {
  CADRE_TRY(const ModelConfig config, read_model_config(json, origin));
  CADRE_TRY(const Family* family, find_family(config.model_type, origin));
  TrainableModel result(config);
  CADRE_CHECK_OK(result.lay_out(
      [&](Transformer& transformer, WeightVisitor visitor) { family->visit_weights(transformer, visitor); }));
  constexpr double kDeviation = 0.02;
  const double residual =
      kDeviation / std::sqrt(2.0 * static_cast<double>(result.config().num_hidden_layers));
  uint64_t purpose = 0;
  for (const Parameter& parameter : result.parameters_) {
    if (parameter.role == WeightRole::kNorm)
      std::ranges::fill(parameter.values(), 1.0f);
    else
      fill_normal(parameter, writes_residual(parameter) ? residual : kDeviation,
                  RandomStream(seed, ++purpose));
  }
  // After the weights, so that a gate's kind changes no other weight's draws.
  for (const Parameter& tensor : result.tensors_) {
    if (tensor.role != WeightRole::kRoutingTable) continue;
    const RandomStream random(seed, ++purpose);
    const auto width = static_cast<size_t>(tensor.shape[1]);
    for (int64_t token = 0; token < tensor.shape[0]; ++token)
      fill_hash_row(random, token, config.moe->n_routed_experts,
                    tensor.values().subspan(static_cast<size_t>(token) * width, width));
  }
  return result;
}

Status TrainableModel::adapt(const LoraConfig& config, uint64_t seed) {
  CADRE_TRY(adapters_, Adapters::create(config, tensors_, seed));
  return {};
}

int64_t TrainableModel::parameter_count() const {
  int64_t count = 0;
  for (const Parameter& parameter : parameters()) count += parameter.count();
  return count;
}

void TrainableModel::bind(Tape& tape) const {
  // Of an adapted model only the adapted matrices have gradients, on the way to the adapters'.
  const std::span<const Parameter> bound =
      adapters_ ? adapters_->adapted() : std::span<const Parameter>(parameters_);
  for (const Parameter& parameter : bound) tape.bind(parameter.value.data, parameter.gradient);
}

void TrainableModel::clear_gradients() const {
  std::memset(gradients_.data(), 0, static_cast<size_t>(gradients_.size()));
}

}  // namespace cadre::train
