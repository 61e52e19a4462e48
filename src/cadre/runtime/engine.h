#pragma once
/// The engine: one model, one cache, and the step that everything goes through: chat, evaluation, perplexity,
/// verification and benchmarks. There is no second forward pass.
///
/// A sequence's logits depend on its own tokens alone, bit for bit: not on how its prompt was cut into steps,
/// not on the other sequences of a step, not on the number of threads (with MlaForm::kAbsorbed).

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "cadre/kernels/backend.h"
#include "cadre/model/fallback.h"
#include "cadre/runtime/kv_cache.h"
#include "cadre/runtime/model.h"

namespace cadre {

enum class SequenceId : int32_t {};

/// What a step computes logits for.
enum class LogitsFor : uint8_t { kNone, kLast, kAll };

/// The next tokens of one sequence. A sequence appears at most once in a step.
struct StepItem {
  SequenceId sequence;
  std::span<const int32_t> tokens;
  LogitsFor logits = LogitsFor::kLast;
  bool hidden = false;  ///< also the final hidden states of all its tokens: see Engine::hidden
  int64_t experts = 0;  ///< experts per token; 0: the model's own number
};

struct EngineOptions {
  CpuOptions cpu;
  DType kv_type = DType::kBF16;   ///< kBF16, kF32 or kI8
  int64_t context_tokens = 4096;  ///< all sequences together; the KV cache has room in whole pages
  int64_t max_step_rows = 512;    ///< most tokens in one step; longer prompts are cut by the caller
  int64_t max_logit_rows = 0;     ///< most rows of logits in one step; 0: one per sequence, up to 64
  Compute compute = Compute::kInt8;
  MlaForm mla_form = MlaForm::kAbsorbed;
  FallbackUse fallback = FallbackUse::kAuto;  ///< the first of the engine's policies
};

/// Bytes of a model and of what an engine takes beside it.
struct MemoryPlan {
  int64_t weights_bytes = 0;   ///< mapped, shared with other processes
  int64_t repacked_bytes = 0;  ///< weights in memory of this process
  double repack_seconds = 0;
  int64_t row_layout_bytes = 0;  ///< of the mapped weights, those that would be faster repacked
  int64_t kv_bytes = 0;
  int64_t activation_bytes = 0;
};

class Engine {
 public:
  /// `model` must outlive the engine. Errors: kTooLarge (the plan exceeds this machine's memory, with the
  /// numbers), kNotFound (an instruction set that this machine lacks), kUsage (a fallback that the model
  /// lacks).
  static Result<Engine> create(const Model& model, const EngineOptions& options);

  SequenceId open_sequence();
  /// Frees its pages.
  void close_sequence(SequenceId sequence);
  /// Tokens in the cache so far.
  int64_t length(SequenceId sequence) const { return sequences_.at(sequence).length; }
  /// Forgets all tokens from `length` on. Of pages that others hold too, only whole ones.
  void truncate(SequenceId sequence, int64_t length);
  /// Lengthens a sequence that ends with a page by full pages that hold its next tokens; they get one holder
  /// more.
  void append_pages(SequenceId sequence, std::span<const int32_t> pages);
  /// Puts `page`, which holds the same tokens, in the place of the sequence's own full page `index`.
  void replace_page(SequenceId sequence, int64_t index, int32_t page);
  /// Its pages, in the order of its tokens; valid until it changes.
  std::span<const int32_t> pages(SequenceId sequence) const { return sequences_.at(sequence).pages; }
  /// Makes an empty sequence `length` tokens long without computing them: its pages are copies of those of
  /// `source`, taken in turn. For measurements at a depth, where what the cache holds does not matter but
  /// that it is a model's own. Errors: kTooLarge (cache full), nothing is changed then.
  Status fill_with_copies(SequenceId sequence, SequenceId source, int64_t length);

  /// Runs the items' tokens through the model. -> logits [rows, V]: the items' wanted rows, in order; valid
  /// until the next step.
  /// Errors, before anything changed: kTooLarge (cache full, too many rows), kInvalid (a token id outside
  /// the vocabulary, a number of experts that the gate cannot choose).
  Result<Tensor> step(std::span<const StepItem> items);
  /// [rows, d]: the last hidden states, after the final norm, of the tokens of the last step's items that
  /// asked for them, in order; valid until the next step.
  const Tensor& hidden() const { return hidden_; }
  /// Rows of a step's room that a token with this many experts takes: more than one where it takes more
  /// activations than the model's own number.
  int64_t row_cost(int64_t experts) const;

  void set_trace(TraceSink* trace) { trace_ = trace; }
  void add_policy(RoutingPolicy policy) { policies_.push_back(std::move(policy)); }
  /// Puts another back end around this engine's, between two steps: one that listens, say.
  void wrap_backend(const std::function<std::unique_ptr<Backend>(std::unique_ptr<Backend>)>& wrap) {
    backend_ = wrap(std::move(backend_));
  }

  const Model& model() const { return *model_; }
  const EngineOptions& options() const { return options_; }
  const MemoryPlan& plan() const { return plan_; }
  const Backend& backend() const { return *backend_; }
  /// Tokens that still fit the cache, in whole pages.
  int64_t free_tokens() const { return cache_.free_pages() * kPageTokens; }
  /// Most tokens of one sequence: the context asked for, within the model's positions.
  int64_t max_sequence_tokens() const {
    return std::min(options_.context_tokens, model_->config().max_position_embeddings);
  }
  KvCache& kv_cache() { return cache_; }

 private:
  struct Sequence {
    int64_t length = 0;
    std::vector<int32_t> pages;
  };
  Engine(const Model& model, const EngineOptions& options, std::unique_ptr<Backend> backend, KvCache cache,
         Arena arena);
  Status admit(std::span<const StepItem> items);
  Status check(const StepItem& item) const;
  void lay_out(std::span<const StepItem> items);

  const Model* model_;
  EngineOptions options_;
  MemoryPlan plan_;
  std::unique_ptr<Backend> backend_;
  KvCache cache_;
  Arena arena_;
  std::vector<double> rope_frequencies_;
  double rope_magnitude_ = 1;
  std::unordered_map<SequenceId, Sequence> sequences_;
  int32_t next_sequence_ = 0;
  std::vector<RoutingPolicy> policies_;
  TraceSink* trace_ = nullptr;

  // The rows of the step under way; kept to reuse their memory.
  std::vector<int32_t> tokens_;
  std::vector<int32_t> positions_;
  std::vector<SequenceRows> rows_;
  std::vector<int32_t> logit_rows_;
  std::vector<int32_t> hidden_rows_;
  std::vector<int32_t> row_top_k_;  ///< empty where all rows have the model's own number
  Tensor hidden_;
  std::vector<float> cosine_;
  std::vector<float> sine_;
  RoutingWorkspace routing_;
  std::vector<ExpertGroup> groups_;
};

/// "model 8.85 GB mapped, KV cache 0.13 GB, activations up to 0.21 GB", for the start of every command.
std::string describe(const MemoryPlan& plan);

}  // namespace cadre
