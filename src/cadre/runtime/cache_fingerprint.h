#pragma once
/// Tells apart engines whose KV caches hold different bits for the same tokens.

#include <cstdint>

#include "cadre/runtime/engine.h"

namespace cadre {

/// Over the configuration, name, type, shape and samples of the bytes of every tensor as it is stored and as
/// it is used (with an adapter), the kind of arithmetic (compute type, form of MLA), the fallback and the
/// layout of the cache. Not over other routing policies, nor over every byte of the weights: files that
/// differ in a few values only may be taken for the same. Errors: those of Checkpoint::find.
Result<uint64_t> cache_fingerprint(Engine& engine);

}  // namespace cadre
