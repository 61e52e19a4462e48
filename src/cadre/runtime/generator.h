#pragma once
/// A prompt's continuation, token by token: prefill in chunks, sample, decode, stop.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/function_ref.h"
#include "cadre/runtime/engine.h"
#include "cadre/runtime/sampler.h"
#include "cadre/text/tokenizer.h"

namespace cadre {

struct GenerationOptions {
  int64_t max_tokens = 0;  ///< 0: until the context is full
  SamplingParams sampling;
  std::vector<int32_t> stop_tokens;       ///< end of sequence; not part of the text
  std::vector<std::string> stop_strings;  ///< not part of the text either
  bool skip_special = true;               ///< special tokens are not part of the text
};

enum class FinishReason : uint8_t { kStopToken, kStopString, kMaxTokens, kContextFull, kCancelled };
/// "stop", "length", ...: as the OpenAI API calls it.
const char* name(FinishReason reason);

struct Generation {
  std::vector<int32_t> tokens;  ///< what was sampled, without the stop token
  std::string text;
  FinishReason reason = FinishReason::kStopToken;
  int64_t prompt_tokens = 0;  ///< tokens prefilled now, not those already in the sequence
  double prefill_seconds = 0;
  double decode_seconds = 0;  ///< of all tokens after the first
};

/// Continues `sequence` with `prompt`, then with what is sampled, and leaves in the cache everything but the
/// last sampled token. `on_text` gets whole characters as they come and returns false to cancel. Errors:
/// kTooLarge when the prompt does not fit the context, saying both numbers; those of Engine::step.
Result<Generation> generate(Engine& engine, SequenceId sequence, std::span<const int32_t> prompt,
                            const Tokenizer& tokenizer, const GenerationOptions& options,
                            FunctionRef<bool(std::string_view)> on_text);

/// Finds stop strings in text that comes in pieces, holding back what may be the start of one.
class StopStrings {
 public:
  explicit StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  /// Text that may be shown now. After a stop string was found, nothing more comes.
  std::string push(std::string_view text);
  /// What was held back, at the end.
  std::string finish();
  bool found() const { return found_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool found_ = false;
};

}  // namespace cadre
