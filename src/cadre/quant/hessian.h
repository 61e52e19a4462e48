#pragma once
/// The second moments X^T X / n of the inputs of one layer's weights: the Hessians of their squared output
/// errors.

#include <map>
#include <memory>
#include <vector>

#include "cadre/ops/context.h"
#include "cadre/quant/gram.h"
#include "cadre/quant/input_sites.h"

namespace cadre {

/// A Hessian is [n, n] of consecutive columns: a wider site has several, and errors of one are not made good
/// in another. It bounds memory: this is 256 MiB.
inline constexpr int64_t kMaxHessianColumns = 8192;

struct ColumnRange {
  int64_t begin = 0;
  int64_t count = 0;  ///< a multiple of 32
};
/// As equal as groups of 32 allow. `cols` is a multiple of 32.
std::vector<ColumnRange> hessian_ranges(int64_t cols);

/// Listens to one layer and gives its Hessians. Where every token is an input they are summed as tokens pass;
/// for experts the inputs are kept (a row per token, and a hidden row per token and expert), and an expert's
/// Hessian is made when it is asked for, because those of all would not fit: at most one is alive.
class LayerHessians : public ActivationObserver {
 public:
  /// What an expert of few tokens borrows counts as this many inputs. Before gate and up, the Hessian of all
  /// tokens; before down, where the columns of two experts have nothing in common, a multiple of the
  /// identity.
  static constexpr double kPriorInputs = 128;

  /// `sites` are one layer's; the model that they point into outlives it. `tokens` will pass.
  LayerHessians(std::vector<InputSite> sites, int64_t tokens, Backend& backend);

  void matmul(const Tensor& x, const Weight& w) override;
  void head_matmul(const Tensor& x, const Weight& w, bool transposed) override;
  void expert_ffn(const Tensor& x, std::span<const ExpertGroup> groups,
                  std::span<const int32_t> rows) override;

  const std::vector<InputSite>& sites() const { return sites_; }
  /// Inputs that a part has seen.
  int64_t inputs(size_t site, int64_t part) const { return moments_[site].inputs[static_cast<size_t>(part)]; }
  /// Lower triangle [n, n] of a part's Hessian over the columns of `range`, which is of hessian_ranges.
  std::vector<float> hessian(size_t site, int64_t part, ColumnRange range) const;

 private:
  struct Moments {
    std::vector<int64_t> inputs;           ///< by part
    std::vector<std::vector<float>> sums;  ///< by part and range: X^T X; not of experts
    /// Of experts: tokens whose rows in every_token_ are the inputs, or the inputs themselves.
    std::vector<std::vector<int32_t>> tokens;
    std::vector<std::vector<float>> rows;
    double squares = 0;  ///< sum over all rows
  };
  void add(SiteIndex::Place place, const Tensor& x);
  /// An expert's inputs over `range`, as rows.
  std::vector<float> gathered(size_t site, int64_t part, ColumnRange range) const;

  std::vector<InputSite> sites_;
  SiteIndex index_;
  Backend& backend_;
  std::vector<Moments> moments_;    ///< by site
  std::vector<float> every_token_;  ///< [tokens, d]: inputs of the MoE layer
  size_t all_tokens_site_ = 0;      ///< the site of their Hessian: ffn.in
};

}  // namespace cadre
