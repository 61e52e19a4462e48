#include "cadre/runtime/generator.h"

#include <algorithm>
#include <chrono>

#include "cadre/base/interrupt.h"
#include "cadre/runtime/samplable_tokens.h"
#include "cadre/text/stream_decoder.h"

namespace cadre {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Tokens that `sequence` can still take: what the cache has free, within the longest that one may become.
int64_t room(const Engine& engine, SequenceId sequence) {
  const int64_t length = engine.length(sequence);
  const int64_t in_last_page = (kPageTokens - length % kPageTokens) % kPageTokens;
  return std::min(engine.free_tokens() + in_last_page, engine.max_sequence_tokens() - length);
}

/// Runs the prompt through the model in steps of at most the engine's rows. -> logits of its last token
Result<Tensor> prefill(Engine& engine, SequenceId sequence, std::span<const int32_t> prompt) {
  while (true) {
    CADRE_CHECK_OK(check_interrupt());
    const size_t count = std::min(prompt.size(), static_cast<size_t>(engine.options().max_step_rows));
    const bool last = count == prompt.size();
    const StepItem item{.sequence = sequence,
                        .tokens = prompt.first(count),
                        .logits = last ? LogitsFor::kLast : LogitsFor::kNone};
    CADRE_TRY(const Tensor logits, engine.step(std::span(&item, 1)));
    if (last) return logits;
    prompt = prompt.subspan(count);
  }
}

/// Turns ids into text. Rows of a model above its tokenizer's last token stand for no text: they show as
/// U+FFFD.
class TextStream {
 public:
  TextStream(const Tokenizer& tokenizer, bool skip_special)
      : vocab_size_(tokenizer.vocab_size()), decoder_(tokenizer, {.skip_special = skip_special}) {}

  Result<std::string> push(int32_t id) {
    if (id < vocab_size_) return decoder_.push(id);
    return decoder_.finish() + "\uFFFD";
  }
  std::string finish() { return decoder_.finish(); }

 private:
  int32_t vocab_size_;
  StreamDecoder decoder_;
};

}  // namespace

const char* name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStopToken:
    case FinishReason::kStopString:
      return "stop";
    case FinishReason::kMaxTokens:
    case FinishReason::kContextFull:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "";
}

Result<Generation> generate(Engine& engine, SequenceId sequence, std::span<const int32_t> prompt,
                            const Tokenizer& tokenizer, const GenerationOptions& options,
                            FunctionRef<bool(std::string_view)> on_text) {
  const auto prompt_tokens = static_cast<int64_t>(prompt.size());
  if (prompt.empty()) return invalid("the prompt has no tokens");
  if (prompt_tokens > room(engine, sequence))
    return fail(ErrorKind::kTooLarge, "the prompt's {} tokens do not fit: {} of the context are left",
                prompt_tokens, room(engine, sequence));

  const int64_t vocab_size = engine.model().config().vocab_size;
  const SamplableTokens samplable(samplable_tokens(tokenizer, vocab_size), vocab_size);
  Sampler sampler(options.sampling);
  for (const int32_t token : prompt) sampler.observe_prompt(token);
  TextStream text_stream(tokenizer, options.skip_special);
  StopStrings stops(options.stop_strings);
  Generation result{.prompt_tokens = prompt_tokens};
  bool listening = true;
  const auto show = [&](const std::string& text) {
    result.text += text;
    if (!text.empty() && listening) listening = on_text(text);
  };

  const auto start = Clock::now();
  CADRE_TRY(Tensor logits, prefill(engine, sequence, prompt));
  result.prefill_seconds = seconds_since(start);
  const auto decode_start = Clock::now();
  while (true) {
    const std::span<float> row(logits.row(0), static_cast<size_t>(vocab_size));
    samplable.mask(row);
    const int32_t token = sampler.sample(row);
    if (std::find(options.stop_tokens.begin(), options.stop_tokens.end(), token) !=
        options.stop_tokens.end()) {
      result.reason = FinishReason::kStopToken;
      break;
    }
    result.tokens.push_back(token);
    CADRE_TRY(const std::string text, text_stream.push(token));
    show(stops.push(text));
    if (stops.found()) {
      result.reason = FinishReason::kStopString;
      break;
    }
    if (static_cast<int64_t>(result.tokens.size()) == options.max_tokens) {
      result.reason = FinishReason::kMaxTokens;
      break;
    }
    if (!listening || interrupted()) {
      result.reason = FinishReason::kCancelled;
      break;
    }
    if (room(engine, sequence) < 1) {
      result.reason = FinishReason::kContextFull;
      break;
    }
    const StepItem item{.sequence = sequence, .tokens = std::span(&token, 1)};
    CADRE_TRY(logits, engine.step(std::span(&item, 1)));
  }
  result.decode_seconds = seconds_since(decode_start);
  show(stops.push(text_stream.finish()));
  show(stops.finish());
  return result;
}

std::string StopStrings::push(std::string_view text) {
  if (found_) return {};
  held_ += text;
  size_t first = std::string::npos;
  for (const std::string& stop : stops_)
    if (!stop.empty()) first = std::min(first, held_.find(stop));
  if (first != std::string::npos) {
    found_ = true;
    std::string shown = held_.substr(0, first);
    held_.clear();
    return shown;
  }
  // The longest tail that begins some stop string stays back.
  size_t keep = 0;
  for (const std::string& stop : stops_)
    for (size_t n = std::min(stop.size(), held_.size()); n > keep; --n)
      if (std::string_view(held_).ends_with(std::string_view(stop).substr(0, n))) keep = n;
  std::string shown = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return shown;
}

std::string StopStrings::finish() { return found_ ? std::string() : std::exchange(held_, {}); }

}  // namespace cadre
