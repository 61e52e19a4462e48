#include "cadre/model/transformer.h"

#include <memory>

namespace cadre {
namespace {

template <typename... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

/// The rows of h that logits are wanted for.
Tensor select_rows(Context& ctx, const Tensor& h, std::span<const int32_t> rows) {
  const Tensor selected = ctx.allocate(static_cast<int64_t>(rows.size()), h.width);
  // Runs of adjacent rows are copied at once: usually all of them, or one.
  for (size_t begin = 0; begin < rows.size();) {
    size_t end = begin + 1;
    while (end < rows.size() && rows[end] == rows[end - 1] + 1) ++end;
    const auto count = static_cast<int64_t>(end - begin);
    ops::copy(ctx, h.slice_rows(rows[begin], count), selected.slice_rows(static_cast<int64_t>(begin), count));
    begin = end;
  }
  return selected;
}

}  // namespace

void Block::forward(Context& ctx, const ModelConfig& config, const Tensor& h, const Batch& batch,
                    LayerCache cache, const MoeRun& run) const {
  const StepScope scratch(ctx);
  {
    const StepScope attention_scratch(ctx);
    const Tensor x = ops::rms_norm(ctx, h, attention_norm, config.rms_norm_eps);
    ops::add_in_place(
        ctx, h,
        std::visit([&](const auto& layer) { return layer.forward(ctx, x, batch, cache); }, attention));
  }
  const Tensor x = ops::rms_norm(ctx, h, ffn_norm, config.rms_norm_eps);
  if (gate_block) {
    const LayerCache own = cache.empty() ? cache : cache.last(GateBlock::kStreams);
    ops::copy(ctx, gate_block->forward(ctx, x, batch, own), run.gate_context);
  }
  ops::add_in_place(
      ctx, h,
      std::visit(Overloaded{[&](const SwigluFfn& dense) { return dense.forward(ctx, x); },
                            [&](const Moe& moe) { return moe.forward(ctx, x, batch.tokens, run); }},
                 ffn));
}

Transformer Transformer::layout(const ModelConfig& config) {
  Transformer model;
  model.config = config;
  int64_t moe_layers = 0;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    Block block;
    if (const auto* mla = std::get_if<MlaConfig>(&config.attention)) {
      Mla attention;
      attention.c = *mla;
      attention.rms_norm_eps = config.rms_norm_eps;
      attention.rope_interleaved = config.rope.interleaved;
      block.attention = std::move(attention);
    } else {
      Gqa attention;
      attention.c = std::get<GqaConfig>(config.attention);
      attention.rope_interleaved = config.rope.interleaved;
      block.attention = attention;
    }
    if (config.is_moe_layer(layer)) {
      Moe moe;
      moe.c = *config.moe;
      moe.layer = static_cast<int>(layer);
      moe.gate = make_gate(*config.moe, moe_layers++);
      // A table's choice has nothing to be balanced.
      if (std::holds_alternative<HashGate>(moe.gate)) moe.c.selection_bias = false;
      moe.experts.resize(static_cast<size_t>(config.moe->n_routed_experts));
      block.ffn = std::move(moe);
    } else {
      block.ffn = SwigluFfn{};
    }
    model.blocks.push_back(std::move(block));
  }
  const auto* gate = config.moe ? std::get_if<TransformerGateConfig>(&config.moe->gate) : nullptr;
  if (gate != nullptr)
    model.blocks.front().gate_block = GateBlock{.c = *gate, .rms_norm_eps = config.rms_norm_eps};
  return model;
}

int64_t Transformer::gate_context_width() const {
  const std::optional<GateBlock>& block = blocks.front().gate_block;
  return block ? block->c.width : 0;
}

Tensor Transformer::hidden_states(Context& ctx, const Batch& batch, std::span<const LayerCache> caches,
                                  const MoeRun& run) const {
  const Tensor h = ops::embed(ctx, batch.tokens, embedding);  // [T, d]
  if (ctx.trace != nullptr) ctx.trace->record("embed", -1, h);
  MoeRun gated = run;
  if (const int64_t width = gate_context_width(); width > 0) gated.gate_context = ctx.allocate(h.rows, width);
  for (size_t layer = 0; layer < blocks.size(); ++layer) {
    if (ctx.tape != nullptr && run.recompute && can_recompute(layer))
      recomputed(ctx, layer, h, batch, gated);
    else
      blocks[layer].forward(ctx, config, h, batch, caches.empty() ? LayerCache{} : caches[layer], gated);
    if (ctx.trace != nullptr) ctx.trace->record("hidden", static_cast<int>(layer), h);
  }
  return h;
}

