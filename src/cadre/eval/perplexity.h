#pragma once
/// Perplexity of a model on a text, and the divergence of one model's predictions from another's.
///
/// The tokens are cut into windows of at most `ctx` positions; each window starts with an empty cache, and
/// with BOS where the tokenizer asks for it. Counted are all positions but a window's first, which nothing
/// predicts: with BOS every token of the text counts once, without it each window's first is left out. With a
/// stride, windows start every `stride` tokens and count only the tokens that no window before has counted,
/// so that each of those has more context; it costs ctx / stride times as much.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cadre/base/function_ref.h"
#include "cadre/runtime/engine.h"
#include "cadre/text/tokenizer.h"

namespace cadre {

/// A text as the model gets it.
struct PerplexityText {
  std::vector<int32_t> tokens;      ///< without BOS
  std::vector<int32_t> byte_count;  ///< of each token
  std::optional<int32_t> bos;       ///< set when every window starts with it
};

/// Errors: those of the tokenizer; kInvalid when there are fewer than two positions to predict from.
Result<PerplexityText> tokenize_for_perplexity(const Tokenizer& tokenizer, std::string_view text);

struct PerplexityOptions {
  int64_t ctx = 512;
  int64_t stride = 0;       ///< 0: ctx
  std::string save_logits;  ///< file to write the log-probabilities to; empty: none
  std::string kl_base;      ///< file of another run to compare with; empty: none
};

/// Mean and standard error over the counted tokens, taken as independent.
struct Estimate {
  double mean = 0;
  double standard_error = 0;
};

/// How the predictions differ from those of the base, over the counted tokens. In nats.
struct Divergence {
  Estimate kl;       ///< sum over the vocabulary of p_base (log p_base - log p)
  double kl_99 = 0;  ///< 99 % of the tokens are below
  double kl_max = 0;
  double top_agreement = 0;  ///< share of tokens whose most likely next token is the same
  double base_nats = 0;      ///< mean of the base
};

struct PerplexityReport {
  int64_t tokens = 0;  ///< counted
  int64_t windows = 0;
  int64_t bytes = 0;  ///< of the counted tokens
  Estimate nats;      ///< negative log-likelihood of a token
  double perplexity = 0;
  double perplexity_error = 0;  ///< to first order
  double bits_per_byte = 0;
  double seconds = 0;
  int64_t evaluated = 0;  ///< positions run through the model, more than counted
  std::optional<Divergence> divergence;
};

/// Hears the positions done, of all, and the perplexity so far.
using PerplexityProgress = FunctionRef<void(int64_t done, int64_t total, double perplexity)>;

/// The engine needs room for `ctx` tokens, steps of perplexity_step_rows and as many rows of logits.
/// Errors: kUsage (ctx, stride), kInvalid (a base that does not belong to this text, context or vocabulary;
/// too short a text), kTooLarge (not enough disk), kIo, those of Engine::step, kInterrupt.
Result<PerplexityReport> measure_perplexity(Engine& engine, const PerplexityText& text,
                                            const PerplexityOptions& options, PerplexityProgress progress);

/// Rows of a step whose logits take at most some 128 MB.
int64_t perplexity_step_rows(int64_t vocab_size, int64_t ctx);

}  // namespace cadre
