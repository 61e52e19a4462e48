#include "cadre/train/adapters.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "cadre/base/random.h"
#include "cadre/formats/layout.h"

namespace cadre::train {
namespace {

constexpr int64_t kAlignedFloats = 16;  // a cache line

int64_t padded(int64_t count) { return align_up(count, kAlignedFloats); }

/// "q_proj" of "model.layers.0.self_attn.q_proj".
std::string last_part(std::string_view module) { return std::string(module.substr(module.rfind('.') + 1)); }

bool can_adapt(const Parameter& tensor) { return tensor.shape.size() == 2 && can_adapt(tensor.role); }

/// The tensors that the targets name. Errors: kInvalid for a target that names none.
Result<std::vector<Parameter>> find_targets(const LoraConfig& config, std::span<const Parameter> tensors) {
  std::set<std::string> names;
  for (const Parameter& tensor : tensors)
    if (can_adapt(tensor)) names.insert(last_part(module_name(tensor.name)));
  for (const std::string& target : config.targets) {
    const LoraConfig alone{.targets = {target}};
    const auto matches = [&](const Parameter& tensor) {
      return can_adapt(tensor) && is_target(alone, module_name(tensor.name));
    };
    if (std::ranges::none_of(tensors, matches))
      return invalid("field 'lora.targets': '{}' names no matrix of attention or experts; there are {}",
                     target, fmt::join(names, ", "));
  }
  std::vector<Parameter> result;
  for (const Parameter& tensor : tensors)
    if (can_adapt(tensor) && is_target(config, module_name(tensor.name))) result.push_back(tensor);
  return result;
}

}  // namespace

Result<Adapters> Adapters::create(const LoraConfig& config, std::span<const Parameter> tensors,
                                  uint64_t seed) {
  Adapters result(config);
  CADRE_TRY(result.adapted_, find_targets(config, tensors));
  int64_t floats = 0;
  for (const Parameter& w : result.adapted_) {
    const int64_t rows = w.value.rows;
    const int64_t cols = w.value.width;
    if (config.rank > std::min(rows, cols))
      return invalid("field 'lora.rank': {} is above the smaller side of '{}' {}", config.rank, w.name,
                     to_string(w.shape));
    floats += padded(rows * cols) + 2 * (padded(config.rank * cols) + padded(rows * config.rank));
  }
  CADRE_TRY(result.memory_, AnonymousMemory::reserve(floats * static_cast<int64_t>(sizeof(float))));
  auto* next = reinterpret_cast<float*>(result.memory_.data());
  const auto take = [&](int64_t rows, int64_t cols) {
    const Tensor taken = Tensor::dense(next, rows, cols);
    next += padded(rows * cols);
    return taken;
  };
  uint64_t purpose = 0;
  for (const Parameter& w : result.adapted_) {
    const int64_t rows = w.value.rows;
    const int64_t cols = w.value.width;
    const Tensor base = take(rows, cols);
    std::ranges::copy(w.values(), base.data);
    result.base_.push_back(base.data);
    for (const char matrix : {'A', 'B'}) {
      const Shape shape = matrix == 'A' ? Shape{config.rank, cols} : Shape{rows, config.rank};
      result.parameters_.push_back({.name = lora_tensor_name(module_name(w.name), matrix),
                                    .shape = shape,
                                    .role = w.role,
                                    .value = take(shape[0], shape[1]),
                                    .gradient = take(shape[0], shape[1])});
    }
    const std::span<float> a = result.a(result.base_.size() - 1).values();
    const RandomStream random(seed, ++purpose);
    const double deviation = 1 / std::sqrt(3 * static_cast<double>(cols));
    for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(deviation * random.normal(i));
  }
  return result;
}

Tensor Adapters::scaled(const Tensor& x) {
  scratch_.resize(static_cast<size_t>(x.rows * x.width));
  std::transform(x.data, x.data + scratch_.size(), scratch_.begin(),
                 [s = config_.scale()](float value) { return s * value; });
  return Tensor::dense(scratch_.data(), x.rows, x.width);
}

void Adapters::apply(GradientBackend& device) {
  for (size_t i = 0; i < adapted_.size(); ++i) {
    const Tensor& w = adapted_[i].value;
    std::copy_n(base_[i], adapted_[i].count(), w.data);
    device.gemm({.a = scaled(b(i).value), .b = a(i).value, .c = w});
  }
}

void Adapters::take_gradients(GradientBackend& device) {
  for (size_t i = 0; i < adapted_.size(); ++i) {
    const Tensor& dw = adapted_[i].gradient;
    device.gemm({.a = scaled(b(i).value), .b = dw, .c = a(i).gradient, .a_transposed = true});
    device.gemm({.a = dw, .b = scaled(a(i).value), .c = b(i).gradient, .b_transposed = true});
    std::ranges::fill(adapted_[i].gradients(), 0.0f);
  }
}

}  // namespace cadre::train