Tensor Transformer::final_hidden(Context& ctx, const Tensor& h, std::span<const int32_t> rows) const {
  return ops::rms_norm(ctx, select_rows(ctx, h, rows), final_norm, config.rms_norm_eps);
}

void Transformer::recomputed(Context& ctx, size_t layer, const Tensor& h, const Batch& batch,
                             const MoeRun& run) const {
  Tape* tape = ctx.tape;
  const Tensor input = ctx.allocate(h.rows, h.width);
  ctx.backend.copy({.x = h, .y = input});
  const auto routing = std::make_shared<KeptRouting>();
  MoeRun keeping = run;
  keeping.kept = routing.get();
  const size_t mark = tape->mark();
  {
    const ArenaScope scratch(ctx.arena);
    blocks[layer].forward(ctx, config, h, batch, {}, keeping);
    tape->forget_since(mark);
  }
  tape->record([=, this](Context& back) {
    back.backend.copy({.x = input, .y = h});
    Context again{.backend = back.backend, .arena = back.arena, .compute = back.compute, .tape = tape};
    MoeRun kept = keeping;
    kept.kept = routing.get();
    const size_t begin = tape->mark();
    blocks[layer].forward(again, config, h, batch, {}, kept);
    tape->run_backward(back, begin);
  });
}

Tensor Transformer::logits(Context& ctx, const Tensor& h, std::span<const int32_t> rows) const {
  const Tensor x = final_hidden(ctx, h, rows);
  if (ctx.trace != nullptr) ctx.trace->record("final_norm", -1, x);
  return ops::matmul(ctx, x, head);
}

std::vector<CacheStream> Transformer::cache_streams(int64_t layer) const {
  const Block& block = blocks[static_cast<size_t>(layer)];
  std::vector<CacheStream> streams =
      std::visit([](const auto& attention) { return attention.cache_streams(); }, block.attention);
  if (block.gate_block)
    for (const CacheStream& stream : block.gate_block->cache_streams()) streams.push_back(stream);
  return streams;
}

int64_t Transformer::activation_bytes(int64_t rows, int64_t logit_rows, int64_t context, MlaForm form) const {
  // Sums of the widths that each layer allocates per row; an upper bound that costs address space only.
  const int64_t d = config.hidden_size;
  int64_t attention = 0;
  int64_t fixed = 0;
  if (const auto* mla = std::get_if<MlaConfig>(&config.attention)) {
    const int64_t heads = mla->num_attention_heads;
    attention = 2 * mla->q_lora_rank + mla->latent_dim() +
                heads * (mla->qk_head_dim() + mla->latent_dim() + mla->kv_lora_rank + 3 * mla->v_head_dim) +
                2 * d;
    if (form == MlaForm::kAuto) {
      // Fewer keys may take more: more of their heads fit at once. All of them then take less than the bound.
      const int64_t page_slack = 4096;
      fixed = Mla::explicit_floats(*mla, context + page_slack) + Mla::kExplicitScratchFloats;
      attention += heads * mla->v_head_dim;
    }
  } else {
    const auto& gqa = std::get<GqaConfig>(config.attention);
    attention = gqa.head_dim * (2 * gqa.num_attention_heads + 2 * gqa.num_key_value_heads) + 2 * d;
  }
  int64_t ffn = config.intermediate_size + 2 * d + 2;
  if (config.moe) {
    const MoeConfig& moe = *config.moe;
    const int64_t fallback = moe.fallback ? moe.fallback->hidden + d : 0;
    const int64_t routed = std::max(moe.num_experts_per_tok * (moe.moe_intermediate_size + d), fallback);
    const int64_t shared = moe.n_shared_experts * moe.moe_intermediate_size + d;
    ffn = std::max(ffn, moe.n_routed_experts + gate_floats(moe) + routed + shared + 2 * d);
    ffn += gate_block_floats(moe);
  }
  const int64_t per_row = d + std::max(attention, ffn);
  const int64_t per_logit_row = 2 * d + config.vocab_size;
  const int64_t alignment_slack = int64_t{1} << 20;
  return (rows * per_row + logit_rows * per_logit_row + fixed) * static_cast<int64_t>(sizeof(float)) +
         alignment_slack;
}

}  // namespace cadre
