#include "cadre/quant/importance.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cadre/base/check.h"
#include "cadre/formats/layout.h"

namespace cadre {
namespace {

/// Sums of squares per site, part and column, in f64 and in the order of the text.
class SquareSums : public ActivationObserver {
 public:
  explicit SquareSums(const Transformer& model) : sites_(input_sites(model)), index_(sites_) {
    for (const InputSite& site : sites_) {
      sums_.emplace_back(static_cast<size_t>(site.parts * site.cols));
      inputs_.emplace_back(static_cast<size_t>(site.parts));
    }
  }

  void matmul(const Tensor& x, const Weight& w) override {
    if (const auto* place = index_.find(w)) add(*place, x, {});
  }
  void head_matmul(const Tensor& x, const Weight& w, bool transposed) override {
    const auto* place = index_.find(w, transposed);
    if (place == nullptr) return;
    for (int64_t h = 0; h < x.heads; ++h) {
      const Tensor head{x.at(0, h), x.rows, 1, x.width, x.row_stride, x.width};
      add({place->site, place->part + h}, head, {});
    }
  }
  void expert_ffn(const Tensor& x, std::span<const ExpertGroup> groups,
                  std::span<const int32_t> rows) override {
    for (const ExpertGroup& group : groups) {
      const auto assigned = rows.subspan(static_cast<size_t>(group.first), static_cast<size_t>(group.count));
      if (const auto* place = index_.find(group.expert.gate)) add(*place, x, assigned);
      if (const auto* place = index_.find(group.expert.down)) add(*place, group.hidden, {});
    }
  }

  Result<std::vector<SiteImportance>> take() {
    std::vector<SiteImportance> result;
    result.reserve(sites_.size());
    for (size_t s = 0; s < sites_.size(); ++s) {
      const InputSite& site = sites_[s];
      SiteImportance importance{.name = site.name, .parts = site.parts, .cols = site.cols};
      importance.inputs = std::move(inputs_[s]);
      importance.mean_squares.resize(sums_[s].size());
      for (size_t i = 0; i < sums_[s].size(); ++i) {
        const int64_t count = importance.inputs[i / static_cast<size_t>(site.cols)];
        const auto mean = static_cast<float>(sums_[s][i] / static_cast<double>(std::max<int64_t>(1, count)));
        if (!std::isfinite(mean))
          return invalid("{}: finite activations expected, {} found as mean square of column {}", site.name,
                         mean, static_cast<int64_t>(i) % site.cols);
        importance.mean_squares[i] = mean;
      }
      result.push_back(std::move(importance));
    }
    std::ranges::sort(result, {}, &SiteImportance::name);
    return result;
  }

 private:
  /// The rows of x that `rows` names; empty: all.
  void add(SiteIndex::Place place, const Tensor& x, std::span<const int32_t> rows) {
    const auto count = rows.empty() ? x.rows : static_cast<int64_t>(rows.size());
    CADRE_CHECK(x.width == sites_[place.site].cols, "{}: {}", sites_[place.site].name, x.width);
    double* sums = sums_[place.site].data() + place.part * x.width;
    for (int64_t i = 0; i < count; ++i) {
      const float* row = x.row(rows.empty() ? i : rows[static_cast<size_t>(i)]);
      for (int64_t c = 0; c < x.width; ++c) sums[c] += static_cast<double>(row[c]) * row[c];
    }
    inputs_[place.site][static_cast<size_t>(place.part)] += count;
  }

