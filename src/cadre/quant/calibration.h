#pragma once
/// The forward pass of calibration: a text through the unquantised model, layer by layer, so that whoever
/// listens holds what belongs to one layer at a time, and each weight is read once, whatever the length of
/// the text.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "cadre/runtime/kv_cache.h"
#include "cadre/runtime/model.h"
#include "cadre/text/tokenizer.h"

namespace cadre {

/// Fewer would say more about the text than about the model.
inline constexpr int64_t kMinCalibrationTokens = 512;

/// A text as windows that know nothing of one another, each with BOS where the tokenizer asks for it.
struct CalibrationText {
  std::vector<int32_t> tokens;  ///< window after window
  int64_t window = 512;         ///< tokens of each but the last
  std::string identity;         ///< distinguishes it from others

  int64_t windows() const { return (static_cast<int64_t>(tokens.size()) + window - 1) / window; }
  std::span<const int32_t> window_tokens(int64_t index) const;
};

struct CalibrationLimits {
  int64_t window = 512;    ///< positions; cut to what the model can
  int64_t max_tokens = 0;  ///< the text is cut to as many; 0: all of it
};

/// `origin` (the text's path) begins every message. Errors: kInvalid for a text of fewer than
/// kMinCalibrationTokens tokens, saying how many there are; those of the tokenizer.
Result<CalibrationText> calibration_text(const Tokenizer& tokenizer, const ModelConfig& config,
                                         std::string_view text, std::string_view origin,
                                         const CalibrationLimits& limits);

/// Hears how many tokens of how many have passed, a token counted in each layer.
using CalibrationProgress = FunctionRef<void(int64_t done, int64_t total)>;

/// Thread-compatible. Sums are f32 and the cache is f32, so that what the observer sees depends on model and
/// text alone.
class CalibrationPass {
 public:
  /// `model` and `text` must outlive it. Errors: kTooLarge, kNotFound as Engine::create.
  static Result<CalibrationPass> create(const Model& model, const CalibrationText& text,
                                        const CpuOptions& cpu);

  int64_t layers() const { return static_cast<int64_t>(model_->transformer().blocks.size()); }
  /// Layers that are done.
  int64_t next_layer() const { return next_layer_; }

  /// Runs the text through the next layer, window by window; `observer` may be null.
  /// Errors: kInterrupt.
  Status run_layer(ActivationObserver* observer);
  /// After the last layer: hands its normed output to `observer` as the head's input. Errors: kInterrupt.
  Status run_head(ActivationObserver& observer);

  /// For the observer's own arithmetic, between the operations.
  Backend& backend() { return *backend_; }

 private:
  CalibrationPass(const Model& model, const CalibrationText& text, std::unique_ptr<Backend> backend,
                  KvCache cache, Arena arena);
  Tensor hidden_rows(int64_t window);

  const Model* model_;
  const CalibrationText* text_;
  std::unique_ptr<Backend> backend_;
  KvCache cache_;
  Arena arena_;
  std::vector<int32_t> pages_;
  std::vector<float> cosine_;  ///< [window, rope dim / 2]; every window begins at position 0
  std::vector<float> sine_;
  std::vector<float> hidden_;        ///< [tokens, d], the residual stream
  std::vector<float> gate_context_;  ///< [tokens, g] of a model with a gate block, from the first layer on
  RoutingWorkspace routing_;
  std::vector<ExpertGroup> groups_;
  int64_t next_layer_ = 0;
};

/// FNV-1a of 64 bits, as 16 hexadecimal digits: to notice that an input has changed, not against forgery.
std::string fingerprint(std::span<const std::byte> bytes);

}  // namespace cadre
