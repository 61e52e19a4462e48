#pragma once
/// The model of this folder's tests, small enough for milliseconds.

#include "cadre/model/shapes.h"
#include "cadre/runtime/memory_model.h"

namespace cadre {

/// Three layers of MLA, one dense and two of eight experts of which a token takes two; tied embedding.
inline Model make_test_model(DType type = DType::kF32) {
  Json config = named_shape("cadre-s").value();
  config["num_hidden_layers"] = 3;
  config["hidden_size"] = 64;
  config["vocab_size"] = 300;
  config["qk_nope_head_dim"] = 64;  // with packed weights all matrices but the routers are packed
  config["n_routed_experts"] = 8;
  config["num_experts_per_tok"] = 2;
  config["max_position_embeddings"] = 256;
  return make_random_model(std::move(config), "test model", {.type = type, .threads = 1},
                           [](int64_t, int64_t) {})
      .value();
}

}  // namespace cadre
