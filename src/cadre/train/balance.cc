#include "cadre/train/balance.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace cadre::train {
namespace {

/// F_i = N c_i / sum c, which is N / (k T) c_i where every token has k experts
std::vector<double> frequencies(std::span<const int64_t> counts) {
  const int64_t sum = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  const double scale = static_cast<double>(counts.size()) / static_cast<double>(std::max<int64_t>(1, sum));
  std::vector<double> result;
  for (const int64_t count : counts) result.push_back(scale * static_cast<double>(count));
  return result;
}

std::vector<int64_t> count_choices(const RoutingPlan& plan, int64_t experts, int64_t first, int64_t rows) {
  std::vector<int64_t> counts(static_cast<size_t>(experts), 0);
  for (int64_t t = first; t < first + rows; ++t)
    for (const int32_t e : plan.experts_of(t)) ++counts[static_cast<size_t>(e)];
  return counts;
}

}  // namespace

double max_violation(std::span<const int64_t> counts) {
  const double mean = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0})) /
                      static_cast<double>(counts.size());
  if (mean == 0) return 0;
  return static_cast<double>(*std::max_element(counts.begin(), counts.end())) / mean - 1;
}

double load_entropy(std::span<const int64_t> counts) {
  const auto sum = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  if (sum == 0 || counts.size() < 2) return 0;
  double entropy = 0;
  for (const int64_t count : counts) {
    const double p = static_cast<double>(count) / sum;
    if (p > 0) entropy -= p * std::log(p);
  }
  return entropy / std::log(static_cast<double>(counts.size()));
}

Balance::Balance(const ModelConfig& config, const AuxiliaryLosses& losses)
    : config_(config.moe.value_or(MoeConfig{})), losses_(losses) {
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    index_.push_back(static_cast<int>(layers_.size()));
    if (config.is_moe_layer(layer)) layers_.push_back({.layer = static_cast<int>(layer)});
  }
  gradient_ = [this](const RoutingPlan& decided, const Tensor& dlogits) { add_gradient(decided, dlogits); };
  begin_step(0, 0);
}

void Balance::begin_step(int64_t tokens, int64_t sequences) {
  tokens_ = tokens;
  sequences_ = sequences;
  counting_ = true;
  for (LayerRouting& layer : layers_)
    layer = {.layer = layer.layer,
             .counts = std::vector<int64_t>(static_cast<size_t>(config_.n_routed_experts), 0)};
}

RoutingPolicy Balance::policy() {
  return [this](RoutingPlan plan) {
    if (!counting_) return plan;
    LayerRouting& layer = layer_of(plan.layer);
    for (const int32_t e : plan.experts) ++layer.counts[static_cast<size_t>(e)];
    layer.tokens += plan.tokens();
    return plan;
  };
}

void Balance::add_gradient(const RoutingPlan& decided, const Tensor& dlogits) {
  LayerRouting& layer = layer_of(decided.layer);
  const auto n = static_cast<size_t>(config_.n_routed_experts);
  std::vector<double> batch_frequency(n, 0.0);
  if (losses_.batch != 0) {
    CADRE_CHECK(layer.tokens == tokens_, "{} of the step's {} tokens counted", layer.tokens, tokens_);
    batch_frequency = frequencies(layer.counts);
  }
  const double log_n = std::log(static_cast<double>(n));
  const double per_token = 1.0 / static_cast<double>(tokens_);
  std::vector<float> scores(n);
  std::vector<double> q(n);
  std::vector<double> factor(n);
  std::vector<double> dscores(n);
  for (const SequenceRows& sequence : batch_) {
    const std::vector<double> frequency =
        frequencies(count_choices(decided, config_.n_routed_experts, sequence.first_row, sequence.rows));
    const double per_row = 1.0 / static_cast<double>(sequence.rows * sequences_);
    for (int64_t t = sequence.first_row; t < sequence.first_row + sequence.rows; ++t) {
      const std::span<const float> logits(decided.router_logits.row(t), n);
      score_experts(config_.score_function, logits, scores);
      const double sum =
          std::max(std::accumulate(scores.begin(), scores.end(), 0.0), std::numeric_limits<double>::min());
      double mean = 0;  // sum_i factor_i q_i
      double entropy = 0;
      for (size_t i = 0; i < n; ++i) {
        q[i] = static_cast<double>(scores[i]) / sum;
        layer.sequence_loss += frequency[i] * q[i] * per_row;
        layer.batch_loss += batch_frequency[i] * q[i] * per_token;
        if (q[i] > 0) entropy -= q[i] * std::log(q[i]);
        factor[i] =
            losses_.sequence * frequency[i] * per_row + losses_.batch * batch_frequency[i] * per_token;
        mean += factor[i] * q[i];
      }
      layer.entropy_sum += entropy / log_n;
      const std::span<float> row(dlogits.row(t), n);
      for (size_t i = 0; i < n; ++i) dscores[i] = (factor[i] - mean) / sum;
      if (losses_.sequence != 0 || losses_.batch != 0)
        add_score_gradient(config_.score_function, logits, dscores, row);

      const double largest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
      double exponentials = 0;
      for (const float z : logits) exponentials += std::exp(static_cast<double>(z) - largest);
      const double log_sum = largest + std::log(exponentials);
      layer.z_loss += log_sum * log_sum * per_token;
      if (losses_.z == 0) continue;
      for (size_t i = 0; i < n; ++i)
        row[i] = static_cast<float>(static_cast<double>(row[i]) +
                                    losses_.z * per_token * 2 * log_sum *
                                        std::exp(static_cast<double>(logits[i]) - log_sum));
    }
  }
}

void Balance::update_bias(Transformer& model, double rate) const {
  for (const LayerRouting& layer : layers_) {
    auto& moe = std::get<Moe>(model.blocks[static_cast<size_t>(layer.layer)].ffn);
    if (moe.selection_bias.empty()) continue;
    const int64_t total = std::accumulate(layer.counts.begin(), layer.counts.end(), int64_t{0});
    const auto experts = static_cast<int64_t>(layer.counts.size());
    for (size_t i = 0; i < layer.counts.size(); ++i) {
      // Compared in whole numbers, so that an expert with exactly the mean stays where it is.
      const int64_t excess = layer.counts[i] * experts - total;
      const int sign = (excess < 0 ? 1 : 0) - (excess > 0 ? 1 : 0);
      moe.selection_bias[i] = static_cast<float>(static_cast<double>(moe.selection_bias[i]) + rate * sign);
    }
  }
}

double Balance::loss() const {
  double sum = 0;
  for (const LayerRouting& layer : layers_)
    sum +=
        losses_.sequence * layer.sequence_loss + losses_.batch * layer.batch_loss + losses_.z * layer.z_loss;
  return sum;
}

}  // namespace cadre::train
