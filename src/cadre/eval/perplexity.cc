#include "cadre/eval/perplexity.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "cadre/base/interrupt.h"
#include "cadre/base/thread_pool.h"
#include "cadre/eval/log_prob_file.h"
#include "cadre/eval/windows.h"

namespace cadre {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kLogitBytes = int64_t{128} << 20;
constexpr int64_t kMaxStepRows = 512;

Estimate estimate(const std::vector<double>& values) {
  const auto count = static_cast<double>(values.size());
  Estimate result;
  for (const double value : values) result.mean += value / count;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  if (values.size() > 1) result.standard_error = std::sqrt(squares / (count - 1) / count);
  return result;
}

int32_t index_of_largest(std::span<const float> values) {
  return static_cast<int32_t>(std::ranges::max_element(values) - values.begin());
}

/// log softmax in place. Sums in f64, so that it does not depend on the vocabulary's size.
void log_softmax(std::span<float> logits) {
  const double largest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  const double normalizer = largest + std::log(sum);
  for (float& logit : logits) logit = static_cast<float>(static_cast<double>(logit) - normalizer);
}

/// One row's predictions against the base's.
double kl_divergence(std::span<const float> base, std::span<const float> log_probs) {
  double sum = 0;
  for (size_t i = 0; i < base.size(); ++i) {
    const double log_base = base[i];
    const double weight = std::exp(log_base);
    if (weight > 0) sum += weight * (log_base - static_cast<double>(log_probs[i]));
  }
  return sum;
}

/// What is kept of each counted token.
struct Samples {
  std::vector<double> nats;
  std::vector<double> base_nats;
  std::vector<double> kl;
  std::vector<char> same_top;
};

class Measurement {
 public:
  Measurement(Engine& engine, const PerplexityText& text, std::vector<Window> windows)
      : engine_(engine), text_(text), windows_(std::move(windows)), pool_(engine.options().cpu.threads) {
    for (const Window& window : windows_) {
      counted_ += window.end - window.first_counted;
      evaluated_ += rows_of(window);
    }
  }

  int64_t counted() const { return counted_; }
  int64_t windows() const { return static_cast<int64_t>(windows_.size()); }
  int64_t evaluated() const { return evaluated_; }
  const Samples& samples() const { return samples_; }

  Status run(LogProbWriter* writer, const LogProbReader* base, PerplexityProgress progress) {
    writer_ = writer;
    base_ = base;
    int64_t done = 0;
    for (const Window& window : windows_) {
      CADRE_CHECK_OK(run_window(window));
      done += rows_of(window);
      progress(done, evaluated_, std::exp(sum_ / static_cast<double>(samples_.nats.size())));
    }
    return {};
  }

  int64_t counted_bytes() const {
    int64_t bytes = 0;
    for (const Window& window : windows_)
      for (int64_t i = window.first_counted; i < window.end; ++i)
        bytes += text_.byte_count[static_cast<size_t>(i)];
    return bytes;
  }

 private:
  int64_t leading() const { return text_.bos ? 1 : 0; }

  /// Positions to run: all but the last, after which nothing is to be predicted.
  int64_t rows_of(const Window& window) const { return leading() + window.end - window.begin - 1; }

  Status run_window(const Window& window) {
    tokens_.clear();
    if (text_.bos) tokens_.push_back(*text_.bos);
    tokens_.insert(tokens_.end(), text_.tokens.begin() + window.begin, text_.tokens.begin() + window.end);
    const int64_t rows = rows_of(window);
    // The row before the first token that counts predicts it.
    const int64_t first_wanted = leading() + window.first_counted - window.begin - 1;
    const SequenceId sequence = engine_.open_sequence();
    for (int64_t row = 0; row < rows;) {
      CADRE_CHECK_OK(check_interrupt());
      const bool wanted = row >= first_wanted;
      const int64_t count = std::min(wanted ? rows - row : first_wanted - row, step_rows(wanted));
      const StepItem item{
          .sequence = sequence,
          .tokens = std::span(tokens_).subspan(static_cast<size_t>(row), static_cast<size_t>(count)),
          .logits = wanted ? LogitsFor::kAll : LogitsFor::kNone};
      CADRE_TRY(const Tensor logits, engine_.step(std::span(&item, 1)));
      if (wanted) CADRE_CHECK_OK(score(logits, std::span(tokens_).subspan(static_cast<size_t>(row + 1))));
      row += count;
    }
    engine_.close_sequence(sequence);
    return {};
  }

  int64_t step_rows(bool wanted) const {
    const EngineOptions& options = engine_.options();
    return wanted ? std::min(options.max_step_rows, options.max_logit_rows) : options.max_step_rows;
  }

  /// Row r of `logits` predicts targets[r]. Turns the logits into log-probabilities in place.
  Status score(const Tensor& logits, std::span<const int32_t> targets) {
    const size_t first = samples_.nats.size();
    const auto rows = static_cast<size_t>(logits.rows);
    samples_.nats.resize(first + rows);
    if (base_ != nullptr) {
      samples_.base_nats.resize(first + rows);
      samples_.kl.resize(first + rows);
      samples_.same_top.resize(first + rows);
      base_rows_.resize(static_cast<size_t>(pool_.size()));
    }
    pool_.run(logits.rows, [&](int64_t row, int worker) {
      const std::span<float> values(logits.row(row), static_cast<size_t>(logits.width));
      const auto target = static_cast<size_t>(targets[static_cast<size_t>(row)]);
      const size_t sample = first + static_cast<size_t>(row);
      log_softmax(values);
      samples_.nats[sample] = -static_cast<double>(values[target]);
      if (base_ == nullptr) return;
      std::vector<float>& base = base_rows_[static_cast<size_t>(worker)];
      base.resize(values.size());
      base_->read(static_cast<int64_t>(sample), base);
      samples_.base_nats[sample] = -static_cast<double>(base[target]);
      samples_.kl[sample] = kl_divergence(base, values);
      samples_.same_top[sample] = index_of_largest(base) == index_of_largest(values) ? 1 : 0;
    });
    for (size_t i = first; i < samples_.nats.size(); ++i) sum_ += samples_.nats[i];
    if (writer_ != nullptr)
      for (int64_t row = 0; row < logits.rows; ++row)
        CADRE_CHECK_OK(writer_->write(std::span(logits.row(row), static_cast<size_t>(logits.width))));
    return {};
  }

