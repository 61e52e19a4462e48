#pragma once
/// The weights of the model that is quantised, as rows of f32, by the names that the quantised model has.

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/quant/plan.h"
#include "cadre/runtime/model.h"

namespace cadre {

/// The rows of one weight; a vector is one row. Points into its QuantSource.
class WeightRows {
 public:
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  /// Decodes rows [first, first + count) to `out` [count, cols]. Thread-safe.
  void read(int64_t first, int64_t count, float* out) const;

 private:
  friend class QuantSource;

  int64_t rows_ = 0;
  int64_t cols_ = 0;
  Weight matrix_;
  const float* values_ = nullptr;  ///< [rows, cols] instead of a matrix
  std::vector<float> transposed_;  ///< what values_ points to, where there was nothing to point to
  /// Rows are those of heads in a larger matrix: row r is row r / of_head * stride + offset + r % of_head.
  int64_t of_head_ = 1;
  int64_t stride_ = 1;
  int64_t offset_ = 0;
};

/// Immutable; owns the mapping of the files.
class QuantSource {
 public:
  /// Errors: as Model::load.
  static Result<QuantSource> open(const std::filesystem::path& path);

  const Model& model() const { return *model_; }
  const Checkpoint& checkpoint() const { return model_->checkpoint(); }
  const Family& family() const { return *family_; }
  /// Of the quantised model: split_kv_b.
  const ModelConfig& target() const { return target_; }
  /// Bytes of tensors in the files that the model does not read.
  int64_t unused_bytes() const { return checkpoint().stored_bytes() - model_->size().bytes; }

  /// Errors: kInvalid naming the first matrix that is quantised already (FP8 is not counted as such: models
  /// are trained in it).
  Status check_not_quantised() const;
  WeightRows rows(const PlannedWeight& weight) const;
  /// "model.safetensors: tensor 'NAME'", of the tensor that holds the weight.
  std::string where(const PlannedWeight& weight) const;

 private:
  /// A weight of the checkpoint.
  struct Entry {
    Weight matrix;
    const VectorWeight* vector = nullptr;
  };
  explicit QuantSource(Model model);
  /// The name of the matrix that `name` is a part of: its own, or that of kv_b_proj.
  std::string stored_name(const std::string& name) const;

  std::unique_ptr<Model> model_;
  std::unique_ptr<Transformer> layout_;  ///< what entries_ point into
  const Family* family_ = nullptr;
  ModelConfig target_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace cadre
