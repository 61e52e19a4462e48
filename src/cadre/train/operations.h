#pragma once
/// How much arithmetic training is, from a model's shape.

#include "cadre/model/config.h"

namespace cadre::train {

/// Floating-point operations of a token's forward and backward pass in sequences of `length` tokens: two for
/// each multiply-add, the backward pass twice the forward, attention scores over half the sequence. What is
/// computed again is not counted.
double training_operations(const ModelConfig& config, int64_t length);

}  // namespace cadre::train
