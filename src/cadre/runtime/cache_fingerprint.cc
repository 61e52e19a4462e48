#include "cadre/runtime/cache_fingerprint.h"

#include <algorithm>

#include "cadre/base/hash.h"
#include "cadre/model/rope.h"

namespace cadre {
namespace {

/// As much as is read of a tensor at its beginning, middle and end: with thousands of experts still a moment.
constexpr size_t kSampleBytes = 256;

class Fingerprint {
 public:
  void add(std::span<const std::byte> bytes) { hash_ = hash_bytes(bytes, hash_); }
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }
  /// Numbers of any kind, without loss.
  template <typename... Numbers>
  void add_numbers(Numbers... numbers) {
    (add(fmt::format("{}", numbers)), ...);
  }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0;
};

void add_config(Fingerprint& print, const ModelConfig& c) {
  print.add(c.model_type);
  print.add_numbers(c.vocab_size, c.hidden_size, c.intermediate_size, c.num_hidden_layers, c.rms_norm_eps,
                    c.tie_word_embeddings, c.rope.interleaved, rope_magnitude(c.rope));
  print.add(std::as_bytes(std::span<const double>(rope_frequencies(c.rope))));
  if (const auto* mla = std::get_if<MlaConfig>(&c.attention)) {
    print.add_numbers(mla->num_attention_heads, mla->q_lora_rank, mla->kv_lora_rank, mla->qk_nope_head_dim,
                      mla->qk_rope_head_dim, mla->v_head_dim, mla->softmax_scale);
  } else {
    const auto& gqa = std::get<GqaConfig>(c.attention);
    print.add_numbers(gqa.num_attention_heads, gqa.num_key_value_heads, gqa.head_dim, gqa.softmax_scale);
  }
  if (!c.moe) return;
  const MoeConfig& moe = *c.moe;
  print.add_numbers(moe.n_routed_experts, moe.n_shared_experts, moe.num_experts_per_tok,
                    moe.moe_intermediate_size, moe.first_k_dense_replace, moe.moe_layer_freq,
                    static_cast<int>(moe.score_function), static_cast<int>(moe.group_score), moe.n_group,
                    moe.topk_group, moe.selection_bias, moe.normalise_weights, moe.weight_scale,
                    moe.gate.index());
  if (!moe.fallback) return;
  print.add_numbers(moe.fallback->hidden, moe.fallback->confidence_experts);
  for (const auto* values : {&moe.fallback->threshold, &moe.fallback->temperature})
    print.add(std::as_bytes(std::span(*values)));
}

/// Of a tensor's bytes, some at the beginning, in the middle and at the end.
void add_samples(Fingerprint& print, std::span<const std::byte> bytes) {
  const size_t sample = std::min(bytes.size(), kSampleBytes);
  for (const size_t at : {size_t{0}, (bytes.size() - sample) / 2, bytes.size() - sample})
    print.add(bytes.subspan(at, sample));
}

void add_tensor(Fingerprint& print, const StoredTensor& tensor) {
  print.add(name(tensor.dtype));
  for (const int64_t extent : tensor.shape) print.add_numbers(extent);
  add_samples(print, tensor.bytes);
}

}  // namespace

Result<uint64_t> cache_fingerprint(Engine& engine) {
  const Model& model = engine.model();
  Fingerprint print;
  add_config(print, model.config());

  std::vector<std::pair<std::string, const Weight*>> weights;
  Transformer bound = model.transformer();
  model.checkpoint().visit_weights(
      bound, [&](const WeightSlot& slot) { weights.emplace_back(slot.name, slot.matrix); });
  for (const auto& [tensor_name, matrix] : weights) {
    CADRE_TRY(const std::optional<StoredTensor> tensor, model.checkpoint().find(tensor_name));
    print.add(tensor_name);
    if (tensor) add_tensor(print, *tensor);
    // What is computed with is another matrix where an adapter changes it.
    if (matrix != nullptr && !matrix->empty())
      add_samples(print, {matrix->data, static_cast<size_t>(matrix->bytes())});
  }

  const EngineOptions& options = engine.options();
  print.add(name(options.kv_type));
  print.add_numbers(static_cast<int>(options.compute), static_cast<int>(options.mla_form),
                    static_cast<int>(options.fallback), kPageTokens, engine.kv_cache().page_bytes());
  return print.value();
}

}  // namespace cadre
