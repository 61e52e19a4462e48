#include "cadre/quant/source.h"

#include <cstring>

#include "cadre/base/check.h"

namespace cadre {
namespace {

constexpr std::string_view kKeyHalf = ".k_b_proj.weight";
constexpr std::string_view kValueHalf = ".v_b_proj.weight";
constexpr std::string_view kBoth = ".kv_b_proj.weight";

}  // namespace

void WeightRows::read(int64_t first, int64_t count, float* out) const {
  if (values_ != nullptr) {
    std::memcpy(out, values_ + first * cols_, static_cast<size_t>(count * cols_) * sizeof(float));
    return;
  }
  for (int64_t r = first; r < first + count; ++r, out += cols_)
    decode_weight_row(matrix_, r / of_head_ * stride_ + offset_ + r % of_head_, out);
}

QuantSource::QuantSource(Model model)
    : model_(std::make_unique<Model>(std::move(model))),
      layout_(std::make_unique<Transformer>(model_->transformer())),
      target_(split_kv_b(model_->config())) {
  checkpoint().visit_weights(*layout_, [&](const WeightSlot& slot) {
    Entry entry;
    if (slot.matrix != nullptr) entry.matrix = *slot.matrix;
    entry.vector = slot.vector;
    entries_.emplace(slot.name, entry);
  });
}

Result<QuantSource> QuantSource::open(const std::filesystem::path& path) {
  CADRE_TRY(Model model, Model::load(path));
  QuantSource source(std::move(model));
  CADRE_TRY(source.family_, find_family(source.target_.model_type, path.string()));
  return source;
}

Status QuantSource::check_not_quantised() const {
  for (const auto& [name, entry] : entries_) {
    if (entry.vector != nullptr) continue;
    const DType type = entry.matrix.dtype;
    if (is_packed(type) || info(type).block_elements != 1)
      return invalid(
          "{}: a plain or FP8 type expected, {} found: the model is quantised already, and rounding twice "
          "loses more than rounding the original once (--requantize does it)",
          checkpoint().where(name), cadre::name(type));
  }
  return {};
}

std::string QuantSource::stored_name(const std::string& name) const {
  if (entries_.contains(name)) return name;
  for (const std::string_view half : {kKeyHalf, kValueHalf})
    if (name.ends_with(half)) return name.substr(0, name.size() - half.size()) + std::string(kBoth);
  return name;
}

std::string QuantSource::where(const PlannedWeight& weight) const {
  return checkpoint().where(stored_name(weight.name));
}

WeightRows QuantSource::rows(const PlannedWeight& weight) const {
  const std::string stored = stored_name(weight.name);
  const auto found = entries_.find(stored);
  CADRE_CHECK(found != entries_.end(), "{}", weight.name);
  const Entry& entry = found->second;
  WeightRows rows;
  rows.rows_ = weight.is_matrix() ? weight.shape[0] : 1;
  rows.cols_ = weight.shape.back();
  rows.of_head_ = rows.rows_;
  if (entry.vector != nullptr) {
    rows.values_ = entry.vector->data();
    return rows;
  }
  rows.matrix_ = entry.matrix;
  if (stored == weight.name) return rows;
  // kv_b_proj [H * (nope + v), kv_lora], per head W_uk then W_uv.
  const auto& c = std::get<MlaConfig>(target_.attention);
  const int64_t both = c.qk_nope_head_dim + c.v_head_dim;
  if (weight.name.ends_with(kValueHalf)) {
    rows.of_head_ = c.v_head_dim;
    rows.stride_ = both;
    rows.offset_ = c.qk_nope_head_dim;
    return rows;
  }
  // k_b_proj [H * kv_lora, nope]: W_uk transposed, head by head.
  rows.transposed_.resize(static_cast<size_t>(rows.rows_ * rows.cols_));
  std::vector<float> row(static_cast<size_t>(c.kv_lora_rank));
  for (int64_t head = 0; head < c.num_attention_heads; ++head) {
    float* out = rows.transposed_.data() + head * c.kv_lora_rank * c.qk_nope_head_dim;
    for (int64_t i = 0; i < c.qk_nope_head_dim; ++i) {
      decode_weight_row(entry.matrix, head * both + i, row.data());
      for (int64_t j = 0; j < c.kv_lora_rank; ++j)
        out[j * c.qk_nope_head_dim + i] = row[static_cast<size_t>(j)];
    }
  }
  rows.values_ = rows.transposed_.data();
  return rows;
}

}  // namespace cadre
