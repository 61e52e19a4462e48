#include "cadre/model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace cadre {
namespace {

double yarn_mscale(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

/// YaRN: fast pairs keep their frequency, slow ones are interpolated by `factor`, a ramp between.
void scale_yarn(const RopeConfig::Yarn& yarn, const RopeConfig& config, std::span<double> frequencies) {
  const auto dim = static_cast<double>(config.dim);
  const auto correction = [&](double rotations) {
    return dim * std::log(yarn.original_max_position_embeddings / (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(config.theta));
  };
  const double low = std::max(0.0, std::floor(correction(yarn.beta_fast)));
  double high = std::min(dim - 1, std::ceil(correction(yarn.beta_slow)));
  if (high == low) high += 0.001;  // as DeepSeek's reference: keeps the ramp finite
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = frequencies[i] / yarn.factor * ramp + frequencies[i] * (1 - ramp);
  }
}

void scale_llama3(const RopeConfig::Llama3& llama, std::span<double> frequencies) {
  const double longest = llama.original_max_position_embeddings / llama.low_freq_factor;
  const double shortest = llama.original_max_position_embeddings / llama.high_freq_factor;
  for (double& frequency : frequencies) {
    const double wavelength = 2 * std::numbers::pi / frequency;
    if (wavelength < shortest) continue;
    if (wavelength > longest) {
      frequency /= llama.factor;
      continue;
    }
    const double smooth = (llama.original_max_position_embeddings / wavelength - llama.low_freq_factor) /
                          (llama.high_freq_factor - llama.low_freq_factor);
    frequency = (1 - smooth) * frequency / llama.factor + smooth * frequency;
  }
}

}  // namespace

std::vector<double> rope_frequencies(const RopeConfig& config) {
  std::vector<double> frequencies(static_cast<size_t>(config.dim / 2));
  for (size_t i = 0; i < frequencies.size(); ++i)
    frequencies[i] = std::pow(config.theta, -2.0 * static_cast<double>(i) / static_cast<double>(config.dim));
  if (const auto* yarn = std::get_if<RopeConfig::Yarn>(&config.scaling))
    scale_yarn(*yarn, config, frequencies);
  if (const auto* llama = std::get_if<RopeConfig::Llama3>(&config.scaling)) scale_llama3(*llama, frequencies);
  if (const auto* linear = std::get_if<RopeConfig::Linear>(&config.scaling))
    for (double& frequency : frequencies) frequency /= linear->factor;
  return frequencies;
}

double rope_magnitude(const RopeConfig& config) {
  const auto* yarn = std::get_if<RopeConfig::Yarn>(&config.scaling);
  if (yarn == nullptr) return 1;
  return yarn_mscale(yarn->factor, yarn->mscale) / yarn_mscale(yarn->factor, yarn->mscale_all_dim);
}

double yarn_softmax_factor(const RopeConfig& config) {
  const auto* yarn = std::get_if<RopeConfig::Yarn>(&config.scaling);
  if (yarn == nullptr || yarn->mscale_all_dim == 0) return 1;
  const double mscale = yarn_mscale(yarn->factor, yarn->mscale_all_dim);
  return mscale * mscale;
}

void fill_rope_tables(std::span<const double> frequencies, double magnitude,
                      std::span<const int32_t> positions, std::span<float> cosine, std::span<float> sine) {
  size_t out = 0;
  for (const int32_t position : positions) {
    for (const double frequency : frequencies) {
      const double angle = static_cast<double>(position) * frequency;
      cosine[out] = static_cast<float>(std::cos(angle) * magnitude);
      sine[out] = static_cast<float>(std::sin(angle) * magnitude);
      ++out;
    }
  }
}

}  // namespace cadre