  Engine& engine_;
  const PerplexityText& text_;
  std::vector<Window> windows_;
  ThreadPool pool_;
  int64_t counted_ = 0;
  int64_t evaluated_ = 0;
  LogProbWriter* writer_ = nullptr;
  const LogProbReader* base_ = nullptr;
  std::vector<int32_t> tokens_;
  std::vector<std::vector<float>> base_rows_;  ///< [workers][V]
  Samples samples_;
  double sum_ = 0;  ///< of samples_.nats
};

Status check_options(const ModelConfig& config, const PerplexityOptions& options) {
  if (options.ctx < 2 || options.ctx > config.max_position_embeddings)
    return fail(ErrorKind::kUsage, "--ctx: expected from 2 to the model's context of {}, found {}",
                config.max_position_embeddings, options.ctx);
  if (options.stride < 0 || options.stride > options.ctx)
    return fail(ErrorKind::kUsage, "--stride: expected from 1 to --ctx = {}, found {}", options.ctx,
                options.stride);
  return {};
}

Divergence divergence_of(const Samples& samples) {
  std::vector<double> sorted = samples.kl;
  std::ranges::sort(sorted);
  const auto same = std::ranges::count(samples.same_top, 1);
  const auto count = static_cast<double>(sorted.size());
  return {.kl = estimate(samples.kl),
          .kl_99 = sorted[static_cast<size_t>(0.99 * (count - 1))],
          .kl_max = sorted.back(),
          .top_agreement = static_cast<double>(same) / count,
          .base_nats = estimate(samples.base_nats).mean};
}

}  // namespace

Result<PerplexityText> tokenize_for_perplexity(const Tokenizer& tokenizer, std::string_view text) {
  PerplexityText result;
  // Control tokens written out in the text are text.
  CADRE_TRY(result.tokens, tokenizer.encode(text, {.parse_special = false}));
  for (const int32_t id : result.tokens) {
    CADRE_TRY(const std::string_view bytes, tokenizer.token_bytes(id));
    result.byte_count.push_back(static_cast<int32_t>(bytes.size()));
  }
  if (tokenizer.adds_bos()) result.bos = tokenizer.bos();
  if (result.tokens.size() + (result.bos ? 1 : 0) < 2)
    return invalid("the text has {} tokens; at least two positions are needed to predict one",
                   result.tokens.size());
  return result;
}

int64_t perplexity_step_rows(int64_t vocab_size, int64_t ctx) {
  const int64_t fitting = kLogitBytes / (vocab_size * static_cast<int64_t>(sizeof(float)));
  return std::clamp<int64_t>(fitting, 1, std::min(ctx, kMaxStepRows));
}

Result<PerplexityReport> measure_perplexity(Engine& engine, const PerplexityText& text,
                                            const PerplexityOptions& options, PerplexityProgress progress) {
  const ModelConfig& config = engine.model().config();
  CADRE_CHECK_OK(check_options(config, options));
  const int64_t room = options.ctx - (text.bos ? 1 : 0);
  const int64_t stride = options.stride == 0 ? room : std::min(options.stride, room);
  Measurement measurement(
      engine, text,
      cut_windows(static_cast<int64_t>(text.tokens.size()), room, stride, text.bos.has_value()));

  const LogProbKey key{.tokens = text.tokens,
                       .bos = text.bos,
                       .ctx = options.ctx,
                       .stride = stride,
                       .vocab_size = config.vocab_size,
                       .counted = measurement.counted()};
  std::optional<LogProbReader> base;
  if (!options.kl_base.empty()) {
    CADRE_TRY(base, LogProbReader::open(options.kl_base, key));
  }
  std::optional<LogProbWriter> writer;
  if (!options.save_logits.empty()) {
    CADRE_TRY(writer, LogProbWriter::create(options.save_logits, key));
  }

  const Clock::time_point start = Clock::now();
  CADRE_CHECK_OK(measurement.run(writer ? &*writer : nullptr, base ? &*base : nullptr, progress));
  if (writer) CADRE_CHECK_OK(writer->finish());

  const Samples& samples = measurement.samples();
  PerplexityReport report{.tokens = measurement.counted(),
                          .windows = measurement.windows(),
                          .bytes = measurement.counted_bytes(),
                          .nats = estimate(samples.nats),
                          .evaluated = measurement.evaluated()};
  report.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  report.perplexity = std::exp(report.nats.mean);
  report.perplexity_error = report.perplexity * report.nats.standard_error;
  report.bits_per_byte = report.nats.mean * static_cast<double>(report.tokens) / std::log(2.0) /
                         static_cast<double>(report.bytes);
  if (base) report.divergence = divergence_of(samples);
  return report;
}

}  // namespace cadre
