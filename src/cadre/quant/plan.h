#pragma once
/// Which type each weight of a quantised model gets: a preset by role and layer, and rules that go before it.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/result.h"
#include "cadre/formats/layout.h"
#include "cadre/model/families/registry.h"

namespace cadre {

/// `pattern=type`: `*` stands for any characters, also none; everything else for itself.
struct QuantRule {
  std::string pattern;
  DType type = DType::kF32;
};

struct QuantPlanOptions {
  /// A packed type, which names the preset:
  ///
  ///                                   q8   q6   q4   mxfp4   q3   q2
  ///     routed experts, gate and up   q8   q6   q4   mxfp4   q3   q2
  ///     routed experts, down          q8   q6   q4   mxfp4   q3   q3; of the first eighth of the layers q4
  ///     attention, shared, dense FFN  q8   q6   q8   q8      q8   q8
  ///     embedding, head               q8   q6   q6   q6      q6   q6
  ///     router, bias, norms           f32
  DType preset = DType::kPackedQ4;
  bool pure = false;             ///< the preset's type for every matrix but the router
  std::vector<QuantRule> rules;  ///< the first that matches decides; for matrices, the router too
};

struct PlannedWeight {
  std::string name;        ///< in the checkpoint
  std::string short_name;  ///< see short_weight_name
  Shape shape;
  WeightRole role = WeightRole::kNorm;
  DType type = DType::kF32;
  /// The packed type that the plan asked for, where 32 does not divide the rows and `type` is bf16 instead;
  /// else `type`.
  DType wanted = DType::kF32;

  bool is_matrix() const { return shape.size() == 2; }
  int64_t bytes() const;
};

/// All weights of the quantised model, in the order of its file.
struct QuantPlan {
  std::vector<PlannedWeight> weights;

  int64_t parameters() const;
  int64_t bytes() const;
  double bits_per_weight() const;
};

/// The types that weights can be written in: f32, bf16 and the packed ones. Errors: kUsage, listing them.
Result<DType> parse_weight_type(std::string_view type);
/// "f32", "bf16" or a packed type's name.
std::string weight_type_name(DType type);

/// "GLOB=TYPE". Errors: kUsage.
Result<QuantRule> parse_quant_rule(std::string_view text);

bool glob_matches(std::string_view pattern, std::string_view text);

/// The name that rules are written for: "embedding", "head", "layers.3.router", "layers.3.experts.17.down",
/// "layers.3.shared.gate", "layers.0.ffn.up", "layers.3.attention.kv_a".
std::string short_weight_name(std::string_view name);

/// `config` with MLA's kv_b_proj in two, as quantised models have it: the products of packed weights run
/// along rows, and the absorbed form multiplies by the first half transposed.
ModelConfig split_kv_b(ModelConfig config);

/// The plan for a model of `config`, which has split_kv_b applied. Errors: kUsage for a rule that decides
/// nothing.
Result<QuantPlan> plan_quantisation(const Family& family, const ModelConfig& config,
                                    const QuantPlanOptions& options);

}  // namespace cadre
