#pragma once
/// Tensors to be written that are made of bound weights: copied, converted to another type without a change
/// of value where there is one, transposed, or with rows in another order. Made in pieces, so memory is
/// bounded whatever the tensor's size.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "cadre/base/function_ref.h"
#include "cadre/base/result.h"
#include "cadre/formats/layout.h"
#include "cadre/tensor/tensor.h"

namespace cadre {

/// Consecutive rows of a planned tensor, and the rows [first_row, first_row + source_rows) of `weight` that
/// they come from.
struct TensorPart {
  enum class Order : uint8_t {
    kRows,        ///< row i is source row i
    kTransposed,  ///< row i is source column i
    /// In each run of `head_rows` rows, the two halves become pairs: row 2i is source row i, row 2i + 1
    /// source row i + head_rows / 2. From rotary halves (Hugging Face's Llama) to pairs (GGUF's).
    kHalvesToPairs,
    kPairsToHalves,  ///< the inverse
  };
  Weight weight;
  int64_t first_row = 0;
  int64_t source_rows = 0;
  Order order = Order::kRows;
  int64_t head_rows = 0;

  int64_t rows() const { return order == Order::kTransposed ? weight.cols : source_rows; }
  int64_t cols() const { return order == Order::kTransposed ? source_rows : weight.cols; }
  static TensorPart whole(const Weight& weight, Order order = Order::kRows, int64_t head_rows = 0) {
    return {weight, 0, weight.rows, order, head_rows};
  }
};

/// `spec.shape` counts the rows of all parts. A packed spec has a single part of rows of its row type, or
/// several whose rows are multiples of 16.
struct PlannedTensor {
  TensorSpec spec;
  std::vector<TensorPart> parts;
};

/// Whether every value of `from` is one of `to`: the conversions that are made without asking. FP8 counts as
/// itself times an f32 scale, which only f32 holds (rounded once, as every reader of it does).
bool is_lossless(DType from, DType to);

/// How a piece leaves: the tensor's name and its next bytes.
using PieceWriter = FunctionRef<Status(std::string_view name, std::span<const std::byte> bytes)>;
/// Hears how many bytes of the total are written.
using ConvertProgress = FunctionRef<void(int64_t done_bytes, int64_t total_bytes)>;

/// Makes all tensors in order with `threads` threads (0: one per core) and hands their bytes to `write`.
/// Errors: of `write`; kInterrupt.
Status make_tensors(const std::vector<PlannedTensor>& tensors, int threads, PieceWriter write,
                    ConvertProgress progress);

/// Of all tensors as written.
int64_t total_bytes(const std::vector<PlannedTensor>& tensors);

}  // namespace cadre
