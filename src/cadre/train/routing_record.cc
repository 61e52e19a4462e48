#include "cadre/train/routing_record.h"

#include <algorithm>
#include <numeric>

namespace cadre::train {
namespace {

constexpr int64_t kDeadShare = 10;  // of the mean: one part in so many

int64_t count_dead(const std::vector<std::vector<int64_t>>& layers) {
  int64_t dead = 0;
  for (const std::vector<int64_t>& counts : layers) {
    const int64_t sum = std::accumulate(counts.begin(), counts.end(), int64_t{0});
    for (const int64_t count : counts)
      dead += count * kDeadShare * static_cast<int64_t>(counts.size()) < sum ? 1 : 0;
  }
  return dead;
}

double bias_range(const Transformer& model, int layer) {
  const std::vector<float>& bias = std::get<Moe>(model.blocks[static_cast<size_t>(layer)].ffn).selection_bias;
  if (bias.empty()) return 0;
  const auto [least, most] = std::minmax_element(bias.begin(), bias.end());
  return static_cast<double>(*most) - static_cast<double>(*least);
}

Result<std::vector<std::vector<int64_t>>> counts_from(const Json& value, const std::string& origin) {
  std::vector<std::vector<int64_t>> result;
  const auto refuse = [&] { return invalid("{}: field 'routing': expected lists of counts", origin); };
  if (!value.is_array()) return refuse();
  for (const Json& layer : value) {
    if (!layer.is_array()) return refuse();
    std::vector<int64_t>& counts = result.emplace_back();
    for (const Json& count : layer) {
      if (!count.is_number_integer() || count.get<int64_t>() < 0) return refuse();
      counts.push_back(count.get<int64_t>());
    }
  }
  return result;
}

}  // namespace

RoutingMetrics RoutingRecord::add(const Balance& balance, const Transformer& model, double dropped_share) {
  const std::span<const LayerRouting> layers = balance.layers();
  RoutingMetrics metrics{.drop_rate = dropped_share};
  if (layers.empty()) return metrics;
  total_.resize(layers.size());
  window_.resize(layers.size());
  for (size_t l = 0; l < layers.size(); ++l) {
    const std::vector<int64_t>& counts = layers[l].counts;
    total_[l].resize(counts.size());
    window_[l].resize(counts.size());
    for (size_t e = 0; e < counts.size(); ++e) {
      total_[l][e] += counts[e];
      window_[l][e] += counts[e];
    }
    const double violation = max_violation(counts);
    metrics.max_violation += violation / static_cast<double>(layers.size());
    metrics.max_violation_worst = std::max(metrics.max_violation_worst, violation);
    metrics.max_violation_global = std::max(metrics.max_violation_global, max_violation(total_[l]));
    metrics.load_entropy += load_entropy(counts) / static_cast<double>(layers.size());
    metrics.gate_entropy += layers[l].entropy_sum /
                            static_cast<double>(std::max<int64_t>(1, layers[l].tokens)) /
                            static_cast<double>(layers.size());
    metrics.bias_range = std::max(metrics.bias_range, bias_range(model, layers[l].layer));
  }
  window_tokens_ += layers[0].tokens;
  if (window_tokens_ >= kDeadWindowTokens) {
    dead_ = count_dead(window_);
    for (std::vector<int64_t>& counts : window_) std::fill(counts.begin(), counts.end(), 0);
    window_tokens_ = 0;
  }
  metrics.dead_experts = dead_;
  return metrics;
}

Json RoutingRecord::to_json() const {
  return Json{{"total", total_}, {"window", window_}, {"window_tokens", window_tokens_}, {"dead", dead_}};
}

Result<RoutingRecord> RoutingRecord::from_json(const Json& value, const std::string& origin) {
  const JsonFields fields(value, origin, "routing");
  RoutingRecord record;
  for (const char* key : {"total", "window"})
    if (!fields.has(key)) return fields.error(key, "expected lists of counts, found nothing");
  CADRE_TRY(record.total_, counts_from(*fields.find("total"), origin));
  CADRE_TRY(record.window_, counts_from(*fields.find("window"), origin));
  constexpr int64_t kMost = int64_t{1} << 60;
  CADRE_TRY(record.window_tokens_, fields.integer("window_tokens", 0, kMost));
  CADRE_TRY(record.dead_, fields.integer("dead", 0, kMost));
  return record;
}

}  // namespace cadre::train
