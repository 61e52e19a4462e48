#pragma once
/// Which weights of a model are multiplied by the same inputs. What calibration learns about inputs, it
/// learns per site: the query and the latent projections read one normed hidden state, an expert's gate and
/// up another.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/model/families/registry.h"

namespace cadre {

/// Who has inputs of its own at a site.
enum class InputParts : uint8_t {
  kOne,      ///< all rows of all weights share every input
  kHeads,    ///< the rows of a weight are those of heads, one after another
  kExperts,  ///< each expert sees the tokens that are routed to it
};

struct InputSite {
  std::string name;  ///< "layers.3.experts.in"
  size_t layer = 0;  ///< that its inputs are computed in; of the head: one after the last
  int64_t cols = 0;  ///< of an input, and of the weights
  int64_t parts = 1;
  InputParts kind = InputParts::kOne;
  /// Column c means the same in every part, so that parts can learn from one another. Not so after the
  /// nonlinearity: the hidden channels of two experts have nothing in common.
  bool shared_columns = false;
  bool transposed = false;  ///< its weight is kv_b_proj as a whole, multiplied by queries
  /// What reads it, in a fixed order; kExperts: as many for each expert, expert after expert.
  std::vector<const Weight*> weights;

  /// The part that weights[i] belongs to; kHeads: the first.
  int64_t part_of(size_t i) const {
    return kind == InputParts::kExperts
               ? static_cast<int64_t>(i) * parts / static_cast<int64_t>(weights.size())
               : 0;
  }
};

/// The sites of a layer, in the order that a forward pass comes to them, pointing into `model`:
///
///     layers.N.attention.in    q (or q_a) and kv_a; q, k, v       layers.N.ffn.in        router; gate, up
///     layers.N.attention.q_b                                      layers.N.ffn.down
///     layers.N.attention.k_b   per head: q_nope                   layers.N.experts.in    per expert: gate,
///     up layers.N.attention.v_b   per head: latent output            layers.N.experts.down  per expert
///     layers.N.attention.o
///
/// In a MoE layer `ffn` is the router and the shared expert, which every token meets.
std::vector<InputSite> layer_input_sites(const Transformer& model, size_t layer);
/// "head": the normed output of the last layer.
InputSite head_input_site(const Transformer& model);
/// All of them.
std::vector<InputSite> input_sites(const Transformer& model);

/// Where a weight's inputs are: row r reads part first_part + r * parts / rows of the site.
struct WeightInput {
  size_t site = 0;  ///< index into input_sites
  int64_t first_part = 0;
  int64_t parts = 1;
};

/// By the names that `family` gives to the weights of `config`. Not in it: what is not multiplied (an
/// embedding that is not the head too).
std::map<std::string, WeightInput, std::less<>> weight_inputs(const Family& family,
                                                              const ModelConfig& config);

/// Says which site a product of a running model belongs to, by where its weight lies. A site is told by its
/// first weight only (of each expert), so that its inputs are not counted twice.
class SiteIndex {
 public:
  struct Place {
    size_t site = 0;
    int64_t part = 0;
  };
  /// Of a model whose weights are bound.
  explicit SiteIndex(const std::vector<InputSite>& sites);
  /// nullptr: not the first weight of a site.
  const Place* find(const Weight& weight, bool transposed = false) const;

 private:
  /// kv_b_proj is read at two sites: by queries transposed, by latents not.
  std::map<std::pair<const std::byte*, bool>, Place> places_;
};

}  // namespace cadre
