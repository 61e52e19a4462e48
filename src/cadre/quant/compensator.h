#pragma once
/// GPTQ for the quantiser: runs a text through the source model as far as the weights that are asked for, and
/// says how the rounding errors of their columns make one another good.

#include <memory>
#include <optional>
#include <vector>

#include "cadre/quant/calibration.h"
#include "cadre/quant/hessian.h"
#include "cadre/quant/source.h"

namespace cadre {

/// For the rows of one weight: part p's, of as many as there are parts, follow part p - 1's.
struct WeightFeedback {
  struct Part {
    std::vector<ColumnRange> ranges;
    std::vector<ErrorFeedback> feedback;  ///< by range
  };
  std::vector<Part> parts;
};

/// Thread-compatible. Memory: what LayerHessians keeps of one layer, the factors of the weights that share an
/// input, and the residual stream of the text.
class Compensator {
 public:
  static constexpr double kDamping = 0.01;

  /// `source` and `text` must outlive it. Errors: those of CalibrationPass::create.
  static Result<Compensator> create(const QuantSource& source, const CalibrationText& text,
                                    const CpuOptions& cpu);

  /// Of a matrix of the quantised model whose rows 32 divides; weights are asked for layer by layer, as the
  /// plan has them. Valid until the next call. nullptr: an embedding, which is not multiplied, or not before
  /// everything else is. Errors: kInvalid where activations are not finite, naming the site; kInterrupt.
  Result<const WeightFeedback*> feedback(const PlannedWeight& weight);

  Backend& backend() { return pass_.backend(); }
  /// Which experts met no token so far, a sentence for each layer.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  Compensator(const QuantSource& source, const CalibrationText& text, CalibrationPass pass);
  /// Listens to layer `layer`, the last that was run.
  Status reach(size_t layer);
  void note_unmet();

  const QuantSource* source_;
  int64_t tokens_;
  CalibrationPass pass_;
  std::vector<InputSite> sites_;  ///< of the source, all layers
  std::map<std::string, WeightInput, std::less<>> inputs_;
  std::optional<size_t> layer_;
  std::unique_ptr<LayerHessians> hessians_;

  /// Of the last weight that was asked for. The next one often shares it: up has gate's inputs.
  struct Key {
    size_t site;
    int64_t first_part;
    bool operator==(const Key&) const = default;
  };
  std::optional<Key> key_;
  WeightFeedback feedback_;
  std::vector<std::string> notes_;
};

}  // namespace cadre
