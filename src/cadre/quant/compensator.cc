#include "cadre/quant/compensator.h"

#include <algorithm>
#include <cmath>

#include "cadre/base/check.h"

namespace cadre {
namespace {

/// The diagonal alone tells: no other element is larger.
Status check_finite(const std::vector<float>& h, ColumnRange range, std::string_view site) {
  for (int64_t c = 0; c < range.count; ++c)
    if (const float value = h[static_cast<size_t>(c * range.count + c)]; !std::isfinite(value))
      return invalid("{}: finite inputs expected for --gptq, {} found as mean square of column {}", site,
                     value, range.begin + c);
  return {};
}

}  // namespace

Result<Compensator> Compensator::create(const QuantSource& source, const CalibrationText& text,
                                        const CpuOptions& cpu) {
  CADRE_TRY(CalibrationPass pass, CalibrationPass::create(source.model(), text, cpu));
  return Compensator(source, text, std::move(pass));
}

Compensator::Compensator(const QuantSource& source, const CalibrationText& text, CalibrationPass pass)
    : source_(&source),
      tokens_(static_cast<int64_t>(text.tokens.size())),
      pass_(std::move(pass)),
      sites_(input_sites(source.model().transformer())),
      inputs_(weight_inputs(source.family(), source.target())) {}

Status Compensator::reach(size_t layer) {
  if (layer_ == layer) return {};
  CADRE_CHECK(!layer_ || *layer_ < layer, "layer {} after {}", layer, *layer_);
  layer_ = layer;
  key_.reset();
  hessians_.reset();  // before the next are made: they are large
  const Transformer& model = source_->model().transformer();
  const bool is_head = layer == model.blocks.size();
  hessians_ = std::make_unique<LayerHessians>(
      is_head ? std::vector{head_input_site(model)} : layer_input_sites(model, layer), tokens_,
      pass_.backend());
  while (pass_.next_layer() < std::min(pass_.layers(), static_cast<int64_t>(layer)))
    CADRE_CHECK_OK(pass_.run_layer(nullptr));
  CADRE_CHECK_OK(is_head ? pass_.run_head(*hessians_) : pass_.run_layer(hessians_.get()));
  note_unmet();
  return {};
}

void Compensator::note_unmet() {
  for (size_t s = 0; s < hessians_->sites().size(); ++s) {
    const InputSite& site = hessians_->sites()[s];
    if (site.kind != InputParts::kExperts || !site.shared_columns) continue;
    int64_t unmet = 0;
    for (int64_t part = 0; part < site.parts; ++part) unmet += hessians_->inputs(s, part) == 0 ? 1 : 0;
    if (unmet > 0)
      notes_.push_back(
          fmt::format("{}: {} of {} experts met no token of the calibration text; they are rounded for their "
                      "layer's inputs",
                      site.name, unmet, site.parts));
  }
}

Result<const WeightFeedback*> Compensator::feedback(const PlannedWeight& weight) {
  const auto found = inputs_.find(weight.name);
  if (found == inputs_.end() || weight.role == WeightRole::kEmbedding) return nullptr;
  const WeightInput& input = found->second;
  const InputSite& site = sites_[input.site];
  CADRE_CHECK_OK(reach(site.layer));
  const Key key{input.site, input.first_part};
  if (key_ == key) return &feedback_;
  key_ = key;
  feedback_ = {};
  const auto local = std::ranges::find(hessians_->sites(), site.name, &InputSite::name);
  const auto index = static_cast<size_t>(local - hessians_->sites().begin());
  for (int64_t part = input.first_part; part < input.first_part + input.parts; ++part) {
    WeightFeedback::Part made{.ranges = hessian_ranges(site.cols)};
    for (const ColumnRange& range : made.ranges) {
      const std::vector<float> h = hessians_->hessian(index, part, range);
      CADRE_CHECK_OK(check_finite(h, range, site.name));
      made.feedback.push_back(factorise(pass_.backend(), h, range.count, kDamping));
    }
    feedback_.parts.push_back(std::move(made));
  }
  return &feedback_;
}

}  // namespace cadre
