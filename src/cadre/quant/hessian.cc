#include "cadre/quant/hessian.h"

#include <algorithm>

#include "cadre/base/check.h"

namespace cadre {

std::vector<ColumnRange> hessian_ranges(int64_t cols) {
  constexpr int64_t kGroup = kPackedGroup;
  const int64_t groups = cols / kGroup;
  const int64_t ranges = (cols + kMaxHessianColumns - 1) / kMaxHessianColumns;
  std::vector<ColumnRange> result;
  result.reserve(static_cast<size_t>(ranges));
  for (int64_t i = 0; i < ranges; ++i) {
    const int64_t begin = groups * i / ranges * kGroup;
    result.push_back({begin, groups * (i + 1) / ranges * kGroup - begin});
  }
  return result;
}

LayerHessians::LayerHessians(std::vector<InputSite> sites, int64_t tokens, Backend& backend)
    : sites_(std::move(sites)), index_(sites_), backend_(backend), moments_(sites_.size()) {
  for (size_t s = 0; s < sites_.size(); ++s) {
    const InputSite& site = sites_[s];
    if (site.name.ends_with(".ffn.in")) all_tokens_site_ = s;
    Moments& moments = moments_[s];
    const auto parts = static_cast<size_t>(site.parts);
    moments.inputs.resize(parts);
    if (site.kind == InputParts::kExperts) {
      if (site.shared_columns) {
        moments.tokens.resize(parts);
        every_token_.reserve(static_cast<size_t>(tokens * site.cols));
      } else {
        moments.rows.resize(parts);
      }
      continue;
    }
    if (site.cols % kPackedGroup != 0) continue;  // no packed type takes such rows
    for (int64_t part = 0; part < site.parts; ++part)
      for (const ColumnRange& range : hessian_ranges(site.cols))
        moments.sums.emplace_back(static_cast<size_t>(range.count * range.count));
  }
}

void LayerHessians::matmul(const Tensor& x, const Weight& w) {
  if (const auto* place = index_.find(w)) add(*place, x);
}

void LayerHessians::head_matmul(const Tensor& x, const Weight& w, bool transposed) {
  const auto* place = index_.find(w, transposed);
  if (place == nullptr) return;
  for (int64_t h = 0; h < x.heads; ++h)
    add({place->site, place->part + h}, {x.at(0, h), x.rows, 1, x.width, x.row_stride, x.width});
}

void LayerHessians::expert_ffn(const Tensor& x, std::span<const ExpertGroup> groups,
                               std::span<const int32_t> rows) {
  const auto first_token = static_cast<int32_t>(every_token_.size() / static_cast<size_t>(x.width));
  bool routed = false;
  for (const ExpertGroup& group : groups) {
    const auto* in = index_.find(group.expert.gate);
    const auto* down = index_.find(group.expert.down);
    if (in != nullptr && sites_[in->site].kind == InputParts::kOne) add(*in, x);  // a dense FFN
    if (down != nullptr && sites_[down->site].kind == InputParts::kOne) add(*down, group.hidden);
    if (in == nullptr || sites_[in->site].kind != InputParts::kExperts) continue;
    routed = true;
    Moments& inputs = moments_[in->site];
    for (const int32_t row : rows.subspan(static_cast<size_t>(group.first), static_cast<size_t>(group.count)))
      inputs.tokens[static_cast<size_t>(in->part)].push_back(first_token + row);
    inputs.inputs[static_cast<size_t>(in->part)] += group.count;
    Moments& hidden = moments_[down->site];
    std::vector<float>& kept = hidden.rows[static_cast<size_t>(down->part)];
    for (int64_t i = 0; i < group.hidden.rows; ++i) {
      const float* row = group.hidden.row(i);
      kept.insert(kept.end(), row, row + group.hidden.width);
      for (int64_t c = 0; c < group.hidden.width; ++c) hidden.squares += static_cast<double>(row[c]) * row[c];
    }
    hidden.inputs[static_cast<size_t>(down->part)] += group.count;
  }
  if (!routed) return;
  for (int64_t t = 0; t < x.rows; ++t) every_token_.insert(every_token_.end(), x.row(t), x.row(t) + x.width);
}

void LayerHessians::add(SiteIndex::Place place, const Tensor& x) {
  Moments& moments = moments_[place.site];
  moments.inputs[static_cast<size_t>(place.part)] += x.rows;
  if (moments.sums.empty()) return;
  const std::vector<ColumnRange> ranges = hessian_ranges(x.width);
  for (size_t r = 0; r < ranges.size(); ++r)
    add_gram(backend_, x.slice_width(ranges[r].begin, ranges[r].count), 1.0f,
             moments.sums[static_cast<size_t>(place.part) * ranges.size() + r].data(), ranges[r].count);
}

std::vector<float> LayerHessians::gathered(size_t site, int64_t part, ColumnRange range) const {
  const Moments& moments = moments_[site];
  const int64_t cols = sites_[site].cols;
  const int64_t count = moments.inputs[static_cast<size_t>(part)];
  std::vector<float> out(static_cast<size_t>(count * range.count));
  for (int64_t i = 0; i < count; ++i) {
    const float* row =
        moments.tokens.empty()
            ? moments.rows[static_cast<size_t>(part)].data() + i * cols
            : every_token_.data() + moments.tokens[static_cast<size_t>(part)][static_cast<size_t>(i)] * cols;
    std::copy_n(row + range.begin, range.count, out.begin() + i * range.count);
  }
  return out;
}

std::vector<float> LayerHessians::hessian(size_t site, int64_t part, ColumnRange range) const {
  const InputSite& described = sites_[site];
  const Moments& moments = moments_[site];
  const auto n = static_cast<double>(moments.inputs[static_cast<size_t>(part)]);
  if (described.kind != InputParts::kExperts) {
    const std::vector<ColumnRange> ranges = hessian_ranges(described.cols);
    const auto at = std::ranges::find(ranges, range.begin, &ColumnRange::begin) - ranges.begin();
    std::vector<float> mean =
        moments.sums[static_cast<size_t>(part) * ranges.size() + static_cast<size_t>(at)];
    for (float& value : mean) value = n == 0 ? 0.0f : static_cast<float>(value / n);
    return mean;
  }

  std::vector<float> h;
  const double k = kPriorInputs;
  if (described.shared_columns) {
    h = hessian(all_tokens_site_, 0, range);
    for (float& value : h) value = static_cast<float>(k * value);
  } else {
    h.resize(static_cast<size_t>(range.count * range.count));
    double inputs = 0;
    for (const int64_t count : moments.inputs) inputs += static_cast<double>(count);
    const double mean = moments.squares / (std::max(1.0, inputs) * static_cast<double>(described.cols));
    for (int64_t i = 0; i < range.count; ++i)
      h[static_cast<size_t>(i * range.count + i)] = static_cast<float>(k * mean);
  }
  std::vector<float> rows = gathered(site, part, range);
  add_gram(backend_, Tensor::dense(rows.data(), static_cast<int64_t>(n), range.count), 1.0f, h.data(),
           range.count);
  for (float& value : h) value = static_cast<float>(value / (n + k));
  return h;
}

}  // namespace cadre