  std::vector<InputSite> sites_;
  SiteIndex index_;
  std::vector<std::vector<double>> sums_;     ///< by site [parts, cols]
  std::vector<std::vector<int64_t>> inputs_;  ///< by site [parts]
};

/// What a part falls back on: the mean over all inputs of the site, per column or, where columns of different
/// parts have nothing in common, of all columns.
std::vector<double> prior_of(const SiteImportance& data, bool shared_columns) {
  std::vector<double> prior(static_cast<size_t>(data.cols));
  double inputs = 0;
  for (int64_t part = 0; part < data.parts; ++part) {
    const auto n = static_cast<double>(data.inputs[static_cast<size_t>(part)]);
    inputs += n;
    for (int64_t c = 0; c < data.cols; ++c)
      prior[static_cast<size_t>(c)] += n * data.mean_squares[static_cast<size_t>(part * data.cols + c)];
  }
  for (double& value : prior) value /= std::max(1.0, inputs);
  if (!shared_columns)
    std::ranges::fill(prior,
                      std::accumulate(prior.begin(), prior.end(), 0.0) / static_cast<double>(data.cols));
  return prior;
}

std::vector<float> factors_of(const SiteImportance& data, const InputSite& site) {
  const std::vector<double> prior = prior_of(data, site.shared_columns);
  if (std::ranges::all_of(prior, [](double p) { return p == 0; })) return {};
  // A part with all inputs of its layer has nobody to borrow from.
  const double k = site.kind == InputParts::kExperts ? Importance::kPriorInputs : 0;
  std::vector<float> factors(data.mean_squares.size());
  for (int64_t part = 0; part < data.parts; ++part) {
    const auto n = static_cast<double>(data.inputs[static_cast<size_t>(part)]);
    const auto begin = static_cast<size_t>(part * data.cols);
    std::vector<double> mixed(static_cast<size_t>(data.cols));
    double mean = 0;
    for (size_t c = 0; c < mixed.size(); ++c) {
      mixed[c] = n + k == 0 ? prior[c] : (n * data.mean_squares[begin + c] + k * prior[c]) / (n + k);
      mean += mixed[c] / static_cast<double>(data.cols);
    }
    for (size_t c = 0; c < mixed.size(); ++c)
      factors[begin + c] = static_cast<float>(mixed[c] + Importance::kFloor * mean);
  }
  return factors;
}

Status check_site(const SiteImportance* found, const InputSite& site, std::string_view origin) {
  if (found == nullptr)
    return invalid(
        "{}: tensor '{}.mean_squares' [{}, {}] expected for this model, none found: the file is "
        "another model's",
        origin, site.name, site.parts, site.cols);
  if (found->parts != site.parts || found->cols != site.cols)
    return invalid(
        "{}: tensor '{}.mean_squares': shape [{}, {}] expected for this model, [{}, {}] found: the "
        "file is another model's",
        origin, site.name, site.parts, site.cols, found->parts, found->cols);
  return {};
}

}  // namespace

Result<ImportanceData> collect_importance(const Model& model, const CalibrationText& text,
                                          const CpuOptions& cpu, CalibrationProgress progress) {
  CADRE_TRY(CalibrationPass pass, CalibrationPass::create(model, text, cpu));
  SquareSums sums(model.transformer());
  const auto tokens = static_cast<int64_t>(text.tokens.size());
  for (int64_t layer = 0; layer < pass.layers(); ++layer) {
    progress(layer * tokens, pass.layers() * tokens);
    CADRE_CHECK_OK(pass.run_layer(&sums));
  }
  CADRE_CHECK_OK(pass.run_head(sums));
  progress(pass.layers() * tokens, pass.layers() * tokens);
  CADRE_TRY(std::vector<SiteImportance> sites, sums.take());
  return ImportanceData{
      .model_type = model.config().model_type, .text = text.identity, .sites = std::move(sites)};
}

Result<Importance> Importance::bind(const ImportanceData& data, const Family& family,
                                    const ModelConfig& config, std::string_view origin) {
  Importance result;
  std::string content;
  const Transformer layout = Transformer::layout(config);
  const std::vector<InputSite> sites = input_sites(layout);
  for (const InputSite& site : sites) {
    const auto found = std::ranges::find(data.sites, site.name, &SiteImportance::name);
    CADRE_CHECK_OK(check_site(found == data.sites.end() ? nullptr : &*found, site, origin));
    result.sites_.push_back({.cols = site.cols, .values = factors_of(*found, site)});
    content += fingerprint(std::as_bytes(std::span(result.sites_.back().values)));
    const int64_t unmet = std::ranges::count(found->inputs, 0);
    if (unmet > 0 && site.shared_columns)
      result.notes_.push_back(
          fmt::format("{}: {} of {} experts met no token of the calibration text; their columns count as "
                      "their layer's mean",
                      site.name, unmet, site.parts));
  }
  for (const SiteImportance& site : data.sites)
    if (std::ranges::find(sites, site.name, &InputSite::name) == sites.end())
      return invalid(
          "{}: tensor '{}.mean_squares': this model has no such inputs: the file is another model's", origin,
          shown(site.name));
  result.weights_ = weight_inputs(family, config);
  result.identity_ = fingerprint(std::as_bytes(std::span(content)));
  return result;
}

std::span<const float> Importance::of_row(std::string_view weight, int64_t row, int64_t rows) const {
  const auto found = weights_.find(weight);
  if (found == weights_.end()) return {};
  const WeightInput& input = found->second;
  const Factors& factors = sites_[input.site];
  if (factors.values.empty()) return {};
  const int64_t part = input.first_part + row * input.parts / rows;
  return std::span(factors.values)
      .subspan(static_cast<size_t>(part * factors.cols), static_cast<size_t>(factors.cols));
}

}  // namespace cadre
