#include "cadre/quant/gptq.h"

#include <algorithm>
#include <array>

#include "cadre/quant/encode.h"

namespace cadre {
namespace {

/// Columns that are rounded one by one before a matrix product carries their errors to all others.
constexpr int64_t kPanel = 128;
/// Rows that a thread takes at once: the lanes of its vectors, whatever the instruction set.
constexpr int64_t kPanelRows = 16;

using Lanes = std::array<float, kPanelRows>;
/// A panel's columns of kPanelRows rows.
using Panel = std::array<Lanes, kPanel>;

/// target + sum over j in [begin, end) of feedback[j] * errors[j], in this order.
Lanes fed_back(Lanes target, const Panel& errors, const float* feedback, int64_t begin, int64_t end) {
  for (int64_t j = begin; j < end; ++j)
    for (size_t lane = 0; lane < kPanelRows; ++lane)
      target[lane] += feedback[j] * errors[static_cast<size_t>(j)][lane];
  return target;
}

/// Targets may leave what the type can encode, or, near the largest weights, f32. NaN becomes the limit.
float bounded(float target, float limit) {
  target = target < limit ? target : limit;
  return target > -limit ? target : -limit;
}

/// What is being rounded: rows of a block of columns.
struct Block {
  DType type;
  const ErrorFeedback& feedback;
  const float* weights;  ///< [rows, stride]
  int64_t stride;
  std::vector<float> targets;  ///< [rows, n]: the weights and what was fed back so far
  std::vector<float> errors;   ///< [rows, panel]: weight less value
  uint8_t* codes;              ///< [rows, stride]
  float* scales;               ///< [rows, stride / 32]
  float limit;                 ///< magnitude of a target
};

/// Rounds columns [begin, begin + width) of rows [row, row + rows), at most kPanelRows.
void round_panel(Block& block, int64_t begin, int64_t width, int64_t row, int64_t rows) {
  const int64_t n = block.feedback.n;
  Panel targets{};
  Panel errors{};
  for (int64_t lane = 0; lane < rows; ++lane)
    for (int64_t k = 0; k < width; ++k)
      targets[static_cast<size_t>(k)][static_cast<size_t>(lane)] =
          block.targets[static_cast<size_t>((row + lane) * n + begin + k)];
  const auto feedback_of = [&](int64_t k) { return block.feedback.row(begin + k) + begin; };

  for (int64_t group = 0; group < width; group += kPackedGroup) {
    for (int64_t k = group; k < group + kPackedGroup; ++k)
      targets[static_cast<size_t>(k)] =
          fed_back(targets[static_cast<size_t>(k)], errors, feedback_of(k), 0, group);
    std::vector<GroupRounder> rounders;
    rounders.reserve(kPanelRows);
    for (int64_t lane = 0; lane < rows; ++lane) {
      std::array<float, kPackedGroup> values{};
      for (int64_t i = 0; i < kPackedGroup; ++i)
        values[static_cast<size_t>(i)] =
            bounded(targets[static_cast<size_t>(group + i)][static_cast<size_t>(lane)], block.limit);
      const float scale =
          best_group_scale(block.type, values.data(), block.feedback.cost.data() + begin + group);
      block.scales[((row + lane) * block.stride + begin + group) / kPackedGroup] = scale;
      rounders.emplace_back(block.type, scale);
    }
    for (int64_t k = group; k < group + kPackedGroup; ++k) {
      const Lanes target = fed_back(targets[static_cast<size_t>(k)], errors, feedback_of(k), group, k);
      for (int64_t lane = 0; lane < rows; ++lane) {
        const auto l = static_cast<size_t>(lane);
        const int64_t at = (row + lane) * block.stride + begin + k;
        const uint8_t code = rounders[l].code(bounded(target[l], block.limit));
        block.codes[at] = code;
        errors[static_cast<size_t>(k)][l] = block.weights[at] - rounders[l].decoded(code);
      }
    }
  }
  for (int64_t lane = 0; lane < rows; ++lane)
    for (int64_t k = 0; k < width; ++k)
      block.errors[static_cast<size_t>((row + lane) * width + k)] =
          errors[static_cast<size_t>(k)][static_cast<size_t>(lane)];
}

/// Adds a panel's errors to the targets of all columns from `begin` + `width` on.
void feed_back(Block& block, int64_t begin, int64_t width, int64_t rows, Backend& backend,
               std::vector<float>& products) {
  const int64_t n = block.feedback.n;
  const int64_t next = begin + width;
  const int64_t rest = n - next;
  if (rest == 0) return;
  products.resize(static_cast<size_t>(rows * rest));
  backend.matmul({.x = Tensor::dense(block.errors.data(), rows, width),
                  .w = {.data = reinterpret_cast<const std::byte*>(block.feedback.row(next) + begin),
                        .dtype = DType::kF32,
                        .rows = rest,
                        .cols = width,
                        .row_bytes = n * static_cast<int64_t>(sizeof(float))},
                  .y = Tensor::dense(products.data(), rows, rest)});
  for (int64_t row = 0; row < rows; ++row) {
    float* targets = block.targets.data() + row * n + next;
    const float* added = products.data() + row * rest;
    for (int64_t k = 0; k < rest; ++k) targets[k] += added[k];
  }
}

}  // namespace

void round_with_feedback(DType type, const ErrorFeedback& feedback, const float* weights, int64_t first_row,
                         int64_t rows, int64_t first_col, Backend& backend, ThreadPool& pool,
                         RoundedRows& out) {
  const int64_t n = feedback.n;
  CADRE_CHECK(n % kPackedGroup == 0 && first_col % kPackedGroup == 0, "{} columns from {}", n, first_col);
  const int64_t offset = first_row * out.cols + first_col;
  Block block{.type = type,
              .feedback = feedback,
              .weights = weights + offset,
              .stride = out.cols,
              .targets = std::vector<float>(static_cast<size_t>(rows * n)),
              .errors = std::vector<float>(static_cast<size_t>(rows * std::min(n, kPanel))),
              .codes = out.codes.data() + offset,
              .scales = out.scales.data() + offset / kPackedGroup,
              .limit = largest_encodable(type)};
  for (int64_t row = 0; row < rows; ++row)
    std::copy_n(block.weights + row * block.stride, n, block.targets.begin() + row * n);
  std::vector<float> products;
  for (int64_t begin = 0; begin < n; begin += kPanel) {
    const int64_t width = std::min(kPanel, n - begin);
    pool.run((rows + kPanelRows - 1) / kPanelRows, [&](int64_t task, int) {
      const int64_t row = task * kPanelRows;
      round_panel(block, begin, width, row, std::min(kPanelRows, rows - row));
    });
    feed_back(block, begin, width, rows, backend, products);
  }
}

}  // namespace cadre
