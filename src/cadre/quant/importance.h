#pragma once
/// How much the columns of weights count: the mean squares of their inputs on a text, the diagonal of X^T X.
/// An error e in a weight of column c adds e^2 E[x_c^2] to the squared error of the output (errors of
/// different columns taken as independent). Per expert, from the tokens that are routed to it.

#include "cadre/quant/calibration.h"
#include "cadre/quant/importance_file.h"
#include "cadre/quant/input_sites.h"
#include "cadre/quant/quantize.h"

namespace cadre {

/// Runs `text` through the model. The result depends on model and text alone, not on the threads. Errors:
/// those of CalibrationPass; kInvalid for a model whose activations are not finite, naming the site.
Result<ImportanceData> collect_importance(const Model& model, const CalibrationText& text,
                                          const CpuOptions& cpu, CalibrationProgress progress);

/// Factors for the columns of a model's weights. Immutable, safe to share between threads.
///
/// An expert that met few tokens borrows: with m its mean squares over n inputs and p a prior,
/// (n m + k p) / (n + k), k = kPriorInputs. Before the experts' gate and up, p is the mean over all inputs of
/// the layer's experts; before down, where columns of two experts have nothing in common, p is the mean of
/// all of them, the same for every column. And to every column kFloor of the mean is added: inputs that this
/// text does not have, another one may.
class Importance : public ColumnImportance {
 public:
  static constexpr double kPriorInputs = 64;
  static constexpr double kFloor = 0.01;

  /// For the weights that `family` has in a model of `config` (with split_kv_b). Errors: kInvalid where the
  /// data is another model's, naming `origin` and the tensor, what was expected and what was found.
  static Result<Importance> bind(const ImportanceData& data, const Family& family, const ModelConfig& config,
                                 std::string_view origin);

  std::span<const float> of_row(std::string_view weight, int64_t row, int64_t rows) const override;
  std::string identity() const override { return identity_; }
  /// Which experts had to borrow all, a sentence each.
  std::vector<std::string> notes() const override { return notes_; }

 private:
  struct Factors {
    int64_t cols = 0;
    std::vector<float> values;  ///< [parts, cols]; empty: no input at all
  };
  std::vector<Factors> sites_;
  std::map<std::string, WeightInput, std::less<>> weights_;
  std::string identity_;
  std::vector<std::string> notes_;
};

}  // namespace cadre
