#include "cadre/runtime/engine.h"

#include <algorithm>

#include "cadre/base/anonymous_memory.h"
#include "cadre/base/units.h"
#include "cadre/model/rope.h"

namespace cadre {
namespace {

constexpr int64_t kDefaultLogitRows = 64;

int64_t wanted_rows(const StepItem& item) {
  switch (item.logits) {
    case LogitsFor::kNone:
      return 0;
    case LogitsFor::kLast:
      return 1;
    case LogitsFor::kAll:
      return static_cast<int64_t>(item.tokens.size());
  }
  return 0;
}

}  // namespace

Result<Engine> Engine::create(const Model& model, const EngineOptions& given) {
  EngineOptions options = given;
  if (options.max_logit_rows == 0)
    options.max_logit_rows = std::min(kDefaultLogitRows, options.max_step_rows);
  const int64_t cache_tokens = pages_for(options.context_tokens) * kPageTokens;

  const Transformer& transformer = model.transformer();
  const MemoryPlan plan{.weights_bytes = std::max<int64_t>(0, model.size().bytes - model.repacked().bytes()),
                        .repacked_bytes = model.repacked().bytes(),
                        .repack_seconds = model.repacked().seconds(),
                        .row_layout_bytes = model.row_layout_bytes(),
                        .kv_bytes = cache_tokens * kv_bytes_per_token(transformer, options.kv_type),
                        .activation_bytes = transformer.activation_bytes(
                            options.max_step_rows, options.max_logit_rows, cache_tokens, options.mla_form)};
  const int64_t available = physical_memory_bytes();
  if (plan.repacked_bytes + plan.kv_bytes + plan.activation_bytes > available)
    return fail(
        ErrorKind::kTooLarge,
        "{}{} for the KV cache of {} tokens and {} for activations exceed this machine's {}; a smaller --ctx "
        "or --kv-type int8 would fit",
        plan.repacked_bytes == 0 ? ""
                                 : format_bytes(static_cast<double>(plan.repacked_bytes)) +
                                       " of repacked weights (--repack off), ",
        format_bytes(static_cast<double>(plan.kv_bytes)), cache_tokens,
        format_bytes(static_cast<double>(plan.activation_bytes)),
        format_bytes(static_cast<double>(available)));
  CADRE_TRY(RoutingPolicy fallback, fallback_policy(model.config(), options.fallback));
  CADRE_TRY(std::unique_ptr<Backend> backend, make_cpu_backend(options.cpu));
  CADRE_TRY(KvCache cache, KvCache::create(transformer, options.kv_type, cache_tokens));
  CADRE_TRY(Arena arena, Arena::reserve(plan.activation_bytes));
  // A fault for every 64 KiB would halve the speed of the first tokens. What has been repacked is not read
  // again.
  if (model.repacked().bytes() == 0) model.checkpoint().map_resident();
  Engine engine(model, options, std::move(backend), std::move(cache), std::move(arena));
  engine.plan_ = plan;
  if (fallback) engine.add_policy(std::move(fallback));
  return engine;
}

Engine::Engine(const Model& model, const EngineOptions& options, std::unique_ptr<Backend> backend,
               KvCache cache, Arena arena)
    : model_(&model),
      options_(options),
      backend_(std::move(backend)),
      cache_(std::move(cache)),
      arena_(std::move(arena)),
      rope_frequencies_(rope_frequencies(model.config().rope)),
      rope_magnitude_(rope_magnitude(model.config().rope)) {}

SequenceId Engine::open_sequence() {
  const SequenceId id{next_sequence_++};
  // Room for the longest it can become: a step allocates nothing.
  sequences_[id].pages.reserve(static_cast<size_t>(cache_.pages()));
  return id;
}

void Engine::close_sequence(SequenceId sequence) {
  truncate(sequence, 0);
  sequences_.erase(sequence);
}

void Engine::truncate(SequenceId id, int64_t length) {
  Sequence& sequence = sequences_.at(id);
  CADRE_CHECK(length >= 0 && length <= sequence.length, "{} of {}", length, sequence.length);
  sequence.length = length;
  while (static_cast<int64_t>(sequence.pages.size()) > pages_for(length)) {
    cache_.give_page(sequence.pages.back());
    sequence.pages.pop_back();
  }
  CADRE_CHECK(length % kPageTokens == 0 || !cache_.shared(sequence.pages.back()), "{} tokens", length);
}

void Engine::append_pages(SequenceId id, std::span<const int32_t> pages) {
  Sequence& sequence = sequences_.at(id);
  CADRE_CHECK(sequence.length % kPageTokens == 0, "{} tokens", sequence.length);
  for (const int32_t page : pages) {
    cache_.share_page(page);
    sequence.pages.push_back(page);
  }
  sequence.length += static_cast<int64_t>(pages.size()) * kPageTokens;
}

void Engine::replace_page(SequenceId id, int64_t index, int32_t page) {
  Sequence& sequence = sequences_.at(id);
  CADRE_CHECK((index + 1) * kPageTokens <= sequence.length, "{} of {} tokens", index, sequence.length);
  int32_t& own = sequence.pages[static_cast<size_t>(index)];
  cache_.share_page(page);
  cache_.give_page(own);
  own = page;
}

int64_t Engine::row_cost(int64_t experts) const {
  if (experts == 0) return 1;
  const int64_t own = model_->config().moe->num_experts_per_tok;
  return (experts + own - 1) / own;
}

Status Engine::check(const StepItem& item) const {
  const ModelConfig& config = model_->config();
  for (const int32_t token : item.tokens)
    if (token < 0 || token >= config.vocab_size)
      return invalid("token id {} is outside the vocabulary of {}", token, config.vocab_size);
  return item.experts == 0 ? Status{} : check_experts(config, item.experts);
}

Status Engine::fill_with_copies(SequenceId id, SequenceId source_id, int64_t length) {
  Sequence& sequence = sequences_.at(id);
  const Sequence& source = sequences_.at(source_id);
  CADRE_CHECK(sequence.length == 0 && source.length > 0, "{} and {} tokens", sequence.length, source.length);
  const int64_t pages = pages_for(length);
  if (pages > cache_.free_pages())
    return fail(ErrorKind::kTooLarge, "{} tokens: the KV cache has room for {}", length, free_tokens());
  for (int64_t i = 0; i < pages; ++i) {
    sequence.pages.push_back(cache_.take_page());
    cache_.copy_page(source.pages[static_cast<size_t>(i) % source.pages.size()], sequence.pages.back());
  }
  sequence.length = length;
  return {};
}

Status Engine::admit(std::span<const StepItem> items) {
  int64_t rows = 0;
  int64_t logit_rows = 0;
  int64_t new_pages = 0;
  for (const StepItem& item : items) {
    CADRE_CHECK(!item.tokens.empty());
    CADRE_CHECK_OK(check(item));
    const Sequence& sequence = sequences_.at(item.sequence);
    const auto count = static_cast<int64_t>(item.tokens.size());
    rows += count * row_cost(item.experts);
    logit_rows += wanted_rows(item);
    new_pages += pages_for(sequence.length + count) - static_cast<int64_t>(sequence.pages.size());
  }
  if (rows > options_.max_step_rows)
    return fail(ErrorKind::kTooLarge, "{} rows in one step, at most {} fit", rows, options_.max_step_rows);
  if (logit_rows > options_.max_logit_rows)
    return fail(ErrorKind::kTooLarge, "logits of {} tokens in one step, at most {} fit", logit_rows,
                options_.max_logit_rows);
  if (new_pages > cache_.free_pages())
    return fail(ErrorKind::kTooLarge, "the KV cache of {} tokens is full; a larger --ctx would fit",
                options_.context_tokens);
  return {};
}

void Engine::lay_out(std::span<const StepItem> items) {
  tokens_.clear();
  positions_.clear();
  rows_.clear();
  logit_rows_.clear();
  hidden_rows_.clear();
  row_top_k_.clear();
  const bool own_experts =
      std::all_of(items.begin(), items.end(), [](const StepItem& item) { return item.experts == 0; });
  for (const StepItem& item : items) {
    Sequence& sequence = sequences_.at(item.sequence);
    const auto first_row = static_cast<int64_t>(tokens_.size());
    const auto count = static_cast<int64_t>(item.tokens.size());
    while (static_cast<int64_t>(sequence.pages.size()) < pages_for(sequence.length + count))
      sequence.pages.push_back(cache_.take_page());
    for (int64_t i = 0; i < count; ++i) {
      tokens_.push_back(item.tokens[static_cast<size_t>(i)]);
      positions_.push_back(static_cast<int32_t>(sequence.length + i));
      if (item.hidden) hidden_rows_.push_back(static_cast<int32_t>(first_row + i));
    }
    if (!own_experts)
      row_top_k_.insert(
          row_top_k_.end(), item.tokens.size(),
          static_cast<int32_t>(item.experts == 0 ? model_->config().moe->num_experts_per_tok : item.experts));
    for (int64_t i = count - wanted_rows(item); i < count; ++i)
      logit_rows_.push_back(static_cast<int32_t>(first_row + i));
    rows_.push_back({.first_row = first_row,
                     .rows = count,
                     .first_position = sequence.length,
                     .pages = sequence.pages.data()});
    sequence.length += count;
  }
  const size_t angles = tokens_.size() * rope_frequencies_.size();
  cosine_.resize(angles);
  sine_.resize(angles);
  fill_rope_tables(rope_frequencies_, rope_magnitude_, positions_, cosine_, sine_);
}

Result<Tensor> Engine::step(std::span<const StepItem> items) {
  CADRE_CHECK_OK(admit(items));
  lay_out(items);
  arena_.rewind(0);
  Context ctx{.backend = *backend_, .arena = arena_, .compute = options_.compute, .trace = trace_};
  const Batch batch{
      .tokens = tokens_, .sequences = rows_, .cosine = cosine_, .sine = sine_, .mla_form = options_.mla_form};
  const MoeRun run{.policies = policies_, .routing = routing_, .groups = groups_, .row_top_k = row_top_k_};
  const Transformer& transformer = model_->transformer();
  const Tensor h = transformer.hidden_states(ctx, batch, cache_.layers(), run);
  hidden_ = hidden_rows_.empty() ? Tensor{} : transformer.final_hidden(ctx, h, hidden_rows_);
  return transformer.logits(ctx, h, logit_rows_);
}

std::string describe(const MemoryPlan& plan) {
  std::string weights = format_bytes(static_cast<double>(plan.weights_bytes)) + " mapped";
  if (plan.repacked_bytes > 0)
    weights += fmt::format(" and {} repacked in {:.2f} s",
                           format_bytes(static_cast<double>(plan.repacked_bytes)), plan.repack_seconds);
  if (plan.row_layout_bytes > 0)
    weights += fmt::format(" ({} in GGUF's row layout, which is slower: --repack off)",
                           format_bytes(static_cast<double>(plan.row_layout_bytes)));
  return fmt::format("model {}, KV cache {}, activations up to {}", weights,
                     format_bytes(static_cast<double>(plan.kv_bytes)),
                     format_bytes(static_cast<double>(plan.activation_bytes)));
}

}  // namespace cadre
