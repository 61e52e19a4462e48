#include "cadre/quant/calibration.h"

#include <algorithm>
#include <numeric>

#include "cadre/base/interrupt.h"
#include "cadre/base/units.h"
#include "cadre/model/rope.h"
#include "cadre/ops/ops.h"

namespace cadre {

std::span<const int32_t> CalibrationText::window_tokens(int64_t index) const {
  const auto begin = static_cast<size_t>(index * window);
  return std::span(tokens).subspan(begin, std::min(static_cast<size_t>(window), tokens.size() - begin));
}

Result<CalibrationText> calibration_text(const Tokenizer& tokenizer, const ModelConfig& config,
                                         std::string_view text, std::string_view origin,
                                         const CalibrationLimits& limits) {
  // Control tokens written out in the text are text.
  CADRE_TRY(std::vector<int32_t> ids, tokenizer.encode(text, {.parse_special = false}));
  if (static_cast<int64_t>(ids.size()) < kMinCalibrationTokens)
    return invalid("{}: a text of at least {} tokens expected for calibration, {} found", origin,
                   kMinCalibrationTokens, ids.size());
  for (const int32_t id : ids)
    if (id >= config.vocab_size)
      return invalid("{}: token id {} is outside the model's vocabulary of {}", origin, id,
                     config.vocab_size);
  const std::optional<int32_t> bos = tokenizer.adds_bos() ? tokenizer.bos() : std::nullopt;
  CalibrationText result;
  result.window = std::min(limits.window, config.max_position_embeddings);
  for (size_t i = 0; i < ids.size(); ++i) {
    if (limits.max_tokens > 0 && static_cast<int64_t>(result.tokens.size()) >= limits.max_tokens) break;
    if (bos && result.tokens.size() % static_cast<size_t>(result.window) == 0) result.tokens.push_back(*bos);
    result.tokens.push_back(ids[i]);
  }
  result.identity = fmt::format("{} tokens in windows of {}, {}", result.tokens.size(), result.window,
                                fingerprint(std::as_bytes(std::span(result.tokens))));
  return result;
}

Result<CalibrationPass> CalibrationPass::create(const Model& model, const CalibrationText& text,
                                                const CpuOptions& cpu) {
  const Transformer& transformer = model.transformer();
  const int64_t activation_bytes =
      transformer.activation_bytes(text.window, 1, text.window, MlaForm::kAbsorbed);
  const int64_t hidden_bytes =
      static_cast<int64_t>(text.tokens.size() * sizeof(float)) * model.config().hidden_size;
  if (activation_bytes + hidden_bytes > physical_memory_bytes())
    return fail(
        ErrorKind::kTooLarge,
        "calibration with {} tokens needs {}, this machine has {}; fewer --calibration-tokens would fit",
        text.tokens.size(), format_bytes(static_cast<double>(activation_bytes + hidden_bytes)),
        format_bytes(static_cast<double>(physical_memory_bytes())));
  CADRE_TRY(std::unique_ptr<Backend> backend, make_cpu_backend(cpu));
  CADRE_TRY(KvCache cache, KvCache::create(transformer, DType::kF32, text.window));
  CADRE_TRY(Arena arena, Arena::reserve(activation_bytes));
  return CalibrationPass(model, text, std::move(backend), std::move(cache), std::move(arena));
}

CalibrationPass::CalibrationPass(const Model& model, const CalibrationText& text,
                                 std::unique_ptr<Backend> backend, KvCache cache, Arena arena)
    : model_(&model),
      text_(&text),
      backend_(std::move(backend)),
      cache_(std::move(cache)),
      arena_(std::move(arena)) {
  while (cache_.free_pages() > 0) pages_.push_back(cache_.take_page());
  const RopeConfig& rope = model.config().rope;
  const std::vector<double> frequencies = rope_frequencies(rope);
  std::vector<int32_t> positions(static_cast<size_t>(text.window));
  std::iota(positions.begin(), positions.end(), 0);
  cosine_.resize(positions.size() * frequencies.size());
  sine_.resize(cosine_.size());
  fill_rope_tables(frequencies, rope_magnitude(rope), positions, cosine_, sine_);

  hidden_.resize(text.tokens.size() * static_cast<size_t>(model.config().hidden_size));
  Context ctx{.backend = *backend_, .arena = arena_};
  for (int64_t w = 0; w < text.windows(); ++w) {
    const ArenaScope scratch(arena_);
    ops::copy(ctx, ops::embed(ctx, text.window_tokens(w), model.transformer().embedding), hidden_rows(w));
  }
}

Tensor CalibrationPass::hidden_rows(int64_t window) {
  const int64_t d = model_->config().hidden_size;
  const auto rows = static_cast<int64_t>(text_->window_tokens(window).size());
  return Tensor::dense(hidden_.data() + window * text_->window * d, rows, d);
}

Status CalibrationPass::run_layer(ActivationObserver* observer) {
  CADRE_CHECK(next_layer_ < layers(), "{} layers", layers());
  const Transformer& model = model_->transformer();
  const Block& block = model.blocks[static_cast<size_t>(next_layer_)];
  const auto angles = cosine_.size() / static_cast<size_t>(text_->window);
  Context ctx{.backend = *backend_, .arena = arena_, .observer = observer};
  const int64_t gate_width = model.gate_context_width();
  gate_context_.resize(text_->tokens.size() * static_cast<size_t>(gate_width));
  for (int64_t w = 0; w < text_->windows(); ++w) {
    CADRE_CHECK_OK(check_interrupt());
    const Tensor h = hidden_rows(w);
    const SequenceRows rows{.rows = h.rows, .pages = pages_.data()};
    const auto count = static_cast<size_t>(h.rows) * angles;
    const MoeRun run{.policies = {},
                     .routing = routing_,
                     .groups = groups_,
                     .gate_context = Tensor::dense(gate_context_.data() + w * text_->window * gate_width,
                                                   h.rows, gate_width)};
    block.forward(ctx, model.config, h,
                  {.tokens = text_->window_tokens(w),
                   .sequences = std::span(&rows, 1),
                   .cosine = std::span(cosine_).first(count),
                   .sine = std::span(sine_).first(count)},
                  cache_.layer(next_layer_), run);
  }
  ++next_layer_;
  return {};
}

Status CalibrationPass::run_head(ActivationObserver& observer) {
  CADRE_CHECK(next_layer_ == layers(), "{} of {} layers", next_layer_, layers());
  const Transformer& model = model_->transformer();
  Context ctx{.backend = *backend_, .arena = arena_};
  for (int64_t w = 0; w < text_->windows(); ++w) {
    CADRE_CHECK_OK(check_interrupt());
    const ArenaScope scratch(arena_);
    observer.matmul(ops::rms_norm(ctx, hidden_rows(w), model.final_norm, model.config.rms_norm_eps),
                    model.head);
  }
  return {};
}

std::string fingerprint(std::span<const std::byte> bytes) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (const std::byte byte : bytes) hash = (hash ^ static_cast<uint64_t>(byte)) * 0x100000001B3u;
  return fmt::format("{:016x}", hash);
}

}  // namespace cadre
