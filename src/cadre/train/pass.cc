#include "cadre/train/pass.h"

#include <algorithm>

#include "cadre/base/units.h"
#include "cadre/model/rope.h"

namespace cadre::train {
namespace {

/// Floats of a row that attention leaves on the tape, with its norm and what the norm kept.
int64_t attention_floats(const ModelConfig& config) {
  const int64_t d = config.hidden_size;
  if (const auto* gqa = std::get_if<GqaConfig>(&config.attention))
    return 3 * d + gqa->head_dim * (2 * gqa->num_attention_heads + 2 * gqa->num_key_value_heads);
  const auto& mla = std::get<MlaConfig>(config.attention);
  return 3 * d + 3 * mla.q_lora_rank + mla.latent_dim() + 2 * mla.kv_lora_rank +
         mla.num_attention_heads * (2 * mla.qk_head_dim() + mla.qk_nope_head_dim + 2 * mla.v_head_dim);
}

/// Hidden channels of a row's experts, and the experts.
struct FfnWidth {
  int64_t hidden = 0;
  int64_t experts = 0;
};

FfnWidth ffn_width(const ModelConfig& config, int64_t layer) {
  if (!config.is_moe_layer(layer)) return {config.intermediate_size, 1};
  const MoeConfig& moe = *config.moe;
  // A token has its routed experts or the fallback expert.
  const int64_t routed =
      std::max(moe.num_experts_per_tok * moe.moe_intermediate_size, moe.fallback ? moe.fallback->hidden : 0);
  return {routed + moe.n_shared_experts * moe.moe_intermediate_size, moe.num_experts_per_tok + 1};
}

}  // namespace

int64_t pass_bytes(const ModelConfig& config, int64_t rows, bool recompute) {
  const int64_t d = config.hidden_size;
  int64_t kept = 3 * d;  // embedding, and the last norm with what it kept
  int64_t scratch = 0;   // of one layer: dhidden and outputs
  int64_t allocations = 8;
  const int64_t gate_block = config.moe ? gate_block_floats(*config.moe) : 0;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const auto [hidden, experts] = ffn_width(config, layer);
    const int64_t routed = config.moe ? config.moe->n_routed_experts : 0;
    int64_t block = attention_floats(config) + 3 * d + 3 * hidden + experts + routed;
    if (config.is_moe_layer(layer)) block += gate_floats(*config.moe);
    if (recompute && (layer > 0 || gate_block == 0)) {
      kept += d;
      scratch = std::max(scratch, block + hidden + experts * d);
    } else {
      kept += block;
      scratch = std::max(scratch, hidden + experts * d);
    }
    allocations += 32 + 3 * (routed + 2);
  }
  kept += gate_block;
  const int64_t logits = std::min(rows, ops::kLossRows) * config.vocab_size;
  constexpr int64_t kAlignment = 64;
  constexpr int64_t kSlack = int64_t{1} << 20;
  return (rows * (kept + scratch) + logits) * static_cast<int64_t>(sizeof(float)) + allocations * kAlignment +
         kSlack;
}

Result<std::unique_ptr<Pass>> Pass::create(const TrainableModel& model, Backend& backend, int64_t max_rows,
                                           const PassMode& mode) {
  if (backend.gradients() == nullptr)
    return fail(ErrorKind::kUsage, "{} has no gradients: it cannot train", backend.description());
  ModelConfig widest = model.config();
  if (widest.moe && mode.max_k > 0) widest.moe->num_experts_per_tok = mode.max_k;
  const int64_t bytes = pass_bytes(widest, max_rows, mode.recompute);
  if (2 * bytes > physical_memory_bytes())
    return fail(ErrorKind::kTooLarge,
                "activations of {} tokens and their gradients take {}, this machine has {}; smaller "
                "micro-batches would fit",
                max_rows, format_bytes(2 * static_cast<double>(bytes)),
                format_bytes(static_cast<double>(physical_memory_bytes())));
  CADRE_TRY(Arena arena, Arena::reserve(bytes));
  auto pass = std::unique_ptr<Pass>(new Pass(model, backend, std::move(arena), mode));
  CADRE_TRY(pass->tape_, Tape::create(pass->arena_, *backend.gradients()));
  model.bind(*pass->tape_);
  return pass;
}

Pass::Pass(const TrainableModel& model, Backend& backend, Arena arena, const PassMode& mode)
    : model_(&model),
      backend_(&backend),
      arena_(std::move(arena)),
      rope_frequencies_(rope_frequencies(model.config().rope)),
      rope_magnitude_(rope_magnitude(model.config().rope)),
      mode_(mode) {}

void Pass::fill_rotations(const PassBatch& batch) {
  positions_.resize(batch.tokens.size());
  for (const SequenceRows& sequence : batch.sequences)
    for (int64_t i = 0; i < sequence.rows; ++i)
      positions_[static_cast<size_t>(sequence.first_row + i)] = static_cast<int32_t>(i);
  cosine_.resize(batch.tokens.size() * rope_frequencies_.size());
  sine_.resize(cosine_.size());
  fill_rope_tables(rope_frequencies_, rope_magnitude_, positions_, cosine_, sine_);
}

double Pass::run(const PassBatch& batch, const PassOptions& options) {
  const Transformer& model = model_->transformer();
  const ArenaScope scratch(arena_);
  fill_rotations(batch);
  losses_.resize(batch.tokens.size());
  Context ctx{.backend = *backend_, .arena = arena_, .compute = mode_.compute, .trace = options.trace};
  if (options.gradient) ctx.tape = &*tape_;
  const MoeRun run{.policies = options.policies,
                   .routing = routing_,
                   .groups = groups_,
                   .auxiliary = options.auxiliary,
                   .layer_top_k = options.top_k,
                   .recompute = mode_.recompute};
  const Batch rows{.tokens = batch.tokens, .sequences = batch.sequences, .cosine = cosine_, .sine = sine_};
  const Tensor h = model.hidden_states(ctx, rows, {}, run);
  const Tensor x = ops::rms_norm(ctx, h, model.final_norm, model.config.rms_norm_eps);
  ops::cross_entropy(ctx, x, model.head, batch.targets, options.scale, losses_);
  ctx.tape = nullptr;
  if (options.gradient) tape_->run_backward(ctx);
  double sum = 0;
  for (const double loss : losses_) sum += loss;
  return sum;
}

}  // namespace cadre::train
