#pragma once
/// `cadre quantize`: a model directory with packed weights out of any checkpoint that we read, tensor by
/// tensor. Memory: the row blocks in work, tens of megabytes, and one attention matrix in f32 where it is
/// transposed; the source is mapped.

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/function_ref.h"
#include "cadre/quant/calibration.h"
#include "cadre/quant/plan.h"
#include "cadre/quant/source.h"

namespace cadre {

/// How much the columns of matrices count, from wherever that is known. Thread-safe to read.
class ColumnImportance {
 public:
  virtual ~ColumnImportance() = default;
  /// Factors for the columns of row `row` of the matrix [rows, ...] that the quantised model calls `weight`:
  /// as many as columns, finite and not negative. Empty: all count the same.
  virtual std::span<const float> of_row(std::string_view weight, int64_t row, int64_t rows) const = 0;
  /// Distinguishes it from others: an interrupted run goes on only with the same.
  virtual std::string identity() const = 0;
  /// What a user should know about it, a sentence each.
  virtual std::vector<std::string> notes() const { return {}; }
};

struct QuantizeOptions {
  QuantPlanOptions plan;
  int threads = 0;  ///< 0: one per core
  /// A file gets no further tensor that would make it larger than this; experts stay whole.
  int64_t shard_bytes = int64_t{8} << 30;
  const ColumnImportance* importance = nullptr;
  /// Make the errors of columns good by those after them (GPTQ), for the inputs that this text has;
  /// importances then decide only where that does not (the embedding).
  const CalibrationText* gptq = nullptr;
  std::string isa = "auto";  ///< of the text's forward pass; no bit depends on it
  bool requantize = false;   ///< accept a source that is quantised already
  bool force = false;        ///< replace a model at the output
  bool restart = false;      ///< discard what an interrupted run left
};

struct QuantizeReport {
  int64_t tensors = 0;
  int64_t parameters = 0;
  int64_t bytes = 0;         ///< of the tensors
  int64_t source_bytes = 0;  ///< of the tensors of the source
  int64_t files = 0;
  int64_t resumed_tensors = 0;     ///< were there from an interrupted run
  std::vector<std::string> notes;  ///< what is not as asked or as in the source, a sentence each
};

/// Hears how many bytes of the tensors' total are written.
using QuantizeProgress = FunctionRef<void(int64_t done_bytes, int64_t total_bytes)>;

/// What a plan has for notes: the matrices that fell back to bf16, tensors that are left out, packed matrices
/// without importances (where there are any; may be null).
std::vector<std::string> quantize_notes(const QuantSource& source, const QuantPlan& plan,
                                        const ColumnImportance* importance);

/// Writes the directory `out` from the model `in`: config.json, weights in model.safetensors or shards with
/// an index, and copies of the tokenizer and other small files. The same input and options give the same
/// bytes, whatever the threads and however often the run was interrupted. `out` appears when it is complete;
/// an interrupted or failed run leaves its finished tensors in `out`.partial, and the same call goes on
/// there. Errors: kUsage (the output exists, a rule that decides nothing), kInvalid (the source; a weight
/// that is not finite, naming tensor, row and column; a partial run with other options), kTooLarge (the disk,
/// with both numbers, before anything is written), kIo, kInterrupt.
Result<QuantizeReport> quantize_model(const std::filesystem::path& in, const std::filesystem::path& out,
                                      const QuantizeOptions& options, QuantizeProgress progress);

}  // namespace cadre
