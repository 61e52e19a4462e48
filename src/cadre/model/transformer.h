#pragma once
/// The decoder: embedding, blocks of attention and feed-forward with pre-norm residuals, head.

#include <span>
#include <variant>
#include <vector>

#include "cadre/model/layers/gqa.h"
#include "cadre/model/layers/mla.h"
#include "cadre/model/layers/moe.h"

namespace cadre {

/// h <- h + attention(norm(h));  h <- h + ffn(norm(h)).   h: [T, d]
struct Block {
  VectorWeight attention_norm;
  std::variant<Mla, Gqa> attention;
  VectorWeight ffn_norm;
  std::variant<SwigluFfn, Moe> ffn;
  std::optional<GateBlock> gate_block;  ///< of the first block, in a model with transformer gates

  /// In place.
  void forward(Context& ctx, const ModelConfig& config, const Tensor& h, const Batch& batch, LayerCache cache,
               const MoeRun& run) const;
};

struct Transformer {
  ModelConfig config;
  Weight embedding;  ///< [V, d]
  std::vector<Block> blocks;
  VectorWeight final_norm;
  Weight head;  ///< [V, d]; the embedding when tied

  /// The layers of `config` with no weights bound yet.
  static Transformer layout(const ModelConfig& config);

  /// The residual stream after the last block. Without caches the batch is whole sequences from position 0,
  /// which is how training runs. -> [T, d]
  Tensor hidden_states(Context& ctx, const Batch& batch, std::span<const LayerCache> caches,
                       const MoeRun& run) const;

  /// Rows of the residual stream after the final norm.   h: [T, d] -> [rows, d]
  Tensor final_hidden(Context& ctx, const Tensor& h, std::span<const int32_t> rows) const;

  /// h: [T, d] of hidden_states -> logits [rows, V]
  Tensor logits(Context& ctx, const Tensor& h, std::span<const int32_t> rows) const;

  /// Of a layer's attention, then of its gate block.
  std::vector<CacheStream> cache_streams(int64_t layer) const;

  /// Width of the gates' context; 0 without one.
  int64_t gate_context_width() const;
  /// Whether a pass that recomputes keeps nothing of a block but its input. One with a gate block keeps all:
  /// what it makes for the other blocks has gradients before the block is computed again.
  bool can_recompute(size_t layer) const { return !blocks[layer].gate_block; }

  /// Arena bytes that a step needs at most for `rows` rows, the final hidden states of all and `logit_rows`
  /// logits, over caches of at most `context` tokens.
  int64_t activation_bytes(int64_t rows, int64_t logit_rows, int64_t context, MlaForm form) const;

 private:
  /// Block `layer` with a tape, of which only the input is kept; the backward pass computes it again, by the
  /// same operations in the same order, so that gradients have the same bits.
  void recomputed(Context& ctx, size_t layer, const Tensor& h, const Batch& batch, const MoeRun& run) const;
};

}  // namespace cadre
