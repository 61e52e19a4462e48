#include "cadre/train/optimiser.h"

#include <algorithm>
#include <cmath>

#include "cadre/train/muon.h"

namespace cadre::train {

bool is_hidden_matrix(const Parameter& parameter) {
  switch (parameter.role) {
    case WeightRole::kAttention:
    case WeightRole::kDenseFfn:
    case WeightRole::kSharedExpert:
    case WeightRole::kRoutedExpert:
    case WeightRole::kFallbackExpert:
      return parameter.shape.size() == 2;
    default:
      return false;
  }
}

double gradient_norm(const TrainableModel& model, GradientBackend& device) {
  double sum = 0;
  for (const Parameter& parameter : model.parameters()) sum += device.square_sum(parameter.gradients());
  return std::sqrt(sum);
}

Result<Optimiser> Optimiser::create(const TrainableModel& model, const OptimiserOptions& options) {
  constexpr int64_t kAlignedFloats = 16;
  Optimiser result(options);
  const auto room = [](int64_t count) {
    return (count + kAlignedFloats - 1) / kAlignedFloats * kAlignedFloats;
  };
  int64_t floats = 0;
  for (const Parameter& parameter : model.parameters())
    floats += room(parameter.count()) * (options.muon && is_hidden_matrix(parameter) ? 1 : 2);
  CADRE_TRY(result.memory_, AnonymousMemory::reserve(floats * static_cast<int64_t>(sizeof(float))));
  auto* next = reinterpret_cast<float*>(result.memory_.data());
  const auto take = [&](const std::string& kind, const Parameter& parameter) {
    float* values = next;
    next += room(parameter.count());
    result.state_.push_back(
        {kind + parameter.name, Tensor::dense(values, parameter.value.rows, parameter.value.width)});
    return values;
  };
  for (const Parameter& parameter : model.parameters()) {
    Slot slot{.muon = options.muon && is_hidden_matrix(parameter)};
    slot.first = take(slot.muon ? "momentum." : "m.", parameter);
    if (!slot.muon) slot.second = take("v.", parameter);
    result.slots_.push_back(slot);
  }
  return result;
}

void Optimiser::update(const TrainableModel& model, GradientBackend& device, double learning_rate,
                       double gradient_scale) {
  ++steps_;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Parameter& parameter = model.parameters()[i];
    if (slots_[i].muon)
      update_muon(parameter, slots_[i], device, learning_rate, gradient_scale);
    else
      update_adamw(parameter, slots_[i], device, learning_rate, gradient_scale);
  }
}

void Optimiser::update_adamw(const Parameter& parameter, const Slot& slot, GradientBackend& device,
                             double learning_rate, double gradient_scale) const {
  const auto steps = static_cast<double>(steps_);
  device.adamw({.value = parameter.value.data,
                .gradient = parameter.gradient.data,
                .m = slot.first,
                .v = slot.second,
                .count = parameter.count(),
                .gradient_scale = static_cast<float>(gradient_scale),
                .learning_rate = static_cast<float>(learning_rate),
                .beta1 = static_cast<float>(options_.beta1),
                .beta2 = static_cast<float>(options_.beta2),
                .eps = static_cast<float>(options_.eps),
                .decay = static_cast<float>(parameter.shape.size() == 2 ? options_.weight_decay : 0),
                .correction1 = static_cast<float>(1 - std::pow(options_.beta1, steps)),
                .correction2 = static_cast<float>(1 - std::pow(options_.beta2, steps))});
}

void Optimiser::update_muon(const Parameter& parameter, const Slot& slot, GradientBackend& device,
                            double learning_rate, double gradient_scale) {
  const int64_t rows = parameter.value.rows;
  const int64_t cols = parameter.value.width;
  direction_.resize(static_cast<size_t>(parameter.count()));
  nesterov_momentum(parameter.gradients(), static_cast<float>(gradient_scale),
                    static_cast<float>(options_.momentum), slot.first, direction_);
  orthogonalise(Tensor::dense(direction_.data(), rows, cols), device);
  // 0.2 sqrt(max): the root mean square of AdamW's updates, so that one learning rate serves both.
  const double scale = 0.2 * std::sqrt(static_cast<double>(std::max(rows, cols)));
  step_along(direction_, static_cast<float>(learning_rate * scale),
             static_cast<float>(1 - learning_rate * options_.weight_decay), parameter.values());
}

}  // namespace cadre::train
