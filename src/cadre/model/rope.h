#pragma once
/// Rotary frequencies and the tables of one batch. Angles are formed in f64 and only their cosine and sine
/// are stored as f32: f32 angles are off by 3e-2 at position 1,000,000.

#include <cstdint>
#include <span>
#include <vector>

#include "cadre/model/config.h"

namespace cadre {

/// Frequencies [dim / 2], in radians per position, with the scaling applied.
std::vector<double> rope_frequencies(const RopeConfig& config);

/// What cosines and sines are multiplied by: YaRN's mscale quotient, 1 in every published DeepSeek model.
double rope_magnitude(const RopeConfig& config);

/// YaRN's attention temperature, by which DeepSeek multiplies the softmax scale: m(factor, mscale_all_dim)^2,
/// m(s, a) = 0.1 a ln(s) + 1; 1 without YaRN.
double yarn_softmax_factor(const RopeConfig& config);

/// Fills cosine and sine [positions, dim / 2].
void fill_rope_tables(std::span<const double> frequencies, double magnitude,
                      std::span<const int32_t> positions, std::span<float> cosine, std::span<float> sine);

}  // namespace cadre
